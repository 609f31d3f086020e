"""The smallest guest: 512 bytes, no agent."""

from __future__ import annotations

import pytest

from labkit import Lab
from labkit.errors import TimedOut, WrongState
from labkit.model.machine import MachineState, Reason


def test_it_greets_with_its_message_and_answers_on_the_serial_line(lab: Lab) -> None:
    vm = lab.create("boot", image="sector", memory="16 MiB", message="¡Hola!").start().wait_ready()
    console = vm.console
    assert console.expect("¡Hola!")
    before = console.send("echo this", end="\r")
    assert console.expect("echo this[\\s\\S]*echo this", position=before)
    with pytest.raises(WrongState, match="no guest agent") as caught:
        vm.run("true")
    assert caught.value.hint


def test_it_cannot_be_asked_to_stop_so_the_time_limit_says_so_and_kill_works(lab: Lab) -> None:
    vm = lab.create("boot", image="sector", memory="16 MiB").start().wait_ready()
    with pytest.raises(TimedOut, match="did not shut down within 1 s; it is still running") as caught:
        vm.stop(timeout=1)
    assert "kill()" in caught.value.hint
    assert vm.state is MachineState.RUNNING
    assert (vm.kill().state, vm.reason) == (MachineState.OFF, Reason.KILLED)


def test_it_goes_on_from_its_saved_memory_and_counts_as_ready(lab: Lab) -> None:
    vm = lab.create("boot", image="sector", memory="16 MiB").start().wait_ready()
    vm.save().start().wait_ready()
    before = vm.console.send("still here", end="\r")
    assert vm.console.expect("still here", position=before)


def test_it_can_turn_itself_off(lab: Lab) -> None:
    vm = lab.create("boot", image="sector", memory="16 MiB").start().wait_ready()
    vm.console.send("o", end="\r")
    assert vm.stop().state is MachineState.OFF
    assert vm.reason is Reason.SHUT_DOWN
