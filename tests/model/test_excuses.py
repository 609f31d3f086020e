"""Why a machine cannot be switched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from labkit.model import switch_excuses as excuses
from labkit.model.machine import MachineFacts, MachineState, Reason
from tests.plans.states import machine

OFF, RUNNING, PAUSED, SAVED = MachineState


def standing(state: MachineState) -> MachineFacts:
    return replace(machine("web"), state=state, reason=Reason.UNKNOWN)


@pytest.mark.parametrize(
    ("why_not", "allowed"),
    [
        (excuses.why_not_start, {OFF, SAVED}),
        (excuses.why_not_pause, {RUNNING}),
        (excuses.why_not_resume, {PAUSED}),
        (excuses.why_not_save, {RUNNING, PAUSED}),
        (excuses.why_not_stop, {RUNNING}),
        (excuses.why_not_kill, {RUNNING, PAUSED}),
        (excuses.why_not_run, {RUNNING}),
        (excuses.why_not_pin, {OFF, RUNNING, PAUSED}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_verb_fits_some_states_and_excuses_itself_in_the_others(
    why_not: Callable[[MachineFacts], str | None], allowed: set[MachineState]
) -> None:
    for state in MachineState:
        excuse = why_not(standing(state))
        assert (excuse is None) == (state in allowed)
        assert excuse is None or "web" in excuse


def test_without_an_agent_nothing_runs_inside_and_the_excuse_names_the_console() -> None:
    facts = standing(RUNNING)
    mute = replace(facts, spec=replace(facts.spec, agent=False))
    assert "console" in (excuses.why_not_run(mute) or "")


def test_a_changed_definition_waits_for_a_restart() -> None:
    facts = standing(RUNNING)
    same = replace(facts, live=facts.spec)
    changed = replace(facts, live=replace(facts.spec, vcpus=2))
    assert not facts.waits_for_restart
    assert not same.waits_for_restart
    assert changed.waits_for_restart
