"""What the tests of the course share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import Lab
from labkit.course.progress import CourseProgress


@pytest.fixture
def progress(tmp_path: Path) -> CourseProgress:
    """A student's progress, empty."""
    return CourseProgress(tmp_path / "course")


@pytest.fixture(scope="module")
def classroom(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab in which one exercise of a module is done after the other; each leaves it as it was."""
    with Lab.open(f"class-{Path(request.path).stem}") as opened:
        yield opened
        opened.clean()
