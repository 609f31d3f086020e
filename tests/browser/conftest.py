"""JupyterLab and a page of a browser, for each file of tests and for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit import Lab
from tests.browser.jupyter import Server, Window, open_window, start_server

__all__ = ["Server", "Window", "start_server"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A JupyterLab as `./lab up` starts it, on a copy of the notebooks."""
    with start_server(tmp_path_factory.mktemp("jupyter")) as started:
        yield started


@pytest.fixture(scope="module")
def quick_lab() -> Iterator[Lab]:
    """The lab that a notebook opens: a machine that is quick to switch."""
    with Lab.open() as opened:
        opened.create("web", image="sector", memory="16 MiB")
        yield opened
        opened.clean()


@pytest.fixture
def window() -> Iterator[Window]:
    """An empty page."""
    with open_window() as window:
        yield window
