"""Acts on snapshots that are interrupted: by the end of the kernel, of the daemon, of the guest, by an error.

Each must end exactly before or exactly after, by itself, at the next `Lab.open()`, within seconds.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from labkit import Lab
from labkit.engine.journal import Record
from labkit.engine.steps import do
from labkit.errors import LabError
from labkit.limits import NO_LIMIT
from labkit.machine import Machine
from labkit.model.machine import MachineState
from labkit.plans.plan import Plan
from labkit.plans.steps import CreateOverlay, Phase, TakeSnapshot
from tests.instance import Instance
from tests.snapshots.test_guests import _boot, _count, _counts, hash_content

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"
LONGEST_RECOVERY = 15.0  # on a busy host; a quiet one takes less than a second

Picture = dict[str, object]

PLANS = {
    "take": 'vm.snapshots.take.plan("new")',
    "restore": 'vm.snapshots.restore.plan("one")',
    "restore and save": 'vm.snapshots.restore.plan("one", save_current="new")',
    "delete": 'vm.snapshots.delete.plan("two")',
    "rename": 'vm.snapshots.rename.plan("two", "new")',
}

DIE = """
import os
from labkit import Lab
from labkit.engine.journal import Record
vm = Lab.open({lab!r}).machines["web"]
plan = {plan}
def die_before(progress):
    if progress.step == {step}:
        os._exit(9)
def die_unreported(record, index):
    if index + 1 == {step}:
        os._exit(9)
    report(record, index)
report = Record.step_done
if {reported}:
    vm.lab.carry_out(plan, on_progress=die_before)
else:
    Record.step_done = die_unreported
    vm.lab.carry_out(plan)
"""


def _prepare(lab: Lab, *, running: bool) -> Machine:
    """A machine of two disks with snapshots "one" and "two" in a row, of which each disk holds something else."""
    vm = lab.create("web", image="sector", memory="32 MiB", if_exists="replace")
    if "data" in lab.disks:
        lab.disks["data"].delete()
    vm.attach(lab.disks.create("data", capacity="1 MiB"))
    if running:
        vm.start().wait_ready()
    for name in ("one", "two"):
        if not running:
            _write(vm, len(name + name))
        vm.snapshots.take(name)
    return vm


def _write(vm: Machine, value: int) -> None:
    for number, disk in enumerate(vm.facts.spec.disks):
        if number or disk.path:
            argv = ["qemu-io", "-f", disk.format.driver, "-c", f"write -P {value + number} 512k 64k", disk.path]
            subprocess.run(argv, check=True, capture_output=True)


def _picture(lab: Lab) -> Picture:
    """Everything an act may change, with the content of every state."""
    state = lab.state
    machine, tree = state.machines["web"], state.snapshots["web"]
    alive: set[str] = set()
    for root in state.roots:
        path: str | None = root
        while path is not None:
            alive.add(path)
            path = state.images[path].backing
    assert set(state.images) == alive, "images are left over"
    assert state.strays == ()
    assert not list((lab.home / "journal").iterdir())
    return {
        "tree": {name: node.parent for name, node in tree.nodes.items()},
        "current": tree.current,
        "state": machine.state,
        "disks": [(disk.name, disk.target) for disk in machine.spec.disks],
        "now": [hash_content(disk.path, disk.format.driver) for disk in machine.spec.disks],
        "kept": {
            (name, disk.name): hash_content(disk.path, disk.format.driver)
            for name, node in tree.nodes.items()
            for disk in node.disks
        },
        "memories": sorted(Path(path).name for path in state.memories),
        "live": [disk.path for disk in machine.live.disks] == [disk.path for disk in machine.spec.disks]
        if machine.live
        else None,
    }


def _steps(plan: str, vm: Machine) -> int:
    made: Plan = eval(plan, {"vm": vm})  # noqa: S307 — our own text, from the table above
    return len(made.steps)


def _reopen(name: str) -> tuple[Lab, float]:
    began = time.monotonic()
    lab = Lab.open(name)
    return lab, time.monotonic() - began


def _is_in_order(vm: Machine) -> None:
    """The machine can be switched off and started with the disks it has."""
    if vm.state in ("running", "paused"):
        vm.kill()
    vm.start()
    vm.kill()


@pytest.mark.parametrize("running", [False, True], ids=["off", "running"])
@pytest.mark.parametrize("act", PLANS)
def test_a_killed_kernel_leaves_before_or_after(
    lab: Lab, labkit_process: Callable[[str], subprocess.Popen[str]], act: str, running: bool
) -> None:
    vm = _prepare(lab, running=running)
    before = _picture(lab)
    count = _steps(PLANS[act], vm)
    tried = []
    points = [(step, reported) for step in range(1, count + 1) for reported in (True, False)]
    if not THOROUGH:  # around the commit point, and the last instant
        made: Plan = eval(PLANS[act], {"vm": vm})  # noqa: S307
        middle = next(at for at, step in enumerate(made.steps, 1) if step.phase != Phase.CREATE)
        points = [(middle, False), (count, False)]
    for step, reported in points:
        child = labkit_process(DIE.format(lab=lab.name, plan=PLANS[act], step=step, reported=reported))
        _out, errors = child.communicate(timeout=60)
        assert child.returncode == 9, errors
        again, seconds = _reopen(lab.name)
        with again:
            assert len(again.recovered) == 1, again.recovered
            now = _picture(again)
            sentence = again.recovered[0]
            assert seconds < LONGEST_RECOVERY
            if "taken back" in sentence:
                assert now == before
            else:
                assert "has been completed" in sentence
                tried.append(now)
                _is_in_order(again.machines["web"])
                vm = _prepare(lab, running=running)
    vm = lab.machines["web"]
    lab.carry_out(eval(PLANS[act], {"vm": vm}))  # noqa: S307
    after = _picture(lab)
    assert all(now == after for now in tried), [after, *tried]


@contextmanager
def _soon(delay: float, strike: Callable[[], object]) -> Iterator[None]:
    """Do something to the act in the block after so many seconds."""
    timer = threading.Timer(delay, strike)
    timer.start()
    try:
        yield
    finally:
        timer.join()


DELAYS = (0.03, 0.06, 0.1, 0.15, 0.25, 0.4) if THOROUGH else (0.06, 0.15)


@pytest.mark.parametrize("act", ["take", "restore"])
def test_a_killed_daemon_leaves_before_or_after(lab: Lab, instance: Instance, act: str) -> None:
    for delay in DELAYS:
        vm = _prepare(lab, running=True)
        before = _picture(lab)
        daemon = instance.daemon()
        with _soon(delay, lambda process=daemon: _kill(process)), suppress(LabError):  # type: ignore[misc]
            lab.carry_out(eval(PLANS[act], {"vm": vm}))  # noqa: S307
        with Lab.open(lab.name) as again:
            now = _picture(again)
            if act == "take":
                assert now["state"] == MachineState.RUNNING
                assert now["live"]
            if now["tree"] == before["tree"]:
                assert now["kept"] == before["kept"]
            else:
                assert set(again.machines["web"].snapshots) == {"one", "two", "new"}
            _is_in_order(again.machines["web"])


def test_a_killed_guest_leaves_before_or_after(lab: Lab) -> None:
    for delay in DELAYS:
        vm = _prepare(lab, running=True)
        before = _picture(lab)
        process = vm.process
        assert process is not None
        guest = psutil.Process(process.pid)
        with _soon(delay, lambda guest=guest: _kill(guest)), suppress(LabError):  # type: ignore[misc]
            lab.carry_out(eval(PLANS["take"], {"vm": vm}))  # noqa: S307
        with Lab.open(lab.name) as again:
            now = _picture(again)
            assert now["kept"].items() >= before["kept"].items()  # type: ignore[attr-defined]
            assert set(now["tree"]) in ({"one", "two"}, {"one", "two", "new"})  # type: ignore[call-overload]
            _is_in_order(again.machines["web"])


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def _switch_without_snapshot(vm: Machine) -> None:
    """What an interrupted take can leave: the machine writes into the overlays, and no snapshot is known."""
    plan = vm.snapshots.take.plan("new")
    executor = vm.lab._executor
    record = Record(vm.lab.home / "journal", plan)
    (step,) = [step for step in plan.steps if isinstance(step, TakeSnapshot)]
    for index, made in enumerate(plan.steps):
        if isinstance(made, CreateOverlay):
            do(made, executor._hands(lambda _done, _total: None, NO_LIMIT))
            record.step_done(index)
    specs = [f"--diskspec={disk.target},file={disk.path}" for disk in step.overlays]
    flags = ["--disk-only", "--no-metadata", "--reuse-external", "--atomic"]
    argv = ["virsh", "-c", "qemu:///session", "snapshot-create-as", step.domain, *flags, *specs]
    subprocess.run(argv, check=True, capture_output=True)


@pytest.mark.parametrize("then", ["running", "off"])
def test_disks_switched_without_a_snapshot_go_back_with_what_was_written_since(lab: Lab, then: str) -> None:
    vm = lab.create("web", memory="96 MiB")
    vm.attach(lab.disks.create("data", capacity="8 MiB"))
    _boot(vm)
    _count(vm, 1)
    disks = [disk.path for disk in vm.facts.spec.disks]
    _switch_without_snapshot(vm)
    _count(vm, 2)
    if then == "off":
        vm.kill()
    with Lab.open(lab.name) as again:
        told = (*lab.recovered, *again.recovered)  # switching it off has ended the act already
        assert told == ("take web@new was interrupted and taken back: all is as before.",)
        vm = again.machines["web"]
        facts = vm.facts
        assert [disk.path for disk in (facts.live or facts.spec).disks] == disks
        assert [disk.path for disk in facts.spec.disks] == disks
        assert set(again.state.images) == set(disks)
        if then == "off":
            _boot(vm)
        assert _counts(vm)[-2:] == [2, 2]


def test_a_guest_whose_memory_cannot_be_restored_is_off_at_the_snapshots_disks(lab: Lab) -> None:
    vm = _prepare(lab, running=True)
    memory = Path(vm.snapshots["one"].memory or "")
    memory.write_bytes(b"no memory at all")
    with pytest.raises(LabError) as trouble:
        vm.snapshots.restore("one")
    assert "it is off, with its disks as they were then" in trouble.value.hint
    assert (vm.state, vm.snapshots.current) == ("off", "one")
    _picture(lab)
    vm.start()
