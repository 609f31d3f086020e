"""What an act says of a cancel is true, at every step: it stops, or it goes on to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from labkit import Lab
from labkit.engine.progress import Progress
from labkit.errors import Cancelled
from labkit.machine import Machine
from labkit.plans.plan import Plan
from labkit.plans.steps import MergeLayer, Step


def make(lab: Lab, name: str) -> Machine:
    """A machine that is off, with two snapshots one on the other."""
    machine = lab.create(name, image="sector", memory="16 MiB")
    machine.snapshots.take("one").take("two").take("three")
    return machine


def plan_convert(lab: Lab, name: str) -> Plan:
    return lab.disks.create(name, capacity="8 MiB").convert.plan(f"{name}-copy", format="vdi")


def plan_resize(lab: Lab, name: str) -> Plan:
    return lab.disks.create(name, capacity="8 MiB", format="raw", allocation="fixed").resize.plan("16 MiB")


def plan_flatten(lab: Lab, name: str) -> Plan:
    make(lab, name).clone(f"{name}-link", kind="linked", snapshot="two")
    return lab.machines[f"{name}-link"].flatten.plan()


ACTS: dict[str, Callable[[Lab, str], Plan]] = {
    "create": lambda lab, name: lab.create.plan(name, image="sector", memory="16 MiB"),
    "take": lambda lab, name: make(lab, name).snapshots.take.plan("four"),
    "restore": lambda lab, name: make(lab, name).snapshots.restore.plan("one"),
    "delete a snapshot": lambda lab, name: make(lab, name).snapshots.delete.plan("two"),
    "delete a machine": lambda lab, name: make(lab, name).delete.plan(),
    "clone": lambda lab, name: make(lab, name).clone.plan(f"{name}-copy", snapshots=True),
    "linked clones": lambda lab, name: make(lab, name).clone.plan(name + "-{}", kind="linked", count=3),
    "export": lambda lab, name: make(lab, name).export.plan(str(lab.home / f"{name}.labkit")),
    "convert": plan_convert,
    "resize": plan_resize,
    "flatten": plan_flatten,
}


@pytest.mark.parametrize("act", ACTS)
def test_a_cancel_that_is_offered_is_heeded(lab: Lab, act: str) -> None:
    seen: list[Progress] = []
    plan = ACTS[act](lab, "first")
    lab.carry_out(plan, on_progress=seen.append)
    told = list(dict.fromkeys((each.step, each.can_cancel) for each in seen))
    assert {step for step, _can_cancel in told} == {*range(1, len(plan.steps) + 1)}
    offered = [moment for moment in told if moment[1]]
    ends = {moment: end_of(lab, ACTS[act](lab, f"m{number}"), moment) for number, moment in enumerate(offered)}
    assert [moment for moment, end in ends.items() if end == "done"] == []
    assert list((lab.home / "journal").iterdir()) == []


@pytest.mark.parametrize("act", [act for act in ACTS if act not in ("export", "convert")])  # which have no such point
def test_behind_its_commit_point_an_act_goes_on_to_its_end(lab: Lab, act: str) -> None:
    plan = ACTS[act](lab, "web")
    assert plan.commit_point is not None
    assert end_of(lab, plan, (len(plan.steps), False)) in ("done", "done but for a rest")


def end_of(lab: Lab, plan: Plan, moment: tuple[int, bool]) -> str:
    """Carry a plan out, and cancel it at a moment; returns what came of it."""
    cancel = threading.Event()

    def look(progress: Progress) -> None:
        if (progress.step, progress.can_cancel) == moment:
            cancel.set()

    before = lab.state.images.keys()
    try:
        outcome = lab.carry_out(plan, on_progress=look, cancel=cancel)
    except Cancelled:
        assert lab.state.images.keys() == before
        return "taken back"
    assert cancel.is_set()
    return "done but for a rest" if outcome.remarks else "done"


def test_merging_behind_the_commit_point_can_be_left(lab: Lab) -> None:
    plan = ACTS["delete a snapshot"](lab, "web")
    told: list[Progress] = []
    lab.carry_out(plan, on_progress=told.append)
    seen = {each.step: each.can_cancel for each in reversed(told)}  # what was said first
    commit = plan.commit_point
    assert commit is not None
    behind: list[tuple[Step, bool]] = [(step, seen[at + 1]) for at, step in enumerate(plan.steps) if at > commit]
    assert {type(step) for step, can_cancel in behind if can_cancel} == {MergeLayer}
