"""Acts on snapshots of a machine that runs, struck: its kernel, the daemon, its QEMU, a tool, or a call that fails.

The guest is the smallest there is and goes on from a copy of its memory before each try, so it boots once. In a short
run each kind of deed is struck once by the end of the kernel, each kind of step once by all else; in a thorough one
every instant.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.strike import How
from tests.instance import Instance
from tests.snapshots.standing import without_layers, without_power
from tests.snapshots.struck import (
    THOROUGH,
    World,
    grow_running,
    make_world,
    records_not_yet_durable_are_lost,
    sweep,
)

ACTS = {
    "take, running": ("running", 'vm.snapshots.take.plan("new")'),
    "take, paused": ("paused", 'vm.snapshots.take.plan("new")'),
    "restore, running": ("running", 'vm.snapshots.restore.plan("d")'),
    "restore, paused": ("paused", 'vm.snapshots.restore.plan("d")'),
    "restore, saved": ("saved", 'vm.snapshots.restore.plan("d")'),
    "restore, off": ("off", 'vm.snapshots.restore.plan("d")'),
    "restore and leave saved": ("running", 'vm.snapshots.restore.plan("d", run=False)'),
    "restore the disks": ("running", 'vm.snapshots.restore.plan("d", memory=False)'),
    "restore one that was off": ("running", 'vm.snapshots.restore.plan("off")'),
    "restore and save, running": ("running", 'vm.snapshots.restore.plan("d", save_current="new")'),
    "delete a leaf, running": ("running", 'vm.snapshots.delete.plan("d")'),
    "delete one of many children, running": ("running", 'vm.snapshots.delete.plan("a")'),
    "delete the current one, running": ("running", 'vm.snapshots.delete.plan("b")'),
    "delete the current one, saved": ("saved", 'vm.snapshots.delete.plan("b")'),
    "delete a branch, running": ("running", 'vm.snapshots.delete.plan("a", branch=True)'),
    "rename, running": ("running", 'vm.snapshots.rename.plan("b", "new")'),
    "describe, running": ("running", 'vm.snapshots.describe.plan("a", "x")'),
}
"""What is done, by name: how the machine stands, and Python for the plan."""


@pytest.fixture(scope="module")
def world(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A machine that runs, with snapshots of running states."""
    with make_world("guest", grow_running, instance, tmp_path_factory.mktemp("guest")) as made:
        contents = [content[-1] for content in made.eye.look().images.values()]
        assert len(set(contents)) == len(contents), "each image holds something else"
        yield made


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("act", ACTS)
def test_a_killed_kernel_leaves_before_or_after(world: World, act: str) -> None:
    stands, request = ACTS[act]
    sweep(world, act, request, How.KILL, stands=stands, every=THOROUGH)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("act", ACTS)
def test_an_error_of_a_call_that_was_done_all_the_same_leaves_before_or_after(world: World, act: str) -> None:
    stands, request = ACTS[act]
    sweep(world, act, request, How.FAIL_AFTER, stands=stands, every=THOROUGH, allowances=[without_layers])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("act", ACTS)
def test_a_daemon_killed_between_calls_leaves_before_or_after(world: World, act: str) -> None:
    stands, request = ACTS[act]
    sweep(world, act, request, How.DAEMON, stands=stands, every=THOROUGH, allowances=[without_layers])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("act", [act for act, (stands, _request) in ACTS.items() if stands in ("running", "paused")])
def test_a_killed_guest_leaves_before_or_after_and_is_off_then(world: World, act: str) -> None:
    stands, request = ACTS[act]
    sweep(world, act, request, How.GUEST, stands=stands, every=THOROUGH, allowances=[without_layers, without_power])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("act", ACTS)
def test_a_power_cut_leaves_before_or_after_with_the_machine_off(world: World, act: str) -> None:
    stands, request = ACTS[act]
    sweep(
        world,
        act,
        request,
        How.POWER,
        stands=stands,
        every=THOROUGH,
        mishap=records_not_yet_durable_are_lost,
        allowances=[without_layers, without_power],
    )


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("act", ["restore and save, running", "delete a branch, running"])
def test_a_killed_tool_leaves_before_or_after(world: World, act: str) -> None:
    stands, request = ACTS[act]
    sweep(world, act, request, How.TOOL, stands=stands, every=THOROUGH, allowances=[without_layers])
