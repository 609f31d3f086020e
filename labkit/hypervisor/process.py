"""A running guest as the host sees it: one process of the emulator.

Knows: the process table of this host (through psutil). Must not know: what the guest does inside.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

from labkit.model.usage import GuestProcess

_DELETED = " (deleted)"
"""What stands behind the last path of an open file that was deleted, as in proc_pid_fd(5)."""

_BEGAN = 19
"""The index of the field "starttime" of proc_pid_stat(5), counted after the name."""

_LAST = 19  # of the nice values


def find_pid(machine_id: str) -> int | None:
    """Return the process id of a machine's QEMU, or None when it has none."""
    for process in psutil.process_iter(["name", "cmdline"]):
        arguments = process.info["cmdline"] or []
        emulates = (process.info["name"] or "").startswith("qemu-")  # anybody may have such words on a command line
        if emulates and ("-uuid", machine_id) in itertools.pairwise(arguments):
            return int(process.pid)
    return None


def yield_to_others(machine_id: str) -> None:
    """Let a machine's QEMU have only the time that no other program of this computer wants."""
    pid = find_pid(machine_id)
    with contextlib.suppress(OSError):  # it has just ended
        Path(f"/proc/{pid}/autogroup").write_text(str(_LAST))  # where Linux shares the time between such groups first
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setscheduler(int(thread), os.SCHED_IDLE, os.sched_param(0))


def began_at(pid: int | None) -> float | None:
    """Return when a process began, in seconds since 1970, or None if there is no such process.

    It is precise to a hundredth of a second; psutil knows only the second in which the host booted.
    """
    if ticks := _began_ticks(pid):
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
    return None


def _began_ticks(pid: int | None) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[_BEGAN])
    return 0


def find_pids(folder: str) -> list[int]:
    """Return the process ids of emulators whose command line names a file in this folder."""
    return [
        int(process.pid)
        for process in psutil.process_iter(["name", "cmdline"])
        if (process.info["name"] or "").startswith("qemu-")
        and any(f"{folder}/" in argument for argument in process.info["cmdline"] or [])
    ]


def find_users(paths: Collection[str]) -> list[int]:
    """Return the process ids of emulators and QEMU's tools that have one of these images open, or were given it.

    What another user's process has open cannot be seen, only its command line.
    """
    return [
        int(process.pid)
        for process in psutil.process_iter(["name", "cmdline"])
        if (process.info["name"] or "").startswith("qemu-") and _uses(process, paths)
    ]


def find_exchanged(machine_id: str, paths: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return those of some images that a machine's QEMU has open although their names lead to other files, or to none.

    Where the process cannot be looked into (another user's, or one of another user namespace) none are found.

    Args:
        paths: the images that the machine writes to; those below them are looked at, too, if one of these is found.

    Returns:
        For each its path, and where the file is that QEMU has: its new path, or the descriptor, if it was deleted.
        Those given come first.
    """
    opened = _opened_by(find_pid(machine_id))
    files = {each.file for each in opened}
    wanted = [*paths]
    found: dict[str, str] = {}
    for path in wanted:
        for each in opened if _file_at(path) not in files else ():
            if os.path.basename(each.path) == os.path.basename(path):
                found.setdefault(path, each.where)
                for other in opened:  # the images below it are in the same folder
                    place = os.path.join(os.path.dirname(path), os.path.basename(other.path))
                    if os.path.dirname(other.path) == os.path.dirname(each.path) and _file_at(place) not in files:
                        found.setdefault(place, other.where)
    return tuple(sorted(found.items(), key=lambda pair: pair[0] not in wanted))


class _Opened(NamedTuple):
    """A file that a process has open: its last path, where it can be read now, and which file it is."""

    path: str
    where: str
    file: tuple[int, int] | None


def _opened_by(pid: int | None) -> list[_Opened]:
    found = []
    with contextlib.suppress(OSError):  # no process, or not one to look into
        for descriptor in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # it was just closed
                path = os.readlink(descriptor.path)
                gone = path.endswith(_DELETED)
                path = path.removesuffix(_DELETED)
                found.append(_Opened(path, descriptor.path if gone else path, _file_at(descriptor.path)))
    return found


def _file_at(path: str) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        info = os.stat(path)
        return info.st_dev, info.st_ino
    return None


def _uses(process: psutil.Process, paths: Collection[str]) -> bool:
    if any(path in argument for argument in process.info["cmdline"] or [] for path in paths):
        return True
    try:
        return any(file.path in paths for file in process.open_files())
    except psutil.Error:
        return False


def read_process(machine_id: str, guest_memory: int) -> GuestProcess | None:
    """Return a running guest's process, or None when it has none.

    Args:
        guest_memory: bytes of memory that the machine has; its region is found by this size.
    """
    pid = find_pid(machine_id)
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times, memory = process.cpu_times(), process.memory_info()
            return GuestProcess(
                pid=pid,
                program=process.name(),
                threads=process.num_threads(),
                cpu_seconds=times.user + times.system,
                resident=memory.rss,
                guest_memory=guest_memory,
                guest_memory_resident=_region_resident(process, guest_memory),
                ancestors=tuple(parent.name() for parent in process.parents()),
                began=100 * _began_ticks(pid) // os.sysconf("SC_CLK_TCK"),
                is_resumed="-incoming" in process.cmdline(),
            )
    except psutil.NoSuchProcess:
        return None


def _region_resident(process: psutil.Process, size: int) -> int | None:
    try:
        regions = process.memory_maps(grouped=False)
    except psutil.AccessDenied:
        return None
    # One that maps its memory has another region as large, which libvirt has asked for and nobody touches.
    return max((int(region.rss) for region in regions if int(region.size) == size), default=None)
