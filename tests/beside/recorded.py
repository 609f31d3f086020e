"""One history of the recorded run, in a process of its own, and what is told of it.

Knows: courses, instances. Must not know: which histories follow each other.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.beside.courses import Course
from tests.instance import Instance


def run(course: Course, images: Path) -> dict[str, Any]:
    """Run one history in an instance of its own; returns what is told of it."""
    counts: Counter[str] = Counter()
    found, began = "", time.monotonic()
    instance = Instance(images)
    try:
        with instance.in_force():
            course.run(instance, counts)
    except Exception:  # noqa: BLE001 — whatever it is, it is the finding
        found = traceback.format_exc()
    finally:
        instance.end()
    return {
        "course": asdict(course),
        "seconds": round(time.monotonic() - began),
        "counts": {name: number for name, number in sorted(counts.items()) if number},
        "found": found,
    }
