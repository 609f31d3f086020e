"""What the tests of the course share."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.course.progress import Progress


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    """A student's progress, empty."""
    return Progress(tmp_path / "course")
