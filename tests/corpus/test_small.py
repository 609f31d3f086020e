"""Small files that anyone may have written: whatever stands in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"


def run_child(module: str, folder: Path, count: int) -> list[dict[str, object]]:
    """Run a child on so many mutants of each kind; return its reports, none of which may hold a failure."""
    argv = [sys.executable, "-m", f"tests.corpus.{module}", str(folder), str(count * (20 if THOROUGH else 1))]
    # Without this each thread reserves room of its own, which counts although nothing is in it.
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    reports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for report in reports:
        sys.stdout.write(f"{ {key: value for key, value in report.items() if key != 'failures'} }\n")
    assert not [failure for report in reports for failure in report["failures"]]
    assert done.returncode == 0, done.stderr[-3000:]
    assert all(report["refused"] or report["taken"] for report in reports)
    return reports


def test_every_small_file_is_read_or_refused(tmp_path: Path) -> None:
    assert len(run_child("small", tmp_path, 150)) == 5


@pytest.mark.usefixtures("guest_images")
def test_whatever_stands_in_the_place_of_a_file_of_the_lab_is_read_or_refused(tmp_path: Path) -> None:
    assert len(run_child("folders", tmp_path, 2)) > 15
