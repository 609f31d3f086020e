"""A migration that is cut short: by the end of the kernel, of either daemon, of either QEMU.

Whatever ends, the machine is on exactly one side then, by at most one process, its snapshots whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from labkit import Lab
from labkit.engine.journal import find_entries
from labkit.errors import HypervisorError
from labkit.hypervisor.instances import find_instances
from labkit.machine import Machine
from tests.engine.kernel import Instant, Kernel
from tests.instance import Instance
from tests.travel.sides import Sides, find_emulators, look
from tests.widgets.waiting import eventually

CODE = """
with Lab.open({name!r}) as lab:
    vm = (lab.machines if "web" in lab.machines else lab.neighbour().machines)["web"]
    vm.migrate(lab.neighbour() if vm.lab is lab else lab)
"""
TREE = (("one", None), ("two", "one"))

# Three steps: drop the records, migrate, give the records.
KILLED_AT = {
    Instant(function="do_step", number=0): False,
    Instant(function="drop_records"): False,
    Instant(function="step_done", number=0): False,
    Instant(function="do_step", number=1): False,
    Instant(function="do_step", number=2): True,
    Instant(function="step_done", number=2): True,
    Instant(function="strike_out"): True,
}


@pytest.fixture
def vm(lab: Lab) -> Iterator[Machine]:
    """A running machine with snapshots, and a neighbour it could go to, slowly."""
    vm = lab.create("web", image="sector", memory="16 MiB").start().wait_ready()
    vm.snapshots.take("one")
    vm.snapshots.take("two")
    lab.neighbour()
    vm.lab.session.connection.raw().lookupByUUIDString(vm.id).migrateSetMaxSpeed(
        1
    )  # MiB a second, so that there is a middle
    yield vm
    with Lab.open(lab.name) as again:
        again.clean()


def _look_when_cleared(lab: Lab) -> Sides:
    """Look at both sides once what had begun to arrive is gone: its daemon ends it by itself, late if it is busy."""
    eventually(lambda: _is_on_one_side(look(lab)))
    return look(lab)


def _is_on_one_side(sides: Sides) -> bool:
    return sides.here != sides.there and len(sides.emulators) == (sides.state != "off")


def _is_whole(sides: Sides) -> None:
    assert _is_on_one_side(sides), sides
    assert (sides.tree, sides.current) == (TREE, "two")


def _works(lab: Lab) -> None:
    """The machine goes over, its snapshots can be restored, and it comes back."""
    other = lab.neighbour()
    vm = (lab.machines if "web" in lab.machines else other.machines)["web"]
    vm.snapshots.restore("one")
    to = other if vm.lab is lab else lab
    try:
        vm.migrate(to)
    except HypervisorError as error:
        if "not quite gone" not in error.hint:
            raise
        # What was begun over there has not ended yet: as it says, wait and do it again.
        eventually(lambda: len(find_emulators(vm.id)) <= 1)
        vm.migrate(to)
    vm.snapshots.restore("two")
    assert vm.state == "running"


@pytest.mark.parametrize(("instant", "past"), KILLED_AT.items(), ids=map(str, KILLED_AT))
def test_a_kernel_killed_at_a_step(vm: Machine, instant: Instant, *, past: bool) -> None:
    with Kernel(CODE.format(name=vm.lab.name), stop=instant) as kernel:
        kernel.wait_stopped()
    began = time.monotonic()
    with Lab.open(vm.lab.name) as lab:
        assert time.monotonic() - began < 120
        (sentence,) = lab.recovered
        sides = look(lab)
        _is_whole(sides)
        assert sides.state == "running"
        assert sides.there is past
        assert ("has been completed" if past else "taken back") in sentence
        _works(lab)


def test_a_kernel_killed_while_memory_goes_over(vm: Machine) -> None:
    with Kernel(CODE.format(name=vm.lab.name), stop=Instant(function="_report", number=1)) as kernel:
        kernel.wait_stopped()
    with Lab.open(vm.lab.name) as lab:
        sides = _look_when_cleared(lab)
        _is_whole(sides)
        assert sides.state == "running"
        _works(lab)


def test_what_cannot_be_stopped_any_more_is_there_and_that_is_told(vm: Machine) -> None:
    lab = vm.lab
    code = f"""
import threading
cancel = threading.Event()
with Lab.open({lab.name!r}) as lab:
    plan = lab.machines["web"].migrate.plan(lab.neighbour())
    hear = lambda progress: cancel.set() if "moving" in progress.label else None
    (answer,) = lab.carry_out(plan, cancel=cancel, on_progress=hear).remarks
"""
    with Kernel(code, stop=Instant(function="_abort")) as kernel:
        kernel.wait_stopped()
        eventually(lambda: look(lab).there and not look(lab).here)
        kernel.go_on()
        answer = kernel.answer()
    assert answer.text == "web was on the other side before it could be stopped: it goes on there.", answer
    sides = look(lab)
    _is_whole(sides)
    assert (sides.there, sides.state) == (True, "running")
    assert find_entries(lab.session.workspace.journal) == []
    _works(lab)


def test_while_it_goes_over_its_snapshots_are_not_forgotten(vm: Machine) -> None:
    lab = vm.lab
    before = lab.state.roots
    with Kernel(CODE.format(name=lab.name), stop=Instant(function="do_step", number=1)) as kernel:
        kernel.wait_stopped()
        assert lab.state.roots == before
        assert tuple((node.name, node.parent) for node in vm.snapshots.tree.nodes.values()) == TREE
        assert lab.state.strays == ()
        assert "web" in lab.state.busy
    with Lab.open(lab.name) as again:
        _is_whole(look(again))


VICTIMS = ("daemon here", "daemon there", "guest here", "guest there", "both daemons")


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("victim", VICTIMS)
def test_something_else_killed_while_memory_goes_over(
    vm: Machine, instance: Instance, victim: str, number: int
) -> None:
    with Kernel(CODE.format(name=vm.lab.name), stop=Instant(function="_report", number=number)) as kernel:
        kernel.wait_stopped()
        _kill(_find_victims(vm, instance, victim))
        kernel.go_on()
        answer = kernel.answer()
    with Lab.open(vm.lab.name) as lab:
        sides = _look_when_cleared(lab)
        _is_whole(sides)
        assert sides.there is not bool(answer.error) or "completed" in answer.hint, answer
        if "guest" not in victim:
            assert sides.state == "running"
        _works(lab)


def test_a_dead_kernel_and_a_dead_daemon_at_once(vm: Machine, instance: Instance) -> None:
    with Kernel(CODE.format(name=vm.lab.name), stop=Instant(function="_report", number=1)) as kernel:
        kernel.wait_stopped()
        _kill(_find_victims(vm, instance, "daemon here"))
    with Lab.open(vm.lab.name) as lab:
        sides = _look_when_cleared(lab)
        _is_whole(sides)
        assert sides.state == "running"
        _works(lab)


def test_an_act_over_there_that_was_cut_short_is_ended_from_here(vm: Machine) -> None:
    lab = vm.lab
    vm.migrate(lab.neighbour())
    code = f"with Lab.open({lab.name!r}) as lab: lab.neighbour().machines['web'].snapshots.take('three')"
    with Kernel(code, stop=Instant(function="step_done", number=1)) as kernel:
        kernel.wait_stopped()
    with Lab.open(lab.name) as again:
        assert "completed" in again.recovered[0]
        assert set(again.neighbour().machines["web"].snapshots) == {"one", "two", "three"}
        assert again.state.strays == ()


def _find_victims(vm: Machine, instance: Instance, victim: str) -> list[psutil.Process]:
    (neighbour,) = find_instances(vm.lab.home / "instances")
    there = [process for process in neighbour.processes() if process.name() == "libvirtd"]
    if victim == "daemon here":
        return [instance.daemon()]
    if victim == "daemon there":
        return there
    if victim == "both daemons":
        return [instance.daemon(), *there]
    found = []
    for pid in find_emulators(vm.id):
        with suppress(psutil.NoSuchProcess):  # it has gone over meanwhile
            process = psutil.Process(pid)
            if ("-incoming" in process.cmdline()) is (victim == "guest there"):
                found.append(process)
    return found


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
            process.wait(60)
