"""Acts on snapshots whose kernel is killed, or for which a call fails, at every instant: before or after.

Every act is carried out in another kernel that ends before the n-th thing it does to the world, for every n.
Then a new kernel opens the lab. The machine is off, so nothing needs to boot; for guests see `test_struck_guests`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from labkit.machine import Machine
from tests.engine.strike import How, open_anew
from tests.instance import Instance
from tests.snapshots.standing import without_layers
from tests.snapshots.struck import (
    THOROUGH,
    World,
    files_in_the_making_are_empty,
    make_world,
    records_not_yet_durable_are_lost,
    sweep,
    the_last_record_is_torn,
    write,
)


def _grow_tree(vm: Machine) -> None:
    """Root → a → (b → c, d); the current state began from c."""
    for value, name in enumerate(("root", "a", "b", "c", "d"), 1):
        if name == "d":
            vm.snapshots.restore("a")
        write(vm, value * 16)
        vm.snapshots.take(name)
    vm.snapshots.restore("c")
    write(vm, 200)


def _change_disks(vm: Machine) -> None:
    """Since "one" a disk was detached, another one attached, and the memory configured."""
    write(vm, 1)
    vm.snapshots.take("one")
    write(vm, 16)
    vm.detach("data")
    vm.attach(vm.lab.disks.create("more", capacity="1 MiB"))
    vm.configure(memory="64 MiB")
    write(vm, 32)


ACTS = {
    "take": ("tree", 'vm.snapshots.take.plan("new", description="x")'),
    "restore": ("tree", 'vm.snapshots.restore.plan("d")'),
    "restore and save": ("tree", 'vm.snapshots.restore.plan("d", save_current="new")'),
    "restore other disks": ("disks", 'vm.snapshots.restore.plan("one")'),
    "restore other disks and save": ("disks", 'vm.snapshots.restore.plan("one", save_current="new")'),
    "delete a leaf": ("tree", 'vm.snapshots.delete.plan("d")'),
    "delete an inner one": ("tree", 'vm.snapshots.delete.plan("b")'),
    "delete the root": ("tree", 'vm.snapshots.delete.plan("root")'),
    "delete one of many children": ("tree", 'vm.snapshots.delete.plan("a")'),
    "delete the current one": ("tree", 'vm.snapshots.delete.plan("c")'),
    "delete a branch": ("tree", 'vm.snapshots.delete.plan("b", branch=True)'),
    "delete all": ("tree", 'vm.snapshots.delete.plan("root", branch=True)'),
    "rename": ("tree", 'vm.snapshots.rename.plan("a", "new")'),
    "rename the current one": ("tree", 'vm.snapshots.rename.plan("c", "new")'),
    "describe": ("tree", 'vm.snapshots.describe.plan("a", "x")'),
}
"""What is done, by name: the lab it begins from, and Python for its plan."""

AT_EVERY_INSTANT = ("take", "restore other disks and save", "delete an inner one", "delete all", "rename")
"""Acts that between them have every kind of step; the others are struck at the kinds of deeds these have not."""


@pytest.fixture(scope="module")
def worlds(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, World]]:
    """The labs the acts begin from, made once."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(make_world(name, grow, instance, tmp_path_factory.mktemp(name), format="vdi"))
            for name, grow in (("tree", _grow_tree), ("disks", _change_disks))
        }


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("act", sorted(ACTS, key=lambda act: act not in AT_EVERY_INSTANT))
def test_a_killed_kernel_leaves_before_or_after(worlds: Mapping[str, World], act: str) -> None:
    world, request = ACTS[act]
    sweep(worlds[world], act, request, How.KILL, every=THOROUGH or act in AT_EVERY_INSTANT)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("act", ACTS)
def test_an_error_leaves_before_or_after(worlds: Mapping[str, World], act: str) -> None:
    world, request = ACTS[act]
    sweep(worlds[world], act, request, How.FAIL, every=THOROUGH, allowances=[without_layers])


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("act", ACTS)
def test_an_error_of_a_call_that_was_done_all_the_same_leaves_before_or_after(
    worlds: Mapping[str, World], act: str
) -> None:
    world, request = ACTS[act]
    sweep(worlds[world], act, request, How.FAIL_AFTER)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "mishap", [records_not_yet_durable_are_lost, the_last_record_is_torn, files_in_the_making_are_empty]
)
@pytest.mark.parametrize("act", ["take", "restore other disks and save", "delete an inner one", "rename"])
def test_a_power_cut_leaves_before_or_after(
    worlds: Mapping[str, World], act: str, mishap: Callable[[Path], None]
) -> None:
    world, request = ACTS[act]
    sweep(worlds[world], act, request, How.KILL, mishap=mishap, every=THOROUGH)


@pytest.mark.parametrize("text", ["", "{", '{"web.vda.0.raw": {"size": 1'])
def test_seals_that_cannot_be_read_are_told_and_made_anew(worlds: Mapping[str, World], text: str) -> None:
    world = worlds["tree"]
    world.checkpoint.install()
    seals = world.lab.home / "seals.json"
    before, kept = world.eye.look(), json.loads(seals.read_text())
    seals.write_text(text)
    (sentence,) = open_anew(world.lab.name).told
    assert "sealed as they are now" in sentence
    assert world.eye.look() == before
    assert set(json.loads(seals.read_text())) == set(kept)
    assert open_anew(world.lab.name).told == ()
