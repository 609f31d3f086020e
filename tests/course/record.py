"""Record what the readers of exercises see: `./lab run python -m tests.course.record [SLUG …]`.

Every way astray is gone for real, in a hypervisor instance of its own, and what was read is written into `recordings/`.
It says what each check tells; one that is not refused, or not with the words that are expected, is marked with `!!`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from labkit import Lab
from labkit.course.catalogue import EXERCISES
from labkit.course.exercise import Exercise, Verdict
from labkit.course.progress import CourseProgress
from labkit.course.reading import Evidence
from tests.course.astray import ALL
from tests.course.astray.means import solve
from tests.course.recordings import SOLVED, Recorded, Recording, write_recording
from tests.instance import instance_of_a_program


def record(lab: Lab, slug: str, folder: Path) -> None:
    """Record one exercise."""
    ex = EXERCISES[slug](lab, progress=CourseProgress(folder))
    recording = Recording(student=CourseProgress(folder).student)
    for name, act, says in [
        *((each.name, each.act, each.says) for each in ALL if each.slug == slug),
        (SOLVED, solve, ""),
    ]:
        recording.cases[name] = _record(ex, name, act, says)
        lab.clean()  # what was made besides
    ex.reset()
    write_recording(slug, recording)


def _record(ex: Exercise, name: str, act: object, says: str) -> Recorded:
    assert callable(act)
    began = time.monotonic()
    ex.start()
    started = time.monotonic()
    act(ex)
    now, evidence = ex.read(), ex.evidence or Evidence()
    result = ex.judge_all(evidence, now)
    well = (
        result.verdict is Verdict.DONE if name == SOLVED else result.verdict is not Verdict.DONE and says in result.why
    )
    spent = f"{started - began:5.1f} + {time.monotonic() - started:5.1f} s"
    print(f"{'  ' if well else '!!'} {spent} {ex.slug}: {name}: {result.text}", flush=True)  # noqa: T201
    ex.reset()
    return Recorded(evidence=evidence, now=now)


def main() -> None:
    """Record those that are named, or all."""
    with instance_of_a_program() as instance:
        lab = Lab.open("rec")
        for slug in sys.argv[1:] or EXERCISES:
            record(lab, slug, instance.folder / "student" / slug)


if __name__ == "__main__":
    main()
