"""What every test may ask for: a hypervisor instance of our own, a lab on it, guests of it.

The tests' instance has private XDG folders, so it never sees a user's machines; its daemons and guests
end with the tests, also when they fail.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from labkit import Lab
from labkit.machine import Machine
from tests.instance import INSTANCE, Instance

__all__ = ["Instance"]

# A busy machine is no failure, and two runs look at the same examples.
settings.register_profile("labkit", deadline=None, database=None, derandomize=True)
settings.load_profile("labkit")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--rewrite-golden`: what the tests see now becomes what they expect; look at the difference."""
    parser.addoption("--rewrite-golden", action="store_true", help="rewrite the golden files")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with a file in the folder `golden` beside the test, or rewrite the file."""

    def compare(name: str, text: str) -> None:
        path = Path(request.path).parent / "golden" / name
        if request.config.getoption("--rewrite-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert text == path.read_text()

    return compare


@pytest.fixture(scope="session")
def instance(pytestconfig: pytest.Config) -> Instance:
    """The run's hypervisor instance (see the conftest.py at the root); every process of the tests inherits it."""
    return pytestconfig.stash[INSTANCE]


@pytest.fixture(scope="session")
def guest_images(instance: Instance) -> Path:
    """The folder of guest images."""
    return instance.images


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """An empty lab named as no other; it is cleaned afterwards."""
    number = tmp_path_factory.mktemp("lab", numbered=True).name.removeprefix("lab")
    with Lab.open(f"t{number}") as opened:
        yield opened
        opened.clean()


@pytest.fixture
def guest(lab: Lab) -> Machine:
    """A machine of the tiny image, running and ready; it was resumed from the image's memory."""
    return lab.create("web").start(warm=True).wait_ready()


@pytest.fixture(scope="module")
def shared_guest(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine as `guest` that the tests of one module share; none of them may end it."""
    with Lab.open(f"shared-{Path(request.path).stem}") as opened:
        yield opened.create("web", if_exists="replace").start(warm=True).wait_ready()
        opened.clean()


@pytest.fixture
def labkit_process(instance: Instance) -> Callable[[str], subprocess.Popen[str]]:
    """Start Python code in a process of its own, in this instance: another kernel."""

    def start(code: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **instance.environment},
        )

    return start
