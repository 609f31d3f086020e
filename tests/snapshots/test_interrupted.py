"""Acts on snapshots interrupted within a call: by the end of the daemon or of the guest, or with the work half done.

Each must end before or after, by itself, at the next `Lab.open()`. Between two calls: see `test_struck_guests`.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import libvirt_qemu
import psutil
import pytest
from lxml import etree
from lxml.builder import E

from labkit import Lab
from labkit.engine.journal import Record
from labkit.engine.seals import seal
from labkit.engine.steps import do_step
from labkit.errors import Busy, LabError
from labkit.limits import NO_LIMIT
from labkit.machine import Machine
from labkit.plans.steps import CreateOverlay, TakeSnapshot
from labkit.storage.image_locks import is_held
from labkit.units import KIB
from tests.engine.strike import How
from tests.instance import Instance
from tests.snapshots.standing import Standing, without_layers, without_new_memory, without_power
from tests.snapshots.struck import THOROUGH, TRIED, World, compare, grow_running, make_world, write_inside
from tests.snapshots.test_merges import move_down_unheard

DELAYS = tuple(number / 50 for number in range(1, 21)) if THOROUGH else (0.02, 0.06, 0.15)
"""Seconds after which the daemon, or the guest, is killed."""

ACTS = {
    "take, running": 'vm.snapshots.take.plan("new")',
    "restore, running": 'vm.snapshots.restore.plan("d")',
    "restore and save, running": 'vm.snapshots.restore.plan("d", save_current="new")',
    "delete the current one, running": 'vm.snapshots.delete.plan("b")',
}


@pytest.fixture(scope="module")
def world(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A machine that runs, with snapshots of running states."""
    with make_world("interrupted", grow_running, instance, tmp_path_factory.mktemp("guest")) as made:
        yield made


@pytest.fixture
def vm(world: World) -> Machine:
    """The machine, which runs."""
    world.checkpoint.install("running")
    return world.lab.machines["web"]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("how", [How.DAEMON, How.GUEST], ids=str)
@pytest.mark.parametrize("act", ACTS)
def test_what_dies_within_a_call_leaves_before_or_after(world: World, act: str, how: How) -> None:
    lab, request = world.lab, ACTS[act]
    vm = lab.machines["web"]
    allowances = [without_layers, without_power] if how is How.GUEST else [without_layers]

    def look() -> Standing:
        standing = world.eye.look()
        for allowance in allowances:
            standing = allowance(standing)
        return standing

    world.checkpoint.install("running")
    before = look()
    lab.carry_out(eval(request, {"vm": vm}))  # noqa: S307 — the texts above
    after = without_new_memory(look(), before)
    for delay in DELAYS:
        world.checkpoint.install("running")
        plan = eval(request, {"vm": vm})  # noqa: S307
        victims = world.victims(how)
        with _soon(delay, lambda victims=victims: _kill(victims)), suppress(LabError):  # type: ignore[misc]
            lab.carry_out(plan)
        TRIED[act, f"{how} within a call"] += 1
        with Lab.open(lab.name) as again:
            told = again.recovered
        now = without_new_memory(look(), before)
        assert now in (before, after), (delay, told, compare(now, before), compare(now, after))


@contextmanager
def _soon(delay: float, strike: Callable[[], object]) -> Iterator[None]:
    """Do something to the act in the block after so many seconds."""
    timer = threading.Timer(delay, strike)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def _kill(victims: tuple[int, ...]) -> None:
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(victim).kill()


def _begin_a_take(vm: Machine) -> TakeSnapshot:
    """Do what a take of a running machine does up to its commit point, as somebody who is killed then; returns it."""
    plan = replace(vm.snapshots.take.plan("new"), running=("web",))
    executor = vm.lab.session.executor
    record = Record(vm.lab.home / "journal", plan)
    (step,) = [step for step in plan.steps if isinstance(step, TakeSnapshot)]
    for index, made in enumerate(plan.steps):
        if isinstance(made, CreateOverlay):
            do_step(made, executor._context(lambda _done, _total: None, NO_LIMIT))
            record.step_done(index)
    return step


def _switch_without_snapshot(vm: Machine) -> None:
    """What an interrupted take can leave: the machine writes into the overlays, and no snapshot is known."""
    step = _begin_a_take(vm)
    specs = [f"--diskspec={disk.target},file={disk.path}" for disk in step.overlays]
    flags = ["--disk-only", "--no-metadata", "--reuse-external", "--atomic"]
    argv = ["virsh", "-c", "qemu:///session", "snapshot-create-as", step.domain, *flags, *specs]
    subprocess.run(argv, check=True, capture_output=True)


@pytest.mark.parametrize("then", ["it runs", "it was killed", "it was killed before its definition changed"])
def test_disks_switched_without_a_snapshot_go_back_with_what_was_written_since(
    world: World, vm: Machine, then: str
) -> None:
    write_inside(vm, "vdb", 64 * KIB, 64 * KIB, 77)
    wanted = world.eye.look()
    world.checkpoint.install("running")
    _switch_without_snapshot(vm)
    write_inside(vm, "vdb", 64 * KIB, 64 * KIB, 77)
    if then != "it runs":
        _kill(world.victims(How.GUEST))
        vm.wait_for("off")
    if then == "it was killed before its definition changed":
        vm.lab.session.connection.raw().defineXML(world.checkpoint.definition)
    with Lab.open(vm.lab.name) as again:
        assert again.recovered == ("take web@new was interrupted and taken back: all is as before.",)
    found = world.eye.look()
    assert found == (wanted if then == "it runs" else without_power(wanted))


@pytest.mark.parametrize("until", ["one image is open", "both are open", "its disks use them", "it stands still"])
def test_what_a_killed_daemon_had_told_qemu_is_taken_back(world: World, vm: Machine, until: str) -> None:
    write_inside(vm, "vdb", 64 * KIB, 64 * KIB, 77)
    wanted = world.eye.look()
    world.checkpoint.install("running")
    step = _begin_a_take(vm)
    _tell_qemu_behind_the_daemons_back(vm, step, until)
    write_inside(vm, "vdb", 64 * KIB, 64 * KIB, 77)
    with Lab.open(vm.lab.name) as again:
        assert again.recovered == ("take web@new was interrupted and taken back: all is as before.",)
    assert world.eye.look() == wanted
    vm.snapshots.take("new")  # libvirt gives its images names that QEMU must not have in use
    assert vm.state == "running"
    write_inside(vm, "vdb", 64 * KIB, 64 * KIB, 78)
    vm.snapshots.delete("new", merge="always")
    world.eye.look()


@pytest.mark.parametrize("noted", ["nothing", "that it goes on", "half of its end"])
def test_a_commit_whose_end_a_killed_daemon_had_not_noted_is_told_to_the_next_one(
    world: World, vm: Machine, instance: Instance, noted: str
) -> None:
    write_inside(vm, "vdb", 64 * KIB, 64 * KIB, 77)
    wanted = world.eye.look()
    world.checkpoint.install("running")
    _switch_without_snapshot(vm)
    move_down_unheard(vm, "vdb")
    write_inside(vm, "vdb", 64 * KIB, 64 * KIB, 77)
    if noted != "nothing":
        status = Path(instance.environment["XDG_RUNTIME_DIR"], "libvirt/qemu/run", f"{vm.facts.spec.domain_name}.xml")
        text = status.read_text()
        instance.daemon().kill()
        status.write_text(_note_a_commit(text, "vdb", ended=noted == "half of its end"))
    with Lab.open(vm.lab.name) as again:
        assert again.recovered[-1] == "take web@new was interrupted and taken back: all is as before."
    assert world.eye.look() == wanted
    vm.snapshots.take("new")
    vm.snapshots.delete("new", merge="always")  # QEMU and its daemon agree on what there is
    assert vm.lab.history[-1].remarks == ()
    world.eye.look()


def _note_a_commit(status: str, target: str, *, ended: bool) -> str:
    """What libvirt 9.0 has noted of a commit whose end QEMU has just told; with `ended`, it cannot read that itself."""
    root = etree.fromstring(status.encode())
    (disk,) = root.xpath("domain/devices/disk[target/@dev = $target]", target=target)
    below = disk.find("backingStore/source").get("file")
    mirror = E.mirror(E.format(type="qcow2"), E.source(file=below), type="file", job="active-commit", ready="pivot")
    disk.insert(disk.index(disk.find("target")), mirror)
    if ended:
        del mirror.attrib["ready"]
        mirror.set("job", "")
        top, base = (f"libvirt-{disk.find(each).get('index')}-format" for each in ("source", "backingStore"))
        says = {"type": "active-commit", "state": "pivoting", "newstate": "completed", "jobflags": "0x4"}
        job = E.blockjob(E.disk(dst=target), E.base(node=base), E.top(node=top), name=f"commit-{target}-{top}", **says)
        (jobs,) = root.findall("blockjobs")
        jobs.append(job)
    return etree.tostring(root, encoding="unicode")


def _tell_qemu_behind_the_daemons_back(vm: Machine, step: TakeSnapshot, until: str) -> None:
    """Ask of a guest's QEMU what libvirt asks of it within a take, in its order and words."""
    domain = vm.lab.session.connection.raw().lookupByUUIDString(vm.id)

    def tell(command: str, **arguments: object) -> object:
        order = json.dumps({"execute": command, "arguments": arguments})
        answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, order, 0))
        assert "error" not in answer, answer
        return answer["return"]

    if until == "it stands still":
        tell("stop")
        vm.wait_for("paused")
        return
    highest = max(int(number) for number in re.findall(r"index='(\d+)'", domain.XMLDesc(0)))
    names = [f"libvirt-{highest + 1 + number}" for number in range(len(step.overlays))]
    for name, disk in list(zip(names, step.overlays, strict=True))[: 1 if until == "one image is open" else None]:
        below = {"driver": "file", "filename": disk.path, "node-name": f"{name}-storage"}
        tell("blockdev-add", **below, **{"auto-read-only": True, "discard": "unmap"})
        above = {"driver": "qcow2", "node-name": f"{name}-format", "file": f"{name}-storage", "backing": None}
        tell("blockdev-add", **above, **{"read-only": False, "discard": "unmap"})
        assert is_held(disk.path)
    if until == "its disks use them":
        tops = [device["inserted"]["node-name"] for device in tell("query-block")]  # type: ignore[attr-defined]
        pairs = zip(tops, names, strict=True)
        pairs_of = [{"node": top, "overlay": f"{name}-format"} for top, name in pairs]
        tell("transaction", actions=[{"type": "blockdev-snapshot", "data": data} for data in pairs_of])


def test_a_guest_whose_daemon_was_killed_while_its_file_systems_were_frozen_can_write_again(
    guest: Machine, instance: Instance
) -> None:
    lab = guest.lab
    guest.attach(lab.disks.create("old", capacity="1 MiB", format="vdi"))  # disks alone are taken beside it
    plan = guest.snapshots.take.plan("new")
    assert [step.quiesce for step in plan.steps if isinstance(step, TakeSnapshot)] == [True]
    Record(lab.home / "journal", plan)
    lab.session.connection.raw().lookupByUUIDString(guest.id).fsFreeze()
    instance.daemon().kill()
    with Lab.open(lab.name) as again:
        assert again.recovered == ("take web@new was interrupted and taken back: all is as before.",)
    assert guest.run("touch written && sync", timeout=20).exit_code == 0


def test_a_guest_whose_memory_cannot_be_restored_is_off_at_the_snapshots_disks(world: World, vm: Machine) -> None:
    memory = Path(vm.snapshots["a"].memory or "")
    with memory.open("r+b") as file:  # whole, and as it was sealed, and yet nothing that QEMU understands
        file.seek(memory.stat().st_size // 2)
        file.write(b"\xff" * (memory.stat().st_size // 4))
    seal([str(memory)])
    with pytest.raises(LabError) as trouble:
        vm.snapshots.restore("a")
    assert "it is off, with its disks as they were then" in trouble.value.hint
    assert (vm.state, vm.snapshots.current) == ("off", "a")
    world.eye.look()
    vm.start()
    vm.kill()


def test_an_act_that_cannot_be_ended_keeps_others_away_until_it_can(world: World, vm: Machine) -> None:
    vm.kill()
    plan = vm.snapshots.delete.plan("d")
    Record(vm.lab.home / "journal", plan)
    (memory,) = [Path(path) for path in plan.files.deleted if path.endswith(".mem")]
    memory.parent.chmod(0o500)  # nothing can be deleted in it
    with Lab.open(vm.lab.name) as again:
        assert "cannot be ended yet" in again.recovered[0]
    for act in (vm.start, lambda: vm.snapshots.take("new"), lambda: vm.configure(vcpus=2)):
        with pytest.raises(Busy) as caught:
            act()
        assert caught.value.hint
    memory.parent.chmod(0o700)
    vm.snapshots.take("new")
    assert not memory.exists()
    assert set(vm.snapshots) == {"off", "a", "b", "new"}
    world.eye.look()
