"""A run of the tests: a hypervisor instance of its own for each worker, and the order of the work.

The instance is made before the first notebook's kernel starts. With several workers (`-n`) a file's tests stay
together, in one worker, so guests that a module shares are booted once and a notebook's cells follow each other;
what measures, a cell or a test marked `alone`, has the computer to itself.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.instance import INSTANCE, ROOT, Instance, end_instance, find_guest_images
from tests.notebooks.metering import BUDGET, metered
from tests.turns import measures, take_turn

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

TURNS = pytest.StashKey[Path]()

LONG = (
    "tests/course/test_proofs.py",
    "tests/guests/test_warm_trouble.py",
    "tests/guests/test_hostile_agent.py",
    "tests/snapshots/test_guests.py",
    "tests/clones/test_guests.py",
    "tests/corpus/test_small.py",
    "tests/browser",
    "tests/project",
    "tests/snapshots",
    "tests/clones",
    "tests/travel",
    "notebooks",
    "tests/guests",
    "tests/beside",
    "tests/engine",
    "tests/course",
    "tests/record",
    "tests/widgets",
    "tests/images",
)
"""Files, and folders with files, that take minutes, the longest first: so no worker is left with one at the end."""

QUICK = (
    "tests/model",
    "tests/plans",
    "tests/figures",
    "tests/language",
    "tests/storage",
    "tests/hypervisor",
    "tests/host/test_cli.py",
    "tests/project/test_quality.py",
)
"""What `--quick` runs: style, types, rooms, and what needs no guest to boot; under two minutes on two CPUs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know `--quick`."""
    parser.addoption("--quick", action="store_true", help="only what takes less than two minutes all together")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what is not quick, where that was asked for."""
    if not config.getoption("quick") or not collection_path.is_relative_to(ROOT):
        return None
    places = [ROOT / place for place in QUICK]
    on_the_way = any(place.is_relative_to(collection_path) for place in places)
    return None if on_the_way or any(collection_path.is_relative_to(place) for place in places) else True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the long files to the front; within a folder the order stays."""
    places = {ROOT / name: place for place, name in enumerate(LONG)}

    def place(item: pytest.Item) -> int:
        return next((places[part] for part in (item.path, *item.path.parents) if part in places), len(LONG))

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell each worker the folder of the run's turns."""
    stash = node.config.stash
    if TURNS not in stash:
        stash[TURNS] = Path(tempfile.mkdtemp(prefix="labkit-turns-"))
    node.workerinput["turns"] = str(stash[TURNS])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let what measures run while the other workers wait; the wait is outside the test's time limit."""
    turns = getattr(item.config, "workerinput", {}).get("turns")
    if turns is None:
        return (yield)
    with take_turn(Path(turns), alone=measures(item)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Meter the notebooks: the last cell of one that takes more than the table at its top promises fails."""
    with metered(item):
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what each notebook took that was run to its end."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    lines = [
        value for report in reports if report.when == "call" for name, value in report.user_properties if name == BUDGET
    ]
    if lines:
        terminalreporter.section("Budgets of the notebooks")
        for line in sorted(map(str, lines)):
            terminalreporter.line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Run all tests and notebooks with the instance in force, then end it: also when the run is told to stop."""
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, signal.default_int_handler)
    if session.config.option.collectonly or TURNS in session.config.stash:  # there the workers have instances
        return (yield)
    instance = Instance(find_guest_images())
    session.config.stash[INSTANCE] = instance
    if worker := getattr(session.config, "workerinput", None):
        (Path(worker["turns"]) / f"instance-{worker['workerid']}").symlink_to(instance.folder)
    try:
        with instance.in_force():
            return (yield)
    finally:
        instance.end()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what is left of the instances of workers that died."""
    turns = config.stash.get(TURNS, None)
    if turns is not None:
        for left in (link.readlink() for link in turns.glob("instance-*") if link.exists()):
            end_instance(left)
        shutil.rmtree(turns)
