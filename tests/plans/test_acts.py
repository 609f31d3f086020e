"""Acts: methods that can be called, or asked for their plan with the same arguments."""

from __future__ import annotations

import inspect

import pytest

from labkit.acts.act import act
from labkit.errors import Stale
from labkit.lab import Lab
from labkit.machine import Machine
from labkit.plans.plan import Plan


class Thing:
    """Something with an act; `fresh` tells how many plans are stale before one is not."""

    def __init__(self, stale: int = 0) -> None:
        self.stale = stale
        self.planned: list[str] = []
        self.done: list[tuple[str, float | None]] = []

    def _after(self, plan: Plan, timeout: float | None) -> str:
        if self.stale:
            self.stale -= 1
            raise Stale("changed", "look again")
        self.done.append((plan.subject, timeout))
        return f"{plan.subject} done"

    @act(_after)
    def paint(self, colour: str, *, coats: int = 1, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Paint the thing."""
        self.planned.append(colour)
        return Plan(act="paint", subject=colour * coats, home="/", names=(), basis="")


def test_a_call_plans_carries_out_and_answers() -> None:
    thing = Thing()
    assert thing.paint("red", coats=2, timeout=3) == "redred done"
    assert thing.done == [("redred", 3)]


def test_a_plan_is_made_with_the_same_arguments_and_nothing_is_done() -> None:
    thing = Thing()
    assert thing.paint.plan("red", coats=2).subject == "redred"
    assert thing.done == []


def test_an_act_whose_plan_went_stale_unseen_is_planned_once_more() -> None:
    thing = Thing(stale=1)
    assert thing.paint("red") == "red done"
    assert thing.planned == ["red", "red"]


def test_an_act_that_stays_stale_says_so() -> None:
    with pytest.raises(Stale):
        Thing(stale=2).paint("red")


def test_help_shows_the_acts_own_signature_and_text() -> None:
    assert (
        str(inspect.signature(Thing().paint))
        == "(colour: 'str', *, coats: 'int' = 1, timeout: 'float | None' = None) -> 'Plan'"
    )
    assert Thing().paint.__doc__ == "Paint the thing."
    assert repr(Thing().paint).startswith("act paint(colour")


@pytest.mark.parametrize("name", ["create", "clean"])
def test_the_labs_acts_explain_themselves(name: str) -> None:
    assert getattr(Lab, name).__doc__


@pytest.mark.parametrize("name", ["configure", "rename", "delete"])
def test_the_machines_acts_explain_themselves(name: str) -> None:
    assert getattr(Machine, name).__doc__
