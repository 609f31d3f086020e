"""No act is planned past the guard: every plan is made in one place, and that place asks it."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

import labkit
from labkit.model.machine import MachineFacts, MachineState, Reason
from labkit.plans.accepting import plan_accept
from labkit.plans.creation import IfExists, plan_create
from labkit.plans.machine import plan_clean, plan_delete, plan_rename
from labkit.plans.snapshot import SnapshotSurvey, plan_take
from labkit.units import GIB
from tests.plans.states import HOME, SURVEY, image, lab, machine, request

MAKER = "plans/planning.py"
MEASURED = SnapshotSurvey(free_bytes=GIB, quiesce=False)


def find_makers(text: str) -> list[int]:
    """Return the lines of a module in which a plan is made."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if ast.unparse(call.func).rpartition(".")[2] == "Plan"]


def test_plans_are_made_in_one_place() -> None:
    root = Path(labkit.__file__).parent
    makers = {str(path.relative_to(root)) for path in root.rglob("*.py") if find_makers(path.read_text())}
    assert makers == {MAKER}


@pytest.mark.parametrize("call", ["Plan(act=act)", "plan.Plan(\n    act=act,\n)"])
def test_a_plan_that_is_made_elsewhere_is_found(call: str) -> None:
    root = Path(labkit.__file__).parent
    planted = (root / "plans/machine.py").read_text() + f"\n\ndef plan_nothing(act: str) -> Plan:\n    return {call}\n"
    assert find_makers(planted)


def apart() -> MachineFacts:
    """A running machine whose image was exchanged for another file."""
    facts = machine("web", MachineState.RUNNING)
    return replace(facts, apart=((facts.spec.disks[0].path, "/labs/course/disks/old.qcow2"),))


def out_of_reach() -> MachineFacts:
    return replace(machine("web", MachineState.RUNNING), reason=Reason.OUT_OF_REACH, process=7)


def sharing() -> tuple[MachineFacts, MachineFacts]:
    """A machine that is off, and a running one to which another program has given its disk too."""
    web, other = machine("web"), machine("other", MachineState.RUNNING)
    assert other.live
    return web, replace(other, live=replace(other.live, disks=(*other.live.disks, *web.spec.disks)))


@pytest.mark.parametrize("facts", [apart(), out_of_reach()], ids=["apart", "out of reach"])
def test_what_would_not_be_carried_out_is_refused_when_it_is_planned(facts: MachineFacts) -> None:
    active, below = facts.spec.disks[0].path, f"{HOME}/disks/web.vda.7.qcow2"
    state = lab(facts, images={active: replace(image(active), backing=below), below: image(below)})
    plans = [
        plan_take(state, MEASURED, "web", "clean", ""),
        plan_accept(state, (below,), "web"),
        plan_delete(state, "web"),
        plan_rename(state, "web", "other"),
    ]
    assert [plan.act for plan in plans if not plan.refusal or plan.steps or plan.notes] == []


def test_where_nothing_is_done_nothing_is_refused() -> None:
    for facts in (apart(), out_of_reach()):
        kept = plan_create(lab(facts), SURVEY, request(if_exists=IfExists.KEEP))
        assert (kept.refusal, kept.steps) == (None, ())


def test_a_disk_that_another_guest_writes_to_is_left_alone_by_all_but_clean() -> None:
    state = lab(*sharing())
    assert "has given" in (plan_take(state, MEASURED, "web", "clean", "").excuse or "")
    assert not plan_clean(state).refusal  # it ends both
