"""Clones that go on from a snapshot's memory: what they know, who they are, what becomes of them when struck."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from labkit import Lab
from labkit.engine.progress import Progress
from labkit.engine.seals import seal
from labkit.engine.steps.instant import MOST_AT_ONCE
from labkit.errors import Refused
from labkit.machine import Machine
from labkit.model.machine import MachineState
from labkit.model.mapped import files_beside
from labkit.plans.steps import WakeClones
from labkit.storage import memory_file
from tests.clones.test_guests import IDENTITY, KEYED, frozen, identity, many, only, read, write

RANDOM = "head -c 24 /dev/urandom | base64"
CLOCK_LAGS = 60
"""Seconds that a guest's clock may lag behind: the way through its agent, on a busy host. Kept was one of years ago."""


@pytest.fixture
def warm(lab: Lab) -> Machine:
    """A machine of two disks that runs and counts in its memory; its snapshot `warm` keeps that."""
    vm = lab.create("web", memory="96 MiB")
    vm.attach(lab.disks.create("data", capacity="8 MiB"))
    write(vm.start(warm=True).wait_ready(), "original")
    assert vm.run(f"{KEYED}; labkit-counter start; echo kept > /run/kept; date -u -s '2020-01-01 00:00'")
    vm.snapshots.take("warm")
    return vm


def count(vm: Machine) -> int:
    """What its counter in memory says."""
    return int(vm.run("labkit-counter").stdout)


def files(lab: Lab) -> set[str]:
    """All files of a lab but its locks."""
    return {str(path) for path in lab.home.rglob("*") if path.is_file() and "locks" not in path.parts}


def test_three_go_on_at_once_each_as_somebody_else(warm: Machine) -> None:
    lab = warm.lab
    kept, memory = frozen(lab), Path(str(warm.snapshots["warm"].memory))
    digest = hashlib.sha256(memory.read_bytes()).hexdigest()
    at_snapshot, ours = count(warm), identity(warm)
    clones = many(warm.clone("seat-{:02}", kind="linked", snapshot="warm", count=3, instant=True))
    assert [each.state for each in clones] == [MachineState.RUNNING] * 3
    assert lab.history[-1].remarks == ()

    for each in clones:
        assert count(each) >= 1
        assert each.run("cat /run/kept").stdout == "kept\n"
        before = time.time()
        told = float(each.run("date +%s").stdout)
        assert before - CLOCK_LAGS <= told <= time.time()
    theirs = [each.run("cat /etc/machine-id /etc/hostname /etc/labkit/host-key; hostname").stdout for each in clones]
    assert [text.split()[1] for text in theirs] == ["seat-01", "seat-02", "seat-03"]
    assert [text.split()[0] for text in theirs] == [each.id.replace("-", "") for each in clones]
    assert len({text.split()[3] for text in theirs} | {ours[3]}) == 4
    assert len({each.facts.live.genid for each in clones if each.facts.live} | {warm.facts.spec.genid}) == 4

    one, two, three = clones
    write(one, "first")
    write(two, "second")
    assert (read(one), read(two), read(three)) == (["first"] * 2, ["second"] * 2, ["original"] * 2)
    assert read(warm) == ["original"] * 2
    assert identity(warm) == ours
    assert count(warm) > at_snapshot
    assert frozen(lab) == kept
    assert hashlib.sha256(memory.read_bytes()).hexdigest() == digest
    assert set((lab.home / "memory").iterdir()) == {memory, *map(Path, files_beside([str(memory)]))}
    warm.snapshots.restore("warm")
    assert warm.run("cat /run/kept").stdout == "kept\n"
    assert identity(warm)[1] == "web"


def test_what_was_renewed_is_what_a_boot_says(warm: Machine) -> None:
    clone = only(warm.clone("copy", kind="linked", snapshot="warm", instant=True))
    assert read(clone) == ["original"] * 2
    who = clone.run("cat /etc/machine-id /etc/hostname /etc/labkit/host-key").stdout
    clone.stop()
    clone.start().wait_ready()
    assert clone.run("cat /etc/machine-id /etc/hostname /etc/labkit/host-key").stdout == who
    assert not clone.run("cat /run/kept")


def test_what_is_random_differs_at_once(warm: Machine) -> None:
    said = [only(warm.clone(name, kind="linked", snapshot="warm", instant=True)).run(RANDOM).stdout for name in "abc"]
    assert len(set(said)) == 3


def test_a_twin_takes_itself_for_the_original(warm: Machine) -> None:
    ours = identity(warm)
    twin = only(warm.clone("twin", kind="linked", snapshot="warm", identity="keep", instant=True))
    assert twin.run(IDENTITY).stdout.split()[:4] == ours[:4]
    assert twin.facts.spec.genid == warm.facts.spec.genid


def test_the_console_speaks_under_the_new_name(warm: Machine) -> None:
    clone = only(warm.clone("seat", kind="linked", snapshot="warm", instant=True))
    clone.console.send("\n")
    clone.console.expect(r"root@seat:")


def test_a_memory_of_another_kind_is_not_relied_on(warm: Machine) -> None:
    memory = Path(str(warm.snapshots["warm"].memory))
    start = bytearray(memory.read_bytes())
    start[16:20] = (3).to_bytes(4, "little")
    memory.write_bytes(start)
    with pytest.raises(ValueError, match="not a memory file"):
        memory_file.read_header(memory)
    seal([str(memory)])  # as if it had always been so
    with pytest.raises(Refused, match="memory") as refused:
        warm.clone("copy", kind="linked", snapshot="warm", instant=True)
    assert "leave out instant=True" in refused.value.hint
    assert sorted((warm.lab.home / "memory").iterdir()) == [memory]
    only(warm.clone("copy", kind="linked", snapshot="warm"))


def test_refused_without_a_memory_to_go_on_from(warm: Machine) -> None:
    full = warm.clone.plan("copy", snapshot="warm", instant=True)
    assert full.refusal is not None
    assert 'kind="linked"' in full.refusal.hint
    warm.stop()
    warm.snapshots.take("cold")
    for snapshot, why in (("cold", "cold keeps no memory"), (None, "none is named")):
        plan = warm.clone.plan("copy", kind="linked", snapshot=snapshot, instant=True)
        assert plan.refusal is not None
        assert why in plan.refusal.why
        assert "instant=True" in plan.refusal.hint
        if snapshot:
            assert "warm" in plan.refusal.hint
    with pytest.raises(Refused):
        warm.clone("copy", kind="linked", snapshot="cold", instant=True)


def test_refused_where_the_host_has_too_little_memory(warm: Machine) -> None:
    plan = warm.clone.plan("seat-{}", kind="linked", snapshot="warm", count=2, instant=True)
    assert plan.refusal is None
    assert "of the host's memory" in plan.preview()
    assert "of the host's memory" not in repr(plan)
    plan = warm.clone.plan("seat-{}", kind="linked", snapshot="warm", count=5000, instant=True)
    assert plan.refusal is not None
    assert "5000 running guests take about 312.6 GiB of the host's memory" in plan.refusal.why
    assert "Make at most" in plan.refusal.hint


def test_cancelled_while_they_are_woken_the_others_stay_off(warm: Machine) -> None:
    lab, cancel, offered = warm.lab, threading.Event(), list[bool]()

    def look(progress: Progress) -> None:
        offered.append(progress.can_cancel)
        if isinstance(plan.steps[progress.step - 1], WakeClones) and progress.done:
            cancel.set()

    begun = min(os.cpu_count() or 1, MOST_AT_ONCE)  # so many are given their memory at the same moment
    plan = warm.clone.plan("seat-{:02}", kind="linked", snapshot="warm", count=begun + 2, instant=True)
    (remark,) = lab.carry_out(plan, on_progress=look, cancel=cancel).remarks
    assert offered[-2:] == [True, True]
    seats = [f"seat-{number + 1:02}" for number in range(begun + 2)]
    assert f"{seats[-2]}, {seats[-1]} are there and stay off" in remark
    assert [lab.machines[name].state for name in seats] == ["running"] * begun + ["off"] * 2
    assert identity(lab.machines["seat-01"])[1] == "seat-01"
    assert identity(lab.machines[seats[-1]].start().wait_ready())[1] == seats[-1]
    memory = Path(str(warm.snapshots["warm"].memory)).name
    assert {path.name for path in (lab.home / "memory").iterdir()} == {memory, *files_beside([memory])}
