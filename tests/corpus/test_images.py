"""Disk images that anyone may have made: whatever stands in their headers and tables."""

from __future__ import annotations

from pathlib import Path

from labkit.model.image import Format
from tests.corpus.test_small import run_child


def test_every_image_is_read_or_refused(tmp_path: Path) -> None:
    assert len(run_child("images", tmp_path, 8)) == len(Format) + 1
