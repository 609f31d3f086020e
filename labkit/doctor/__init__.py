"""The doctor: whether anything is in the way of the lab, why, and which one command repairs it.

It works where little else does: without libvirt, without a daemon, without images, as root. It only looks; the one
thing it starts is the session's daemon, as every lab does.

Knows: the rooms below, which it asks. Must not know: widgets.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.doctor import instances, leftovers, parts, place, surroundings
from labkit.doctor import labs as known_labs
from labkit.doctor.losses import check_losses, check_seals
from labkit.engine.folders import data_folder, labs_folder
from labkit.hypervisor.daemon_place import find_config_folder
from labkit.hypervisor.inquiry import Inquiry, ask_hypervisor, find_daemon
from labkit.language import _
from labkit.model.diagnosis import Check, Diagnosis, Status
from labkit.printing import tell

if TYPE_CHECKING:
    from labkit.lab import Lab

SESSION = "qemu:///session"

__all__ = ["examine", "run_doctor"]


def examine(*, lab: Lab | None = None, home: Path | None = None, uri: str = SESSION) -> Diagnosis:
    """Look at this computer and return what is in the way of the lab.

    Args:
        lab: an open lab, whose folder of labs is examined; None: the folder set by LABKIT_HOME, or the default.
        home: a folder of labs to examine instead.
        uri: of the hypervisor.
    """
    labs = home or (lab.home.parent if lab is not None else labs_folder())
    return Diagnosis(checks=tuple(_checks(labs, uri)))


def run_doctor(*, json: bool = False) -> int:
    """Examine, write the diagnosis on stdout, and return the exit code: 0 when nothing is in the way."""
    diagnosis = examine()
    tell(diagnosis.to_json() if json else diagnosis.render_text())
    return diagnosis.exit_code


def _checks(labs: Path, uri: str) -> Iterator[Check]:
    images = data_folder() / "images"
    inquiry = ask_hypervisor(uri) if _may_ask(uri) else Inquiry(uri=uri)
    yield from _look("user", place.check_user)
    yield from _look("runtime-folder", place.check_runtime_folder)
    yield from _look("variables", surroundings.check_variables)
    yield from _look("settings-files", surroundings.check_settings_files)
    yield from _look("limits", surroundings.check_limits)
    yield from _look("socket-length", lambda: place.check_socket_length(find_config_folder(), inquiry.pid))
    yield from _look("disk-space", lambda: place.check_disk_space(labs))
    yield from _look("memory", place.check_memory)
    yield from _look("guest-images", lambda: parts.check_guest_images(images))
    yield from _look("accelerator", lambda: parts.check_accelerator(images))
    yield from _look("daemon", lambda: parts.check_daemon(inquiry))
    yield from _look("versions", lambda: parts.check_versions(inquiry))
    yield from _look("capabilities", lambda: parts.check_capabilities(inquiry))
    if inquiry.reached:
        yield from _look("configuration", lambda: known_labs.check_configuration(inquiry))
        yield from _look("labs", lambda: known_labs.check_labs(labs, inquiry))
        yield from _look("leftover-machines", lambda: leftovers.check_machines(labs, inquiry))
        yield from _look("leftover-processes", lambda: leftovers.check_processes(labs, inquiry))
        yield from _look("losses", lambda: check_losses(labs, uri))
        yield from _look("seals", lambda: check_seals(labs, uri))
        yield from _look("kept-guests", leftovers.check_kept_guests)
        yield from _look("orphans", lambda: leftovers.check_orphans(labs, uri))
    yield from _look("neighbours", lambda: instances.check_neighbours(labs))
    yield from _look("leftover-sockets", leftovers.check_sockets)
    yield from _look("unfinished-acts", lambda: leftovers.check_unfinished(labs))


def _look(slug: str, check: Callable[[], Check | None]) -> Iterator[Check]:
    """Yield what a check finds; if the host does not even let it look, that is a finding too."""
    try:
        found = check()
    except OSError as error:
        what = _("This could not be looked at: {words}.").format(words=error)
        cause = _("The system forbids it, or the file system fails.")
        found = Check(slug=slug, status=Status.TROUBLE, what=what, cause=cause, repair=_look_at(error))
    if found is not None:
        yield found


def _look_at(error: OSError) -> str:
    """Return the command that shows who may use the file that an error is about."""
    return f"namei -l {shlex.quote(str(error.filename))}" if error.filename else "dmesg | tail"


def _may_ask(uri: str) -> bool:
    """Whether a hypervisor can be asked: its daemon is installed or running, and we are not root.

    For root, the session's URI would lead to the system's hypervisor; without a daemon, libvirt would wait for one.
    """
    if uri != SESSION:
        return True
    return os.geteuid() != 0 and (parts.find_daemon_program() is not None or find_daemon() is not None)
