"""What a student waits for when an exercise is begun: each exercise of the course, started once."""

from __future__ import annotations

import time

from labkit import Lab
from labkit.course.catalogue import EXERCISES, exercise
from labkit.course.machine_exercise import MEMORY
from tests.bench.table import Row


def bench_exercises(rounds: int = 1) -> list[Row]:
    """Start every exercise; a guest of the kind that most of their machines are of is kept before."""
    took: list[float] = []
    with Lab.open("bench") as lab:
        lab.create("kept", memory=MEMORY, if_exists="replace").start(warm=True).wait_ready().kill().delete()
        for _round in range(rounds):
            for slug in EXERCISES:
                ex = exercise(slug, lab)
                began = time.perf_counter()
                ex.start()
                took.append(time.perf_counter() - began)
                ex.reset()
        lab.clean()
    return [Row(what="exercise, call → begun (every exercise)", runs=tuple(took), limit=3.0)]
