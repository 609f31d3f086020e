"""A run of the tests has a hypervisor instance of its own, made before the first notebook's kernel starts."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.instance import INSTANCE, Instance, find_guest_images


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Run all tests and notebooks with the instance in force, then end it."""
    if session.config.option.collectonly:
        return (yield)
    instance = Instance(find_guest_images())
    session.config.stash[INSTANCE] = instance
    try:
        with instance.in_force():
            return (yield)
    finally:
        instance.end()
