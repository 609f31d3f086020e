"""Archives that anyone may have made: whatever stands in them."""

from __future__ import annotations

from pathlib import Path

from tests.corpus.test_small import run_child


def test_every_archive_is_brought_in_or_refused(tmp_path: Path) -> None:
    assert len(run_child("archives", tmp_path, 40)) == 4
