"""The recorded run: histories one after another until enough was tried, and a summary of it.

    ./lab run python -m tests.beside --into FOLDER/summary.json

One history after the other, of each kind, each with a seed, a process and a hypervisor instance of its own, until the
steps asked for are reached. After each of them the summary is written again. Called again with the same file it goes
on behind the last history that is in it. A history that finds something stands in the summary with what it found, and
the run goes on with the next; the end is an error then.

Knows: courses, the command line. Must not know: what a history does.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.beside.courses import Course
from tests.beside.recorded import run
from tests.instance import find_guest_images

_STEPS = {"fast": "acts", "guest": "guest steps"}
"""What counts as a step, by the name of a count."""


def fast_courses(first: int) -> Iterator[Course]:
    """Histories of machines that are off, without end."""
    for seed in itertools.count(first):
        for kernels in (2, 3):
            yield Course(kind="kernels", kernels=kernels, seed=seed, size=100)
            yield Course(kind="upheavals", kernels=kernels, seed=seed, size=5)


def guest_courses(first: int) -> Iterator[Course]:
    """Histories of guests that run, without end."""
    for seed in itertools.count(first):
        yield Course(kind="guests", kernels=2, seed=seed, size=50)


def main() -> int:
    """Carry on with a run until it has as many steps as were asked for; returns the command's status."""
    parser = argparse.ArgumentParser(prog="python -m tests.beside", description=__doc__.partition("\n")[0])
    parser.add_argument("--into", type=Path, required=True, help="the summary's file; where it exists, the run goes on")
    parser.add_argument("--fast", type=int, default=5000, metavar="STEPS", help="steps of machines that are off")
    parser.add_argument("--guest", type=int, default=300, metavar="STEPS", help="steps of guests that run")
    parser.add_argument("--seed", type=int, default=1, help="the first history's")
    asked = parser.parse_args()
    histories: list[dict[str, Any]] = json.loads(asked.into.read_text())["histories"] if asked.into.exists() else []
    known = [Course(**each["course"]) for each in histories]
    images = find_guest_images()
    for kind, wanted, courses in (
        ("fast", asked.fast, fast_courses(asked.seed)),
        ("guest", asked.guest, guest_courses(asked.seed)),
    ):
        while sum(each["counts"].get(_STEPS[kind], 0) for each in histories) < wanted:
            course = next(course for course in courses if course not in known)
            sys.stdout.write(f"{course} …\n")
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                histories.append(alone.submit(run, course, images).result())
            asked.into.write_text(json.dumps(summarize(histories), indent=1, ensure_ascii=False) + "\n")
            sys.stdout.write(histories[-1]["found"] or f"nothing lost, {histories[-1]['seconds']} s\n")
            if not histories[-1]["counts"]:
                return 1  # not even begun: nor would the next
    return int(any(each["found"] for each in histories))


def summarize(histories: list[dict[str, Any]]) -> dict[str, Any]:
    """The summary: all counts together, then each history."""
    total: Counter[str] = Counter()
    for each in histories:
        total.update(each["counts"])
    return {
        "steps": {kind: total[count] for kind, count in _STEPS.items()},
        "contents compared": total["contents compared"] + total["guest contents compared"],
        "histories with a finding": sum(bool(each["found"]) for each in histories),
        "seconds": sum(each["seconds"] for each in histories),
        "counts": dict(sorted(total.items())),
        "histories": histories,
    }


if __name__ == "__main__":
    sys.exit(main())
