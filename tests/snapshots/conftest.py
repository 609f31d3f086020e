"""Long tests of snapshots run only when asked for: LABKIT_TESTS=thorough."""

from __future__ import annotations

import os

import pytest

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"

LONG = (
    "test_guests.py::test_a_paused",
    "test_guests.py::test_without_running",
    "test_guests.py::test_disks_alone",
    "test_guests.py::test_what_was_configured",
    "test_guests.py::test_the_current_",
    "test_guests.py::test_any_snapshot_can_be_deleted_and_every_other_state_stays[off]",
    "test_guests.py::test_a_guest_that_took",
    "test_guests.py::test_backing_names",
    "test_guests.py::test_deleting_the_machine",
    "test_guests.py::test_a_memory_file",
    "test_interrupted.py::test_a_killed_kernel_leaves_before_or_after[delete-running]",
    "test_interrupted.py::test_a_killed_kernel_leaves_before_or_after[rename-",
    "test_interrupted.py::test_a_killed_kernel_leaves_before_or_after[take-running]",
    "test_interrupted.py::test_a_killed_kernel_leaves_before_or_after[restore and save-",
    "test_interrupted.py::test_a_killed_kernel_leaves_before_or_after[restore-off]",
    "test_interrupted.py::test_a_killed_daemon_leaves_before_or_after[restore]",
    "test_interrupted.py::test_a_killed_guest",
    "test_interrupted.py::test_disks_switched_without_a_snapshot_go_back_with_what_was_written_since[off]",
)
"""Beginnings of what is left out of a short run: each repeats a shorter test in other circumstances."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long ones out of a short run; one that is named on the command line runs."""
    if THOROUGH or any("::" in argument for argument in config.args):
        return
    long = [item for item in items if any(f"snapshots/{beginning}" in item.nodeid for beginning in LONG)]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]
