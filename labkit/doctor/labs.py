"""Labs and what libvirt knows of them: whether each is where it was, and whether its machines are known.

Knows: labs' folders, the daemon that answers. Must not know: how a lab is brought back.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from labkit.engine.folders import labs_folder
from labkit.engine.place import Standing, command, find_standing, is_let_go, read_place
from labkit.engine.record_file import read_record
from labkit.errors import HostTrouble
from labkit.hypervisor.daemon_place import config_folder
from labkit.hypervisor.inquiry import Inquiry
from labkit.language import _, ngettext
from labkit.model.diagnosis import Check, Status


def check_configuration(inquiry: Inquiry) -> Check | None:
    """Check whether the daemon that answers keeps its machines where the next daemon would look for them."""
    slug = "configuration"
    used = config_folder(inquiry.uri)
    if used is None:
        return None  # it cannot be seen
    said = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    folder = used / "libvirt/qemu"
    if used == said or (used.exists() and said.exists() and used.samefile(said)):
        return Check(
            slug=slug, status=Status.OK, what=_("libvirt keeps its machines in {folder}.").format(folder=folder)
        )
    count = len(list(folder.glob("*.xml")))
    return Check(
        slug=slug,
        status=Status.TROUBLE if count else Status.NOTE,
        what=_("libvirt keeps its machines in {folder}, and XDG_CONFIG_HOME says {said}.").format(
            folder=folder, said=said
        ),
        cause=ngettext(
            "The variable was changed after the daemon (process {pid}) had started. The next one would look there, and "
            "not know its {count} machine.",
            "The variable was changed after the daemon (process {pid}) had started. The next one would look there, and "
            "know none of the {count} machines.",
            count,
        ).format(pid=inquiry.pid, count=count),
        repair=f"export XDG_CONFIG_HOME={shlex.quote(str(used))}",
    )


def check_labs(labs: Path, inquiry: Inquiry) -> Check:
    """Check whether every lab is where it was, and whether libvirt knows the machines in its record."""
    slug = "labs"
    troubles = [*_find_locked(labs), *_find_displaced(labs), *_find_forgotten(labs, inquiry)]
    if not troubles:
        return Check(slug=slug, status=Status.OK, what=_("Every lab is where it was, and libvirt knows its machines."))
    what, cause, repair = troubles[0]
    return Check(slug=slug, status=Status.NOTE, what=what, cause=cause, repair=repair)


def _find_locked(labs: Path) -> Iterator[tuple[str, str, str]]:
    """Sentences about labs whose folders this user may not use, and which are therefore not looked at."""
    for home in sorted(path for path in labs.glob("*") if path.is_dir()):
        parts = (home, *(home / name for name in ("disks", "journal", "locks", "memory")))
        locked = next((part for part in parts if not _may_use(part)), None)
        if locked is None:
            continue
        owned = locked.stat().st_uid == os.geteuid()
        repair = f"chmod u+rwx {shlex.quote(str(locked))}" if owned else f"sudo chown -R $USER {shlex.quote(str(home))}"
        yield (
            _("This user has no right to use {folder}: the lab {name} cannot be looked at.").format(
                folder=locked, name=home.name
            ),
            _("Another program has changed the folder's mode.") if owned else _("It belongs to another user."),
            repair,
        )


def _may_use(folder: Path) -> bool:
    """Whether a folder may be read and written; one that is not there, or below such a one, is no matter here."""
    try:
        return os.access(folder, os.R_OK | os.W_OK | os.X_OK) or not folder.is_dir()
    except OSError:
        return True


def _find_displaced(labs: Path) -> Iterator[tuple[str, str, str]]:
    """Sentences about labs that were moved, copied or have lost their identity; the cause; the repair."""
    for home in sorted(path.parent for path in labs.glob("*/disks")):
        try:
            standing = find_standing(home, read_place(home))
        except FileNotFoundError:
            if any((home / "disks").iterdir()):
                yield _("The lab in {home} has lost its identity.").format(home=home), _lost(), command("restore", home)
            continue
        except HostTrouble as trouble:
            yield trouble.message, _lost(), command("restore", home)
            continue
        if standing is Standing.MOVED:
            cause = _("Its folder was moved or carried here.")
            yield _("The lab in {home} was elsewhere before.").format(home=home), cause, command("move", home)
        if standing is Standing.COPIED:
            cause = _("Its folder was copied; the original is there.")
            yield _("The lab in {home} is a copy.").format(home=home), cause, command("copy", home)


def _lost() -> str:
    return _("Its file lab.json is missing or damaged. What is in the folder is untouched.")


def _find_forgotten(labs: Path, inquiry: Inquiry) -> Iterator[tuple[str, str, str]]:
    """Sentences about labs with machines that libvirt does not know; the cause; the repair."""
    known = {domain.id for domain in inquiry.marked}
    for home in sorted(path.parent for path in labs.glob("*/record.json")):
        try:
            record = read_record(home)
        except HostTrouble as trouble:
            yield trouble.message, _("It is damaged, or was written by a newer labkit."), "./lab run labkit list"
            continue
        here = [machine for machine in record.machines if not machine.instance] if record else []
        names = [machine.name for machine in here if machine.id not in known and machine.uri in ("", inquiry.uri)]
        if names and not is_let_go(home):
            where = "" if labs == labs_folder() else f"LABKIT_HOME={shlex.quote(str(labs))} "
            yield (
                ngettext(
                    "libvirt does not know this machine of the lab {lab}: {names}.",
                    "libvirt does not know these machines of the lab {lab}: {names}.",
                    len(names),
                ).format(lab=home.name, names=", ".join(names)),
                ngettext(
                    "Its configuration was lost, or is another one now. Opening the lab brings it back.",
                    "Its configuration was lost, or is another one now. Opening the lab brings them back.",
                    len(names),
                ),
                f"{where}./lab run labkit list --lab {shlex.quote(home.name)}",
            )
