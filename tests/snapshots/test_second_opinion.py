"""libvirt's own revert as a second opinion on ours, where it has one; older versions refuse, and so need ours.

Knows: libvirt. Must not know: how labkit restores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import libvirt
import pytest

from tests.instance import Instance
from tests.snapshots.standing import Standing
from tests.snapshots.struck import World, grow_running, make_world

REVERTS_EXTERNAL = 9_009_000
"""The version of libvirt from which it reverts to external snapshots itself."""


@pytest.fixture(scope="module")
def world(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A machine that runs, with snapshots of an off and of running states."""
    with make_world("opinion", grow_running, instance, tmp_path_factory.mktemp("guest")) as made:
        yield made


def _see(standing: Standing) -> object:
    """What both must agree on: all but the names of the new images."""
    disks = tuple(replace(disk, path="") for disk in standing.spec.disks)
    now = [standing.images[Path(disk.path).name][-1] for disk in standing.spec.disks]
    kept = {
        (name, disk.name): standing.images[Path(disk.path).name][-1]
        for name, node in standing.tree.items()
        for disk in node.disks
    }
    parents = {name: node.parent for name, node in standing.tree.items()}
    below = [standing.images[Path(disk.path).name][1] for disk in standing.spec.disks]
    spec = replace(standing.spec, disks=disks)
    return standing.state, spec, now, below, kept, parents, standing.current, standing.memories


@pytest.mark.parametrize("stands", ["off", "running", "paused"])
@pytest.mark.parametrize("name", ["off", "a", "d"])
def test_libvirts_own_revert_agrees_with_ours_or_is_refused(world: World, name: str, stands: str) -> None:
    lab = world.lab
    vm = lab.machines["web"]
    world.checkpoint.install(stands)
    before = world.eye.look()
    vm.snapshots.restore(name)
    ours = _see(world.eye.look())

    world.checkpoint.install(stands)
    domain = lab.session.connection.raw().lookupByUUIDString(vm.id)
    snapshot = domain.snapshotLookupByName(name)
    if lab.session.connection.raw().getLibVersion() < REVERTS_EXTERNAL:
        with pytest.raises(libvirt.libvirtError) as refusal:
            domain.revertToSnapshot(snapshot)
        assert refusal.value.get_error_code() == libvirt.VIR_ERR_CONFIG_UNSUPPORTED
        assert world.eye.look() == before
        return
    domain.revertToSnapshot(snapshot)
    theirs = world.eye.look(tolerant=True)
    assert _see(theirs) == ours
    vm.snapshots.restore(name)  # and ours goes on from theirs
    # libvirt leaves the images on which the machine stood: nobody's, told as such, and taken away on demand alone
    assert sorted(lab.orphans) == sorted(Path(disk.path).name for disk in before.spec.disks)
    lab.orphans.discard()
    assert _see(world.eye.look()) == ours
