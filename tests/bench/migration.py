"""Round trips of a guest that beats all the while: how long in all, how long it was still, and that none is lost."""

from __future__ import annotations

import time
from pathlib import Path

from labkit import Lab
from labkit.experiments import Heartbeat
from tests.bench.table import Row


def bench_migration(trips: int = 20) -> list[Row]:
    """A guest of 128 MiB with a snapshot, there and back; beside it an archive of the same machine."""
    totals, pauses, lost = [], [], 0.0
    with Lab.open("bench") as lab:
        vm = lab.create("web", if_exists="replace").start().wait_ready()
        vm.snapshots.take("one")
        other = lab.neighbour()
        for number in range(2 * trips):
            with Heartbeat(vm) as heart:
                began = time.perf_counter()
                vm.migrate(lab if number % 2 else other)
                totals.append(time.perf_counter() - began)
            pauses.append(heart.longest_pause - heart.period)
            lost += heart.lost
        lost += set(vm.snapshots) != {"one"} or vm.state != "running"
        archive = Path(lab.home) / "web.labkit"
        vm.stop()
        began = time.perf_counter()
        vm.export(archive)
        exported = time.perf_counter() - began
        began = time.perf_counter()
        lab.import_machine(archive, "copy", identity="new")
        imported = time.perf_counter() - began
        archive.unlink()
        lab.clean()
    return [
        Row(what=f"migration, in all ({2 * trips} times)", runs=tuple(totals)),
        Row(what="migration, the guest is still", runs=tuple(pauses)),
        Row(what="beats, guests and snapshots lost", runs=(lost,), unit="", limit=0),
        Row(what="export with a snapshot's memory", runs=(exported,)),
        Row(what="import of it", runs=(imported,)),
    ]
