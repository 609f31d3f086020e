"""An address at which no notebook is: which one may be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.server.addresses import find_near, list_notebooks


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What a student's JupyterLab shows."""
    for name in ("en/00-your-lab", "en/03-disks", "en/index", "es/03-disks", "en/earlier/05-clones", ".x/05-clones"):
        path = tmp_path / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("notebooks/en/03-disks.ipynb", "en/03-disks.ipynb"),
        ("notebooks/es/03-disks.ipynb", "es/03-disks.ipynb"),
        ("03-disks.ipynb", "en/03-disks.ipynb"),
        ("en/03-discs.ipynb", "en/03-disks.ipynb"),
        ("en/your-lab.ipynb", "en/00-your-lab.ipynb"),
        ("en/05-clones.ipynb", "en/index.ipynb"),
        ("elsewhere", "en/index.ipynb"),
    ],
)
def test_the_notebook_that_may_be_meant(root: Path, wrong: str, meant: str) -> None:
    assert find_near(root, wrong) == meant


def test_where_there_is_none_none_is_named(tmp_path: Path) -> None:
    assert find_near(tmp_path, "en/03-disks.ipynb") == ""


def test_what_was_put_aside_is_not_offered(root: Path) -> None:
    assert list_notebooks(root) == ["en/00-your-lab.ipynb", "en/03-disks.ipynb", "en/index.ipynb", "es/03-disks.ipynb"]
