"""A run of the tests: a hypervisor instance of its own for each worker, and the order of the work.

The instance is made before the first notebook's kernel starts. With several workers (`-n`) a file's tests stay
together, in one worker, so guests that a module shares are booted once and a notebook's cells follow each other.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.instance import INSTANCE, ROOT, Instance, find_guest_images

LONG = (
    "tests/browser",
    "tests/project",
    "tests/snapshots",
    "notebooks",
    "tests/guests",
    "tests/engine",
    "tests/course",
    "tests/widgets",
    "tests/images",
)
"""Folders whose files take minutes, the longest first: they begin, so that no worker is left with one at the end."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the long files to the front; within a folder the order stays."""
    places = {ROOT / folder: place for place, folder in enumerate(LONG)}
    items.sort(key=lambda item: next((places[parent] for parent in item.path.parents if parent in places), len(LONG)))


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Run all tests and notebooks with the instance in force, then end it."""
    only_hands_out = session.config.pluginmanager.hasplugin("dsession")  # the workers have an instance each
    if session.config.option.collectonly or only_hands_out:
        return (yield)
    instance = Instance(find_guest_images())
    session.config.stash[INSTANCE] = instance
    try:
        with instance.in_force():
            return (yield)
    finally:
        instance.end()
