"""What was left behind: machines of labs that are gone, processes and sockets without a machine, interrupted acts.

Knows: what a lab leaves on the host. Must not know: how that is removed or ended.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil

from labkit.doctor.instances import find_guests
from labkit.engine.folders import labs_folder
from labkit.engine.journal import read_entry
from labkit.engine.locks import find_busy
from labkit.engine.place import is_let_go, read_place
from labkit.engine.workspace import list_labs
from labkit.errors import HostTrouble, LabError
from labkit.hypervisor.daemon_place import find_config_folder
from labkit.hypervisor.inquiry import Inquiry, MarkedDomain
from labkit.hypervisor.sockets import session_runtime_folder
from labkit.language import _, ngettext
from labkit.model.diagnosis import Check, Status
from labkit.model.orphan import OrphanFacts, find_orphans
from labkit.units import format_size

MOST_ORPHANS = 3
"""Up to how many orphans are named one by one."""


def check_unfinished(labs: Path) -> Check:
    """Check for interrupted acts: those in a journal whose machines nobody is at work on."""
    slug = "unfinished-acts"
    found = sorted(path for path in labs.glob("*/journal/*.jsonl") if not _is_at_work(path))
    if not found:
        return Check(slug=slug, status=Status.OK, what=_("No act was cut short."))
    names = sorted({path.parent.parent.name for path in found})
    where = "" if labs == labs_folder() else f"LABKIT_HOME={shlex.quote(str(labs))} "
    foreign = sorted({path.parent.parent.name for path in found if _is_foreign(path)})
    if foreign:
        return Check(
            slug=slug,
            status=Status.NOTE,
            what=ngettext(
                "The journal of a lab holds an act that this computer did not write: {names}.",
                "The journals of labs hold acts that this computer did not write: {names}.",
                len(foreign),
            ).format(names=", ".join(foreign)),
            cause=_("The folder came from elsewhere, or was moved. Nothing of them is done until you say so."),
            repair=f"{where}./lab run labkit lab restore {shlex.quote(foreign[0])} --journal",
        )
    return Check(
        slug=slug,
        status=Status.NOTE,
        what=ngettext(
            "{count} act was cut short, in: {names}.", "{count} acts were cut short, in: {names}.", len(found)
        ).format(count=len(found), names=", ".join(names)),
        cause=_("The program that was at work ended before its act; opening the lab brings it to an end."),
        repair=f"{where}./lab run labkit list",
    )


def check_orphans(labs: Path, uri: str) -> Check:
    """Check for files in the labs' folders that nobody needs."""
    from labkit.engine.session import read_lab  # needs libvirt, without which the doctor must work

    slug = "orphans"
    found: dict[str, list[OrphanFacts]] = {}
    for name in (name for name in list_labs(labs) if not is_let_go(labs / name)):
        with contextlib.suppress(LabError):  # other checks say what is wrong with such a lab
            orphans = find_orphans(read_lab(name, home=labs, uri=uri)).values()
            if nobodys := [orphan for orphan in orphans if not orphan.unreturned]:  # the others' machines come back
                found[name] = nobodys
    if not found:
        return Check(slug=slug, status=Status.OK, what=_("Every file of the labs is needed by somebody."))
    first, count = next(iter(found)), sum(map(len, found.values()))
    size = format_size(sum(orphan.allocated for orphans in found.values() for orphan in orphans))
    where = "" if labs == labs_folder() else f"LABKIT_HOME={shlex.quote(str(labs))} "
    found_words = ngettext(
        "{count} file that nobody needs ({size}), in: {names}.",
        "{count} files that nobody needs ({size}), in: {names}.",
        count,
    ).format(count=count, size=size, names=", ".join(found))
    listed = [f"{name}/{orphan.name}: {orphan.sentence}" for name, orphans in found.items() for orphan in orphans]
    more = [_("The others are listed by the command.")] if len(listed) > MOST_ORPHANS else []
    return Check(
        slug=slug,
        status=Status.NOTE,
        what=" ".join((found_words, *listed[:MOST_ORPHANS], *more)),
        cause=_("Another program forgot or changed what they were; no act of labkit touches them."),
        repair=f"{where}./lab run labkit orphans --lab {shlex.quote(first)}",
    )


def check_kept_guests() -> Check:
    """Tell how much room the guests take that are kept booted."""
    from labkit.engine import as_made, kept_guests  # needs libvirt, without which the doctor must work

    slug, kept = "kept-guests", kept_guests.list_kept()
    if not kept:
        return Check(slug=slug, status=Status.OK, what=_("No guest is kept booted."))
    sentence = ngettext(
        "{count} guest is kept booted, for new machines to go on from: {size} in {folder}.",
        "{count} guests are kept booted, for new machines to go on from: {size} in {folder}.",
        len(kept),
    )
    size, folder = format_size(kept_guests.bytes_kept()), as_made.kept_folder()
    return Check(slug=slug, status=Status.OK, what=sentence.format(count=len(kept), size=size, folder=folder))


def _is_at_work(path: Path) -> bool:
    """Whether somebody holds the locks of an act's machines; of an act that cannot be read, nobody does."""
    try:
        entry = read_entry(path)
    except HostTrouble:
        return False
    if entry is None:
        return True  # it has just ended
    return entry.ours and bool(find_busy(path.parent.parent / "locks", entry.plan.locks))


def _is_foreign(path: Path) -> bool:
    """Whether an act can be read and was not written by this computer for this folder."""
    try:
        entry = read_entry(path)
    except HostTrouble:
        return False
    return entry is not None and not entry.ours


def check_machines(labs: Path, inquiry: Inquiry) -> Check:
    """Check for machines with our mark whose lab is gone."""
    slug = "leftover-machines"
    ids = _lab_ids(labs)
    found = [domain for domain in inquiry.marked if domain.lab_id not in ids and _lab_is_gone(domain)]
    if not found:
        return Check(slug=slug, status=Status.OK, what=_("Every machine belongs to a lab that is there."))
    folders = sorted({_folder_of(domain) for domain in found})
    virsh = f"virsh -c {shlex.quote(inquiry.uri)}"
    names = shlex.join(domain.name for domain in found)
    forget = f'{virsh} undefine "$m" --snapshots-metadata --nvram'  # refused if that would delete saved memory
    loop = f'for m in {names}; do {virsh} destroy "$m"; {forget}; done'
    return Check(
        slug=slug,
        status=Status.NOTE,
        what=_("Machines of labs that are gone: {names}.").format(names=", ".join(d.name for d in found)),
        cause=_(
            "The folder of their lab is not where it was: {folders}. If it was moved, type ./lab run labkit lab move "
            "{name} --home FOLDER, with the folder that it is in now. If it was removed, the command below lets the "
            "hypervisor forget them, but for those that are saved."
        ).format(folders=", ".join(map(str, folders)), name=shlex.quote(folders[0].name)),
        repair=f"./lab run bash -c {shlex.quote(loop)}",
    )


def _lab_ids(labs: Path) -> frozenset[str]:
    ids = set()
    for path in labs.glob("*/lab.json"):
        with contextlib.suppress(OSError, HostTrouble):
            ids.add(read_place(path.parent).id)
    return frozenset(ids)


def _folder_of(domain: MarkedDomain) -> Path:
    """Where the lab's folder was, judging by a machine's disks."""
    return Path(domain.paths[0]).parent.parent if domain.paths else Path("?")


def _lab_is_gone(domain: MarkedDomain) -> bool:
    """Whether the folders of its disks are gone; so labs in another home do not count as gone."""
    return not any(Path(path).parent.parent.is_dir() for path in domain.paths)


def check_processes(labs: Path, inquiry: Inquiry) -> Check:
    """Check for QEMU processes with our images that the hypervisor does not know."""
    slug = "leftover-processes"
    elsewhere = find_guests(labs)
    found = [pid for pid, id_ in _guests_of(labs) if id_ not in inquiry.active and pid not in elsewhere]
    if not found:
        return Check(slug=slug, status=Status.OK, what=_("Every guest's process belongs to a machine."))
    pids = " ".join(map(str, found))
    return Check(
        slug=slug,
        status=Status.NOTE,
        what=_("QEMU processes that no machine of {uri} owns: {pids}.").format(uri=inquiry.uri, pids=pids),
        cause=_("The daemon lost them, or they belong to another hypervisor of yours."),
        repair=f"./lab run kill {pids}",
    )


def _guests_of(labs: Path) -> Iterator[tuple[int, str]]:
    """Yield the process id and machine id of each of our QEMU processes that has an image of these labs open."""
    for process in psutil.process_iter(["name", "cmdline", "uids"]):
        arguments = process.info["cmdline"] or []
        if not (process.info["name"] or "").startswith("qemu-system") or "-uuid" not in arguments[:-1]:
            continue
        if process.info["uids"] and process.info["uids"].effective != os.geteuid():
            continue
        if any(f"{labs}{os.sep}" in argument for argument in arguments):
            yield int(process.pid), arguments[arguments.index("-uuid") + 1]


def check_sockets() -> Check:
    """Check for sockets of machines that nobody listens on."""
    slug = "leftover-sockets"
    found = list(_stale_sockets())
    if not found:
        return Check(slug=slug, status=Status.OK, what=_("No socket is left without a listener."))
    return Check(
        slug=slug,
        status=Status.NOTE,
        what=ngettext(
            "{count} socket is left that nobody listens on.",
            "{count} sockets are left that nobody listens on.",
            len(found),
        ).format(count=len(found)),
        cause=_("A daemon or a guest was killed. They are in nobody's way."),
        repair=shlex.join(["rm", "-f", *map(str, found)]),
    )


_UNIX_COLUMNS = 7  # before a socket's path, which may have spaces in it


def _stale_sockets() -> Iterator[Path]:
    listening = {line.split(maxsplit=_UNIX_COLUMNS)[-1] for line in _unix_table()}
    runtime = session_runtime_folder()
    paths = sorted(runtime.glob("*.agent"))
    for top in (find_config_folder() / "libvirt/qemu", runtime / "libvirt"):
        for folder, _folders, names in os.walk(top):  # leaves out what it may not read
            paths += (Path(folder) / name for name in sorted(names))
    for path in paths:
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(path.lstat().st_mode) and str(path) not in listening:
                yield path


def _unix_table() -> list[str]:
    try:
        return [line for line in Path("/proc/net/unix").read_text().splitlines() if line.strip()]
    except OSError:
        return []
