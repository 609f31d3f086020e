"""Kernels at work on different machines of one lab: none loses anything, and none reads what never was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from labkit import Lab
from labkit.engine.journal import Record, count, find_entries
from labkit.errors import Busy, LabError, Refused, Stale
from labkit.machine import Machine
from labkit.model.disk import chain
from labkit.model.state import LabState
from tests.beside.hands import active_path, contents, make_machine
from tests.engine.kernel import Instant, Kernel

LOOKS = 120
"""Readings beside a kernel that acts all the time."""

RESTORING = """
import os
with Lab.open({lab!r}) as lab:
    vm, count = lab.machines[{machine!r}], 0
    while not os.path.exists({stop!r}):
        vm.snapshots.restore("one" if count % 2 else "two")
        if count % 3 == 0:
            vm.snapshots.take("new")
            vm.snapshots.delete("new")
        count += 1
    answer = str(count)
"""


@pytest.fixture
def pair(lab: Lab) -> tuple[Machine, Machine]:
    """Two machines, each with the snapshots one → two."""
    return make_machine(lab, "a", "one", "two"), make_machine(lab, "b", "one", "two")


@pytest.fixture
def stop(tmp_path: Path) -> Path:
    """The file whose coming ends the other kernels."""
    return tmp_path / "stop"


@pytest.fixture
def restoring(pair: tuple[Machine, Machine], stop: Path) -> Iterator[Kernel]:
    """Another kernel that restores b again and again."""
    lab = pair[0].lab
    with Kernel(RESTORING.format(lab=lab.name, machine="b", stop=str(stop))) as kernel:
        first = active_path(pair[1])
        while active_path(pair[1]) == first:
            assert kernel.process.is_alive()
        yield kernel
        stop.touch()
        answer = kernel.answer()
        assert answer.error == "", answer
        assert int(answer.text) > 0


@pytest.mark.usefixtures("restoring")
def test_no_reading_shows_what_never_was_and_no_plan_deletes_what_is_another_machines(
    pair: tuple[Machine, Machine],
) -> None:
    a, _b = pair
    unsettled = 0
    for _look in range(LOOKS):
        state = a.lab.state
        unsettled += state.unsettled
        if not state.unsettled:
            _check(state)
        deleted = a.snapshots.restore.plan("one").files.deleted
        assert all(Path(path).name.startswith("a.") for path in deleted), deleted
    assert unsettled < LOOKS / 2


def _check(state: LabState) -> None:
    """Every machine has its whole chain, and no file of an act that is under way is called an orphan."""
    for machine in state.machines.values():
        for disk in machine.spec.disks:
            assert chain(state.images, disk.path)[-1].path.endswith(".raw"), (machine.name, disk.path)
    assert not set(state.strays)
    assert set(state.images) <= state.alive | state.pending


@pytest.mark.usefixtures("restoring")
def test_two_kernels_on_different_machines_lose_nothing(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    before = {name: contents(a)[name] for name in ("one", "two")}
    others = [Path(b.snapshots[name].disks[0].path).read_bytes() for name in ("one", "two")]
    for name in ("one", "two") * 4:
        a.snapshots.restore(name)
        assert contents(a)["now"] == before[name]
    again = [Path(b.snapshots[name].disks[0].path).read_bytes() for name in ("one", "two")]
    assert again == others


def test_what_another_kernel_takes_between_plan_and_deleting_stays(pair: tuple[Machine, Machine]) -> None:
    """A's restore stands still just before it deletes; B is taken meanwhile, and its new image is not touched."""
    a, b = pair
    code = f"with Lab.open({a.lab.name!r}) as lab: lab.machines['a'].snapshots.restore('one')"
    with Kernel(code, stop=Instant(function="delete_unneeded")) as kernel:
        kernel.wait_stopped()
        b.snapshots.take("three")
        b.snapshots.restore("one")
        kernel.go_on()
        assert kernel.answer().error == ""
    assert active_path(b).exists()
    assert set(b.snapshots) == {"one", "two", "three"}
    for vm in (a, b):
        vm.start().kill()
    assert not a.lab.orphans


def test_what_an_open_act_makes_is_no_orphan(pair: tuple[Machine, Machine]) -> None:
    a, _b = pair
    code = f"with Lab.open({a.lab.name!r}) as lab: lab.machines['b'].snapshots.restore('one')"
    with Kernel(code, stop=Instant(function="delete_unneeded")) as kernel:
        kernel.wait_stopped()
        assert not a.lab.orphans
        plan = a.delete.plan()
        assert all(Path(path).name.startswith("a.") for path in plan.files.deleted)
        a.delete()
        kernel.go_on()
        assert kernel.answer().error == ""
    assert not a.lab.orphans


def test_what_an_open_act_is_going_to_make_is_named_already(pair: tuple[Machine, Machine]) -> None:
    a, _b = pair
    code = f"with Lab.open({a.lab.name!r}) as lab: lab.machines['a'].snapshots.restore('one')"
    with Kernel(code, stop=Instant(function="do_step")) as kernel:
        kernel.wait_stopped()
        coming = {path for path in a.lab.state.pending if not Path(path).exists()}
        assert coming
        assert coming.isdisjoint(a.snapshots.take.plan("three").files.created)
        kernel.go_on()
        assert kernel.answer().error == ""


@contextmanager
def changing(lab: Lab) -> Iterator[None]:
    """Acts go a step on within every reading, as many kernels would make it look; nothing of labkit is replaced."""
    folder, before = lab.home / "journal", sys.gettrace()

    def step_on(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_name == "_read_once":
            count(folder)

    sys.settrace(step_on)
    try:
        yield
    finally:
        sys.settrace(before)


def test_a_lab_that_never_stands_still_is_shown_and_not_acted_on(pair: tuple[Machine, Machine]) -> None:
    a, _b = pair
    lab = a.lab
    with changing(lab):
        assert lab.session.read().unsettled
        plan = a.snapshots.restore.plan("one")
        assert plan.steps  # to be looked at
        with pytest.raises(Busy, match="change this lab again and again"):
            lab.carry_out(plan)
    with pytest.raises(Stale):
        lab.carry_out(plan)
    assert not lab.state.unsettled
    a.snapshots.restore("one")


@contextmanager
def held(path: str) -> Iterator[None]:
    """A process has an image open."""
    with subprocess.Popen(
        ["qemu-io", "-r", "-f", "qcow2", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        try:
            assert reader.stdin is not None
            assert reader.stdout is not None
            reader.stdin.write(b"length\n")
            reader.stdin.flush()
            reader.stdout.readline()
            yield
        finally:
            reader.terminate()


def test_a_file_that_a_process_has_open_is_not_deleted(lab: Lab) -> None:
    disk = lab.disks.create("data", capacity="1 MiB")
    path = disk.facts.active.path
    with held(path):
        with pytest.raises(Refused, match="in use"):
            disk.delete()
        lab.clean()
        assert Path(path).exists()
        assert any("open" in remark for remark in lab.history[-1].remarks)
    disk.delete()
    assert not Path(path).exists()


# --- an older journal ---------------------------------------------------------------------------


def test_an_old_plan_to_delete_found_in_a_journal_deletes_nothing_that_is_used_now(lab: Lab) -> None:
    disk = lab.disks.create("data", capacity="1 MiB")
    plan = disk.delete.plan()
    vm = make_machine(lab, "web", "one")
    vm.attach(disk)
    Record(lab.home / "journal", plan)  # as a backup brings it back
    with Lab.open(lab.name) as again:
        assert any("data.0.qcow2 stays" in sentence for sentence in again.recovered)
    assert find_entries(lab.home / "journal") == []
    assert Path(disk.facts.active.path).exists()
    vm.start()
    Record(lab.home / "journal", plan)
    with Lab.open(lab.name):
        assert Path(disk.facts.active.path).exists()
    vm.kill()


def test_an_old_plan_to_create_found_in_a_journal_takes_nothing_back_that_is_used_now(lab: Lab) -> None:
    plan = lab.disks.create.plan("data", capacity="1 MiB")
    lab.carry_out(plan)
    vm = make_machine(lab, "web", "one")
    vm.attach("data")
    Record(lab.home / "journal", plan)
    with Lab.open(lab.name) as again:
        assert any("data.0.qcow2 stays" in sentence for sentence in again.recovered)
        assert Path(again.disks["data"].facts.active.path).exists()


def test_an_old_plan_to_create_found_in_a_journal_takes_nothing_back_that_a_process_has_open(lab: Lab) -> None:
    """No definition names it: only the process tells that it is in use."""
    plan = lab.disks.create.plan("data", capacity="1 MiB")
    lab.carry_out(plan)
    path = lab.disks["data"].facts.active.path
    with held(path):
        Record(lab.home / "journal", plan)
        with Lab.open(lab.name) as again:
            assert any("data.0.qcow2 stays" in sentence for sentence in again.recovered)
    assert Path(path).exists()
    assert find_entries(lab.home / "journal") == []
    Record(lab.home / "journal", plan)
    with Lab.open(lab.name):
        assert not Path(path).exists()


def test_an_old_restore_found_in_a_journal_deletes_no_image_of_a_running_guest(lab: Lab) -> None:
    vm = make_machine(lab, "web", "one", "two")
    plan = vm.snapshots.restore.plan("one")
    now = active_path(vm)
    vm.start()
    held = [layer.path for layer in chain(lab.state.images, str(now))]
    Record(lab.home / "journal", plan)
    try:
        with Lab.open(lab.name) as again:
            assert again.recovered
    except LabError:
        pass
    assert all(Path(path).exists() for path in held)
    vm.kill()


def test_a_file_that_is_just_being_discarded_is_no_interrupted_act(lab: Lab) -> None:
    for name in ("one.txt", "two.txt"):
        (lab.home / "disks" / name).write_text("nobody's")
    code = f"with Lab.open({lab.name!r}) as lab: lab.orphans['one.txt'].discard()"
    with Kernel(code, stop=Instant(function="step_done")) as kernel:
        kernel.wait_stopped()
        with Lab.open(lab.name) as other:
            assert other.recovered == ()
            with pytest.raises(Busy):
                other.orphans["two.txt"].discard()
        kernel.go_on()
        assert not kernel.answer().error
    lab.orphans["two.txt"].discard()
    assert not lab.orphans
