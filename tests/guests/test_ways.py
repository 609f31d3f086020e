"""No refusal names a call that the machine would refuse, too, in the state it is in."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from labkit.errors import LabError
from labkit.machine import Machine
from labkit.model import switch_excuses as excuses
from labkit.model import ways
from labkit.model.machine import MachineFacts, MachineState, Reason
from tests.plans.states import machine

OFF, RUNNING, PAUSED, SAVED = MachineState
EXCUSES: Final[dict[str, Callable[[MachineFacts], str | None]]] = {
    "start": excuses.why_not_start,
    "pause": excuses.why_not_pause,
    "resume": excuses.why_not_resume,
    "save": excuses.why_not_save,
    "stop": excuses.why_not_stop,
    "kill": excuses.why_not_kill,
    "run": excuses.why_not_run,
    "wait_ready": excuses.why_not_pause,
}
WAYS: Final[dict[str, Callable[[MachineFacts], str]]] = {
    "start": ways.for_start,
    "pause": ways.for_pause,
    "resume": ways.for_resume,
    "save": ways.for_save,
    "stop": ways.for_stop,
    "kill": ways.for_kill,
    "run": ways.for_run,
    "wait_ready": ways.ways_on,
    "pin": ways.ways_on,
}
STANDING: Final = {
    **{str(state): replace(machine("web"), state=state, reason=Reason.UNKNOWN) for state in MachineState},
    **{
        name: replace(machine("web"), state=RUNNING, reason=Reason.OUT_OF_REACH, process=process, host=host)
        for name, process, host in (("lost", 7, ""), ("unseen", None, ""), ("elsewhere", 7, "annex"))
    },
}
ASKED: Final[dict[str, Callable[[Machine, Path], object]]] = {
    "start": lambda vm, _place: vm.start(),
    "pause": lambda vm, _place: vm.pause(),
    "resume": lambda vm, _place: vm.resume(),
    "save": lambda vm, _place: vm.save(),
    "stop": lambda vm, _place: vm.stop(),
    "kill": lambda vm, _place: vm.kill(),
    "run": lambda vm, _place: vm.run("true"),
    "wait_ready": lambda vm, _place: vm.wait_ready(),
    "pin": lambda vm, _place: vm.pin(0),
    "throttle": lambda vm, _place: vm.throttle("web.vda", iops=100),
    "configure": lambda vm, _place: vm.configure.plan(vcpus=2),
    "rename": lambda vm, _place: vm.rename.plan("other"),
    "delete": lambda vm, _place: vm.delete.plan(),
    "take": lambda vm, _place: vm.snapshots.take.plan("clean"),
    "clone": lambda vm, _place: vm.clone.plan("copy"),
    "export": lambda vm, place: vm.export.plan(place / "web.labkit"),
    "flatten": lambda vm, _place: vm.flatten.plan(),
    "migrate": lambda vm, _place: vm.migrate.plan(vm.lab),
    "detach": lambda vm, _place: vm.detach.plan("web.vda"),
}


def impossible(hint: str, facts: MachineFacts) -> list[str]:
    """The calls of a hint that the machine would refuse now; what stands behind *then* comes later."""
    now = " ".join(re.sub(r"\bthen\b[^.;]*", "", hint).split())
    called = re.findall(r"(?:\bvm\.|]\.|(?<![\w.]))(\w+)\(\)", now)
    return [name for name in called if name in EXCUSES and EXCUSES[name](facts)]


@pytest.mark.parametrize("standing", STANDING)
@pytest.mark.parametrize("verb", WAYS)
def test_what_to_do_instead_of_a_switch_is_possible_in_that_state(verb: str, standing: str) -> None:
    facts = STANDING[standing]
    if EXCUSES.get(verb, excuses.why_not_pin)(facts):
        hint = WAYS[verb](facts)
        assert hint
        assert impossible(hint, facts) == []


def test_the_test_finds_what_does_not_fit() -> None:
    assert impossible("Use stop() first, or resume() if it is paused.", STANDING["running"]) == ["resume"]
    assert impossible("Use stop() to shut it down, or kill() to cut its power.", STANDING["paused"]) == ["stop"]


def test_whatever_is_refused_on_a_real_machine_says_what_is_possible_now(ready: Machine, tmp_path: Path) -> None:
    refused: dict[tuple[str, str], str] = {}
    steps: tuple[tuple[MachineState, Callable[[], object]], ...] = (
        (RUNNING, ready.wait_ready),
        (PAUSED, ready.pause),
        (SAVED, ready.save),
        (OFF, lambda: ready.start().kill()),
    )
    for state, bring in steps:
        bring()
        for verb, ask in ASKED.items():
            if verb in EXCUSES and EXCUSES[verb](ready.facts) is None:
                continue
            assert ready.state is state, verb
            hint = _hint_of(ask, ready, tmp_path)
            if hint is not None:
                refused[state, verb] = hint
                assert impossible(hint, ready.facts) == [], (state, verb, hint)
    assert refused[RUNNING, "start"] == "Use stop() first."
    assert {verb for state, verb in refused if state is PAUSED} >= {
        "start",
        "stop",
        "run",
        "delete",
        "rename",
        "export",
    }
    assert {verb for state, verb in refused if state is SAVED} >= {"kill", "take", "configure", "rename", "throttle"}
    assert {verb for state, verb in refused if state is OFF} >= {"pause", "resume", "save", "run", "wait_ready"}


def _hint_of(ask: Callable[[Machine, Path], object], vm: Machine, place: Path) -> str | None:
    """What is said of how to go on, by an error or by a plan that is refused; None: it is not refused."""
    try:
        answer = ask(vm, place)
    except LabError as error:
        return error.hint
    refusal = getattr(answer, "refusal", None)
    return refusal.hint if refusal else None
