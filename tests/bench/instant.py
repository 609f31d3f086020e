"""Instant clones beside the same clones booted: how soon each answers, one and eight at once, and their memory."""

from __future__ import annotations

import itertools
import statistics
import time

from labkit import Lab
from labkit.machine import Machine
from labkit.units import MIB
from tests.bench.table import Row, interleave

MANY = 8


def bench_instant(rounds: int = 5) -> list[Row]:
    """A machine with a snapshot of it running; its clones are made, and ended when all of them have answered."""
    with Lab.open("bench") as lab:
        vm = lab.create("web", if_exists="replace").start().wait_ready()
        vm.snapshots.take("warm")
        vm.kill()
        numbers = itertools.count()
        resident: dict[bool, list[float]] = {True: [], False: []}

        def clone(count: int, *, instant: bool) -> float:
            began = time.perf_counter()
            name = f"seat-{next(numbers)}-{{}}"
            made = vm.clone(name, kind="linked", snapshot="warm", count=count, instant=instant)
            clones = made if isinstance(made, list) else [made]
            for each in clones:
                if not instant:
                    each.start()
            for each in clones:
                each.wait_ready()
            took = time.perf_counter() - began
            resident[instant].append(statistics.mean(_resident(lab, each) for each in clones) / MIB)
            for each in clones:
                each.kill()
                each.delete()
            return took

        one = interleave(rounds, {"boot": lambda: clone(1, instant=False), "at once": lambda: clone(1, instant=True)})
        many = interleave(
            max(3, rounds // 2),
            {"boot": lambda: clone(MANY, instant=False), "at once": lambda: clone(MANY, instant=True)},
        )
        lab.clean()
    return [
        Row(what="linked clone + start → ready", runs=one["boot"]),
        Row(what="instant clone → ready, renewed", runs=one["at once"], against=one["boot"], limit=0.7),
        Row(what=f"{MANY} linked clones + start → all ready", runs=many["boot"]),
        Row(what=f"{MANY} instant clones → all ready, renewed", runs=many["at once"], against=many["boot"], limit=0.7),
        Row(what="resident memory of a booted clone", runs=tuple(resident[False]), unit="MiB"),
        Row(what="resident memory of an instant clone", runs=tuple(resident[True]), unit="MiB"),
    ]


def _resident(lab: Lab, clone: Machine) -> int:
    return lab.usage()[clone.id].memory
