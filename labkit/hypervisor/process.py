"""A running guest as its host sees it: one process of the emulator.

Knows: the process table of this host (through psutil). Must not know: what the guest does inside.
"""

from __future__ import annotations

from collections.abc import Collection

import psutil

from labkit.model.usage import GuestProcess


def find_pid(machine_id: str) -> int | None:
    """Return the process id of a machine's QEMU, or None when it has none."""
    for process in psutil.process_iter(["name", "cmdline"]):
        arguments = process.info["cmdline"] or []
        if "-uuid" in arguments and arguments[arguments.index("-uuid") + 1] == machine_id:
            return int(process.pid)
    return None


def find_pids(folder: str) -> list[int]:
    """Return the process ids of emulators whose command line names a file in a folder."""
    return [
        int(process.pid)
        for process in psutil.process_iter(["name", "cmdline"])
        if (process.info["name"] or "").startswith("qemu-")
        and any(f"{folder}/" in argument for argument in process.info["cmdline"] or [])
    ]


def find_tools(paths: Collection[str]) -> list[int]:
    """Return the process ids of QEMU's tools (qemu-img, qemu-nbd, qemu-io) that name one of some files."""
    return [
        int(process.pid)
        for process in psutil.process_iter(["name", "cmdline"])
        if (process.info["name"] or "").startswith(("qemu-img", "qemu-nbd", "qemu-io"))
        and any(path in argument for argument in process.info["cmdline"] or [] for path in paths)
    ]


def read_process(machine_id: str, guest_memory: int) -> GuestProcess | None:
    """Return a running guest's process, or None when it has none.

    Args:
        guest_memory: bytes of memory the machine has: its region is found by its size.
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
            )
    except psutil.NoSuchProcess:
        return None


def _region_resident(process: psutil.Process, size: int) -> int | None:
    try:
        regions = process.memory_maps(grouped=False)
    except psutil.AccessDenied:
        return None
    return next((int(region.rss) for region in regions if int(region.size) == size), None)
