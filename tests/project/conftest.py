"""What the tests of ./lab share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with every program of this system but sudo, to stand alone in PATH; a test may replace some."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for place in ("/usr/sbin", "/usr/bin"):
        for program in Path(place).iterdir():
            link = folder / program.name
            if program.name != "sudo" and not link.is_symlink():
                link.symlink_to(program)
    return folder
