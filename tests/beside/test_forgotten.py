"""virsh forgets a snapshot whose images are still in use: what it kept stays, is shown, and can be had again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import Refused
from labkit.machine import Machine
from tests.beside.hands import active_path, contents, files_of, make_machine, virsh, write
from tests.snapshots.test_guests import hash_content


@pytest.fixture
def vm(lab: Lab) -> Machine:
    """A machine with the snapshots left → right, beside another one."""
    make_machine(lab, "other", "one")
    return make_machine(lab, "web", "left", "right")


def _forget(vm: Machine, name: str) -> Path:
    """Let libvirt forget a snapshot; returns the image that it kept."""
    image = Path(vm.snapshots[name].disks[0].path)
    virsh("snapshot-delete", vm.facts.spec.domain_name, name, "--metadata")
    return image


def _restore(vm: Machine) -> None:
    vm.snapshots.restore("left")


def _flatten(vm: Machine) -> None:
    vm.flatten()


def _detach_and_delete(vm: Machine) -> None:
    vm.detach("web.vda")
    vm.lab.disks["web.vda"].delete()


@pytest.mark.parametrize("act", [_restore, _flatten, _detach_and_delete])
def test_an_act_of_its_own_machine_keeps_what_a_forgotten_snapshot_kept(
    vm: Machine, act: Callable[[Machine], None]
) -> None:
    lab, before = vm.lab, contents(vm)
    image = _forget(vm, "right")
    act(vm)
    assert image.exists()
    lab.orphans[image.name].adopt_as_snapshot()
    (kept,) = vm.snapshots["right"].disks
    assert hash_content(kept.path, kept.format.driver) == before["right"]
    assert not lab.orphans


@pytest.mark.parametrize("merge", ["auto", "always"])
def test_deleting_another_snapshot_merges_no_forgotten_one(vm: Machine, merge: str) -> None:
    vm.snapshots.take("third")
    vm.snapshots.take("fourth")
    before = contents(vm)
    image = _forget(vm, "fourth")
    vm.snapshots.delete("third", merge=merge)
    assert image.exists()
    vm.lab.orphans[image.name].adopt_as_snapshot()
    assert contents(vm)["fourth"] == before["fourth"]


def test_a_forgotten_snapshot_that_its_machine_stands_on_is_shown_and_not_discarded(vm: Machine) -> None:
    lab, before = vm.lab, contents(vm)
    image = _forget(vm, "right")
    (orphan,) = lab.orphans.values()
    assert (orphan.name, orphan.facts.snapshot, orphan.facts.in_use) == (image.name, "right", True)
    plan = orphan.discard.plan()
    assert plan.refusal is not None
    assert 'lab.machines["web"].snapshots.delete("right")' in plan.refusal.hint
    lab.orphans.discard()
    assert not lab.clean.plan().notes
    assert image.exists()
    orphan.adopt_as_snapshot()
    vm.snapshots.delete("right")
    assert contents(vm) == {name: digest for name, digest in before.items() if name != "right"}
    assert not lab.orphans


def test_a_deleted_machine_takes_along_what_its_forgotten_snapshots_kept(vm: Machine) -> None:
    _forget(vm, "right")
    vm.delete()
    assert not [name for name in files_of(vm.lab) if name.startswith("web.")]
    assert not vm.lab.orphans


def test_a_snapshot_that_libvirt_let_name_the_image_of_a_forgotten_one_is_not_used(lab: Lab) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB")
    for number, name in enumerate(("left", "right", "third")):
        write(active_path(vm), 4096 * number, name)
        vm.snapshots.take(name)
        _wait_for_the_next_second()  # libvirt notes when a snapshot was taken in seconds
    before = contents(vm)
    image = Path(vm.snapshots["third"].disks[0].path)
    _forget(vm, "right")
    assert vm.snapshots["third"].disks[0].path != str(image)  # libvirt takes it for merged
    acts = (
        lambda: vm.snapshots.restore("third"),
        lambda: vm.clone("copy", snapshot="third"),
        lambda: vm.clone("copy", kind="linked", snapshot="third"),
        lambda: vm.clone("copy", snapshots=True),
        lambda: vm.export(lab.home / "web.labkit"),
    )
    for act in acts:
        with pytest.raises(Refused, match="third is not what was taken") as refusal:
            act()
        assert f'lab.orphans["{image.name}"].adopt_as_snapshot("third-2")' in refusal.value.hint
        assert 'lab.machines["web"].snapshots.delete("third")' in refusal.value.hint
    lab.orphans[image.name].adopt_as_snapshot("third-2")
    vm.snapshots.delete("third")
    vm.snapshots.rename("third-2", "third")
    (orphan,) = lab.orphans.values()
    orphan.adopt_as_snapshot()
    assert contents(vm) == before
    vm.snapshots.restore("third")
    assert contents(vm)["now"] == before["third"]


def _wait_for_the_next_second() -> None:
    now = int(time.time())
    while int(time.time()) == now:
        pass
