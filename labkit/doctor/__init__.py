"""The doctor: is anything in the way of the lab, why, and which one command repairs it.

It works where little else does: without libvirt, without a daemon, without images, as root. It only
looks; all it starts is the session's daemon, as every lab does.

Knows: the rooms below, to ask them. Must not know: widgets.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.doctor import leftovers, parts, place
from labkit.engine.workspace import data_folder, labs_folder
from labkit.hypervisor.inquiry import Inquiry, ask_hypervisor
from labkit.model.diagnosis import Check, Diagnosis

if TYPE_CHECKING:
    from labkit.lab import Lab

SESSION = "qemu:///session"

__all__ = ["examine", "run_doctor"]


def examine(*, lab: Lab | None = None, home: Path | None = None, uri: str = SESSION) -> Diagnosis:
    """Look at this computer and return what is in the way of the lab.

    Args:
        lab: an open lab, whose folder of labs is looked at; None: the one in force.
        home: a folder of labs, instead.
        uri: of the hypervisor.
    """
    labs = home or (lab.home.parent if lab is not None else labs_folder())
    return Diagnosis(checks=tuple(_checks(labs, uri)))


def run_doctor(*, json: bool = False) -> int:
    """Examine, write the diagnosis on stdout, and return the exit code: 0 when nothing is in the way."""
    diagnosis = examine()
    sys.stdout.write((diagnosis.to_json() if json else diagnosis.render_text()) + "\n")
    return diagnosis.exit_code


def _checks(labs: Path, uri: str) -> Iterator[Check]:
    yield place.check_user()
    yield place.check_runtime_folder()
    yield place.check_socket_length()
    yield place.check_disk_space(labs)
    yield place.check_memory()
    yield parts.check_guest_images(data_folder() / "images")
    yield parts.check_accelerator(data_folder() / "images")
    inquiry = ask_hypervisor(uri) if _may_ask(uri) else Inquiry(uri=uri)
    yield parts.check_daemon(inquiry)
    yield from parts.check_parts(inquiry)
    yield from leftovers.check_leftovers(labs, inquiry)
    yield leftovers.check_unfinished(labs)


def _may_ask(uri: str) -> bool:
    """Whether asking means what it says: for root, "the session" would be the system's hypervisor."""
    return uri != SESSION or os.geteuid() != 0
