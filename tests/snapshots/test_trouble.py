"""Snapshots of machines that others have their hands on: jobs, servers, other kernels, other tools, copied folders."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import libvirt
import pytest

from labkit import Lab
from labkit.errors import Busy, HypervisorError, LabError, NotFound, Refused, Stale, WrongState
from labkit.machine import Machine
from labkit.model.machine import DiskSpec
from labkit.model.snapshot import SnapshotKind
from tests.engine.kernel import Instant, Kernel
from tests.snapshots.test_guests import _virsh, hash_content


@pytest.fixture
def vm(lab: Lab) -> Machine:
    """A machine of two disks, off."""
    vm = lab.create("web", image="sector", memory="32 MiB", disk_format="qcow2")
    return vm.attach(lab.disks.create("data", capacity="64 MiB"))


@contextmanager
def _domain(vm: Machine) -> Iterator[libvirt.virDomain]:
    """The machine as another tool has it at hand."""
    connection = libvirt.open("qemu:///session")
    try:
        yield connection.lookupByUUIDString(vm.id)
    finally:
        connection.close()


def _pictures(vm: Machine) -> tuple[object, ...]:
    """What must stay as it is when a take comes to nothing."""
    state = vm.lab.state
    facts = state.machines["web"]
    return facts.spec, facts.live, facts.state, list(state.snapshots), sorted(state.images), state.strays


# --- jobs ------------------------------------------------------------------------------------------


def test_while_another_tool_moves_data_under_the_guest_a_take_comes_to_nothing(vm: Machine) -> None:
    vm.snapshots.take("one")
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", "write -q -P 7 0 64M", vm.facts.spec.disks[1].path],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    vm.snapshots.take("two")
    vm.start()
    before = _pictures(vm)
    with _domain(vm) as domain:
        domain.blockPull("vdb", 1, libvirt.VIR_DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES)
        with pytest.raises(LabError, match=r"vdb|block job") as refusal:
            vm.snapshots.take("three")
        assert "taken back: all is as before" in refusal.value.hint
        domain.blockJobAbort("vdb", 0)
    assert _pictures(vm) == before
    assert vm.snapshots.take("three").current == "three"


def test_while_another_act_is_at_work_a_take_is_refused(vm: Machine) -> None:
    code = f"with Lab.open({vm.lab.name!r}) as lab: lab.machines['web'].snapshots.take('theirs')"
    with Kernel(code, stop=Instant(function="freeze_files")) as kernel:
        kernel.wait_stopped()
        with pytest.raises(Busy, match="web"):
            vm.snapshots.take("ours")
    with Lab.open(vm.lab.name) as lab:
        assert list(lab.machines["web"].snapshots) == ["theirs"]


# --- disks that cannot be frozen ---------------------------------------------------------------------


def test_with_a_disk_of_a_server_a_take_is_refused_and_detaching_named(lab: Lab, vm: Machine) -> None:
    lab.disks.create("far", capacity="4 MiB", format="raw").serve()
    vm.attach("far")
    plan = vm.snapshots.take.plan("one")
    assert plan.refusal is not None
    assert "far is served by another program" in plan.refusal.why
    assert "Detach it first" in plan.refusal.hint
    vm.detach("far")
    vm.snapshots.take("one")
    lab.disks["far"].stop_serving()


# --- other kernels and tools -------------------------------------------------------------------------


def test_where_another_kernel_took_meanwhile_an_old_plan_is_stale_and_a_call_goes_on_top(vm: Machine) -> None:
    plan = vm.snapshots.take.plan("ours")
    with Lab.open(vm.lab.name) as other:
        other.machines["web"].snapshots.take("theirs")
    with pytest.raises(Stale, match="web@ours"):
        vm.lab.carry_out(plan)
    vm.snapshots.take("ours")
    assert vm.snapshots["ours"].parent == "theirs"
    with pytest.raises(Refused, match="already a snapshot 'theirs'"):
        vm.snapshots.take("theirs")


def test_a_machine_undefined_behind_our_back_is_gone_and_its_images_stay(vm: Machine) -> None:
    vm.snapshots.take("one").take("two")
    plan = vm.snapshots.restore.plan("one")
    content = {disk.name: hash_content(disk.path, "qcow2") for disk in vm.facts.spec.disks}
    _virsh(vm, "undefine", "--snapshots-metadata")
    with pytest.raises(Stale):
        vm.lab.carry_out(plan)
    for act in (lambda: vm.snapshots.take("three"), lambda: vm.snapshots.restore("one"), lambda: len(vm.snapshots)):
        with pytest.raises(NotFound, match="'web' is no longer there"):
            act()
    assert list(vm.lab.disks) == []  # the lab's record knows whose they are: nobody else takes them
    orphans = [orphan.facts for orphan in vm.lab.orphans.values()]
    assert {facts.unreturned for facts in orphans} == {"web"}
    top = {facts.disk: facts.path for facts in orphans if not facts.above}
    assert {name: hash_content(path, "qcow2") for name, path in top.items()} == content
    vm.lab.clean()
    assert list((vm.lab.home / "disks").iterdir()) == []


def test_snapshots_forgotten_behind_our_back_leave_a_machine_that_goes_on(vm: Machine) -> None:
    vm.snapshots.take("one").take("two")
    content = [hash_content(disk.path, "qcow2") for disk in vm.facts.spec.disks]
    _virsh(vm, "snapshot-delete", "one", "--metadata")
    assert list(vm.snapshots) == ["two"]
    vm.snapshots.take("three").delete("two").restore("three")
    assert [hash_content(disk.path, "qcow2") for disk in vm.facts.spec.disks] == content
    vm.start().kill()


def test_beside_a_checkpoint_of_another_tool_nothing_is_frozen(vm: Machine) -> None:
    vm.start()
    with _domain(vm) as domain:
        domain.checkpointCreateXML("<domaincheckpoint><name>monday</name></domaincheckpoint>")
        with pytest.raises(Refused, match=r"web has checkpoints of another tool \(monday\)") as refusal:
            vm.snapshots.take("one")
        domain.checkpointLookupByName("monday").delete()
    assert "virsh checkpoint-delete" in refusal.value.hint
    vm.snapshots.take("one")


# --- copies and hosts --------------------------------------------------------------------------------


def test_a_lab_folder_brought_back_from_a_backup_works_with_all_its_snapshots(vm: Machine, tmp_path: Path) -> None:
    vm.snapshots.take("off")
    vm.start().snapshots.take("on")
    vm.kill()
    home = vm.lab.home
    backup = tmp_path / "backup"
    shutil.copytree(home, backup, copy_function=shutil.copy)  # contents and modes, not times
    for folder in ("disks", "memory"):
        shutil.rmtree(home / folder)
        shutil.copytree(backup / folder, home / folder, copy_function=shutil.copy)
    vm.snapshots.restore("on")
    assert vm.state == "running"
    vm.snapshots.restore("off")
    vm.start().kill()


def test_a_running_snapshot_knows_the_qemu_that_wrote_its_memory(vm: Machine) -> None:
    vm.start().snapshots.take("on")
    vm.kill()
    vm.snapshots.take("off")
    assert vm.snapshots["on"].kind is SnapshotKind.RUNNING
    assert vm.snapshots["on"].qemu == vm.lab.host.versions.qemu
    assert vm.snapshots["off"].qemu == ""


def test_the_deepest_disk_that_is_allowed_starts_and_one_layer_more_does_not(lab: Lab, vm: Machine) -> None:
    deepest = lab.session.executor.snapshots.deepest_chain()
    disk = vm.facts.spec.disks[1]
    folder = Path(disk.path).parent
    for number in range(1, deepest + 1):
        below = f"data.{number - 1}.qcow2"
        argv = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", below, "-F", "qcow2"]
        subprocess.run([*argv, folder / f"data.{number}.qcow2", "64M"], check=True)
    top = folder / f"data.{deepest - 1}.qcow2"
    vm.lab.session.domains.repoint(vm.id, _with_path(vm, top))
    (folder / f"data.{deepest}.qcow2").rename(folder / "aside")
    plan = vm.snapshots.take.plan("more")
    assert plan.refusal is not None
    assert f"has {deepest} layers: with one more it could not start" in plan.refusal.why
    vm.start(timeout=300).kill()

    above = (folder / "aside").rename(folder / f"data.{deepest}.qcow2")
    vm.lab.session.domains.repoint(vm.id, _with_path(vm, above))
    with pytest.raises(HypervisorError):
        vm.start(timeout=300)
    assert vm.state == "off"


def _with_path(vm: Machine, path: Path) -> DiskSpec:
    return replace(vm.facts.spec.disks[1], path=os.fspath(path))


def test_a_paused_guest_is_kept_once_and_told_how_to_go_on(lab: Lab) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB").start().pause()
    vm.snapshots.take("once")
    with pytest.raises(WrongState, match="only once while it is paused") as told:
        vm.snapshots.take("twice")
    assert "resume()" in told.value.hint
    assert list(vm.snapshots) == ["once"]
    vm.resume().pause()
    vm.snapshots.take("twice")
    assert list(vm.snapshots) == ["once", "twice"]
