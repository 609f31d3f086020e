"""Instant clones beside the same clones booted: how soon each answers, one and eight at once, and their memory.

Knows: labs, the process table. Must not know: how a clone comes to its memory.
"""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path

from labkit import Lab
from labkit.machine import Machine
from labkit.units import KIB, MIB
from tests.bench.table import Row, interleave
from tests.travel.sides import find_emulators

MANY = 8


def bench_instant(rounds: int = 5) -> list[Row]:
    """A machine with a snapshot of it running; its clones are made, and ended when all of them have answered."""
    with Lab.open("bench") as lab:
        vm = lab.create("web", if_exists="replace").start().wait_ready()
        vm.snapshots.take("warm")
        vm.kill()
        numbers = itertools.count()
        memory: dict[bool, list[float]] = {True: [], False: []}

        def clone(count: int, *, instant: bool, identity: str = "new") -> float:
            began = time.perf_counter()
            name = f"seat-{next(numbers)}-{{}}"
            asked = {"kind": "linked", "snapshot": "warm", "identity": identity}
            made = vm.clone(name, count=count, instant=instant, **asked)  # type: ignore[arg-type]
            clones = made if isinstance(made, list) else [made]
            for each in clones:
                if not instant:
                    each.start()
            for each in clones:
                each.wait_ready()
            took = time.perf_counter() - began
            if count == MANY:
                memory[instant].append(statistics.mean(map(_proportional, clones)) / MIB)
            for each in clones:
                each.kill()
                each.delete()
            return took

        clone(1, instant=True)  # the first one lays the memory out
        one = interleave(
            rounds,
            {
                "boot": lambda: clone(1, instant=False),
                "at once": lambda: clone(1, instant=True),
                "twin": lambda: clone(1, instant=True, identity="keep"),
            },
        )
        many = interleave(
            max(3, rounds // 2),
            {"boot": lambda: clone(MANY, instant=False), "at once": lambda: clone(MANY, instant=True)},
        )
        lab.clean()
    return [
        Row(what="linked clone + start → ready", runs=one["boot"]),
        Row(what="instant clone, a twin → ready", runs=one["twin"], limit=0.2),
        Row(what="instant clone → ready, renewed", runs=one["at once"], limit=0.3),
        Row(what="the same beside the boot", runs=one["at once"], against=one["boot"], limit=0.2),
        Row(what=f"{MANY} linked clones + start → all ready", runs=many["boot"]),
        Row(what=f"{MANY} instant clones → all ready, renewed", runs=many["at once"], limit=1.2),
        Row(what="the same beside the boots", runs=many["at once"], against=many["boot"], limit=0.2),
        Row(what=f"memory of each of {MANY} booted clones (PSS)", runs=tuple(memory[False]), unit="MiB"),
        Row(what=f"memory of each of {MANY} instant clones (PSS)", runs=tuple(memory[True]), unit="MiB", limit=40),
    ]


def _proportional(clone: Machine) -> int:
    """Bytes of the host's memory that are a guest's own, and its part of those that several share."""
    (process,) = find_emulators(clone.id)
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * KIB
