"""The checks of style, types and rooms, each a test, so that one closing line counts everything."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.project.files import LAB, ROOT, assert_clean

PROGRAMS = Path(sys.executable).parent


def test_ruff_finds_nothing() -> None:
    assert_clean([PROGRAMS / "ruff", "check", "--no-cache", "."])


def test_everything_is_formatted() -> None:
    assert_clean([PROGRAMS / "ruff", "format", "--no-cache", "--diff", "."])


def test_types_hold() -> None:
    assert_clean([PROGRAMS / "mypy"])  # what has not changed since the last time, by its hash, is not read again


def test_rooms_import_only_what_they_may() -> None:
    assert_clean([PROGRAMS / "lint-imports", "--no-cache"])


def test_shell_scripts_are_clean() -> None:
    scripts = [LAB, ROOT / ".ci/run", *sorted((ROOT / "deploy").glob("*.sh"))]
    assert_clean([PROGRAMS / "shellcheck", "--external-sources", *scripts])


def test_what_is_installed_fits_together() -> None:
    assert_clean([sys.executable, "-m", "pip", "check", "--disable-pip-version-check"])
