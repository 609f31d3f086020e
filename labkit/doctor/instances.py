"""Hypervisor instances of labs beside the session's own: which run, and which belong to a lab that is gone.

Knows: where a lab keeps them. Must not know: how one is ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

from labkit.hypervisor.instances import Instance, find_instances
from labkit.language import _, ngettext
from labkit.model.diagnosis import Check, Status


def check_neighbours(labs: Path) -> Check:
    """Check whether a neighbour runs whose lab is gone; also names those that run for a lab."""
    slug = "neighbours"
    lost = [(pid, folder) for pid, folder in _find_daemons(labs) if not _has_lab(folder)]
    if lost:
        pids = " ".join(str(pid) for pid, _folder in lost)
        return Check(
            slug=slug,
            status=Status.NOTE,
            what=ngettext(
                "A neighbour of a lab that is gone runs: process {pids}.",
                "Neighbours of labs that are gone run: processes {pids}.",
                len(lost),
            ).format(pids=pids),
            cause=_("The lab's folder was removed by hand. Without guests a neighbour ends by itself in two minutes."),
            repair=f"./lab run kill {pids}",
        )
    running = [
        f"{instance.folder.parent.parent.name}/{instance.folder.name} ({pid})"
        for instance in _find_all(labs)
        if (pid := instance.daemon_pid()) is not None
    ]
    if not running:
        return Check(slug=slug, status=Status.OK, what=_("No lab's neighbour is running."))
    names = ", ".join(running)
    return Check(slug=slug, status=Status.OK, what=_("Neighbours of labs that run: {names}.").format(names=names))


def find_guests(labs: Path) -> frozenset[int]:
    """Return the process ids of the guests that run on the labs' neighbours."""
    return frozenset(process.pid for instance in _find_all(labs) for process in instance.processes())


def _find_all(labs: Path) -> list[Instance]:
    return [instance for folder in sorted(labs.glob("*/instances")) for instance in find_instances(folder)]


def _find_daemons(labs: Path) -> Iterator[tuple[int, Path]]:
    """Yield process id and folder of each daemon that was started for a lab in this folder of labs."""
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        config = Path(line[line.index("--config") + 1]) if "--config" in line[:-1] else None
        if config is not None and config.name == "daemon.conf" and config.is_relative_to(labs):
            yield process.pid, config.parent


def _has_lab(folder: Path) -> bool:
    return (folder.parent.parent / "lab.json").exists() and not Instance(folder=folder).is_ended
