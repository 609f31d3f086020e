"""A running guest as the host sees it: one process of the emulator.

Knows: the process table of this host (through psutil). Must not know: what the guest does inside.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection
from pathlib import Path

import psutil

from labkit.model.usage import GuestProcess

_BEGAN = 19
"""The index of the field "starttime" of proc_pid_stat(5), counted after the name."""


def find_pid(machine_id: str) -> int | None:
    """Return the process id of a machine's QEMU, or None when it has none."""
    for process in psutil.process_iter(["name", "cmdline"]):
        arguments = process.info["cmdline"] or []
        if "-uuid" in arguments and arguments[arguments.index("-uuid") + 1] == machine_id:
            return int(process.pid)
    return None


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
