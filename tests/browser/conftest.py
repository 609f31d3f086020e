"""A JupyterLab and a browser that all files here share; what a file leaves there goes with it, a page with its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from labkit import Lab
from tests.browser.jupyter import Server, Window, open_browser, open_page, start_server

__all__ = ["Server", "Window", "start_server"]


@pytest.fixture(scope="package")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A JupyterLab as `./lab up` starts it, on a copy of the notebooks."""
    with start_server(tmp_path_factory.mktemp("jupyter")) as started:
        yield started


@pytest.fixture(scope="module")
def server(jupyter: Server) -> Iterator[Server]:
    """The JupyterLab, as if it had just started."""
    yield jupyter
    jupyter.renew()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A browser without a page."""
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def quick_lab() -> Iterator[Lab]:
    """The lab that a notebook opens: a machine that is quick to switch."""
    with Lab.open() as opened:
        opened.create("web", image="sector", memory="16 MiB")
        yield opened
        opened.clean()


@pytest.fixture
def window(browser: Browser) -> Iterator[Window]:
    """An empty page."""
    with open_page(browser) as window:
        yield window
