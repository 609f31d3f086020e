"""Inside a real guest: commands through its agent, its serial console."""

from __future__ import annotations

import re
import threading
import time

import pytest

from labkit.errors import BadInput, Cancelled, GuestError, GuestSilent, TimedOut
from labkit.machine import Machine


def test_a_command_answers_with_its_output_and_its_exit_code(shared_guest: Machine) -> None:
    result = shared_guest.run("echo out; echo err >&2; exit 3")
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 3)
    assert not result
    assert shared_guest.run("true")


def test_a_sequence_is_a_program_and_its_arguments_without_a_shell(shared_guest: Machine) -> None:
    assert shared_guest.run(["echo", "$HOME", "a  b", "*"]).stdout == "$HOME a  b *\n"


def test_a_command_reads_what_it_is_given(shared_guest: Machine) -> None:
    assert shared_guest.run("wc -c", stdin=b"x" * 100_000).stdout.strip() == "100000"


def test_output_that_is_no_text_is_shown_all_the_same(shared_guest: Machine) -> None:
    assert shared_guest.run(r"printf 'a\377b'").stdout == "a\ufffdb"


def test_a_command_ended_by_a_signal_tells_which(shared_guest: Machine) -> None:
    assert shared_guest.run("kill -9 $$").exit_code == 128 + 9


def test_a_command_that_takes_too_long_is_ended_inside_with_all_it_started(shared_guest: Machine) -> None:
    with pytest.raises(TimedOut, match="4 s") as caught:  # a busy host takes one to begin
        shared_guest.run("sleep 4321 & sleep 4321; true", timeout=4)
    assert "timeout=" in caught.value.hint
    assert shared_guest.run("while ps | grep -q '[s]leep 4321'; do sleep 0.1; done")


def test_a_cancelled_command_is_ended(shared_guest: Machine) -> None:
    cancel = threading.Event()
    cancel.set()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        shared_guest.run("sleep 100", cancel=cancel)
    assert time.monotonic() - began < 60


def test_a_program_that_there_is_not_is_an_error_of_the_guest(shared_guest: Machine) -> None:
    with pytest.raises(GuestError) as caught:
        shared_guest.run(["no-such-program"])
    assert "web" in caught.value.message
    assert shared_guest.run("no-such-program").exit_code == 127


@pytest.mark.parametrize("command", [[], "", "a\0b", [""]])
def test_what_is_no_command_is_refused(shared_guest: Machine, command: str | list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        shared_guest.run(command)
    assert caught.value.hint


def test_what_is_typed_on_the_console_is_answered_there(shared_guest: Machine) -> None:
    console = shared_guest.console
    before = console.send("echo $((6 * 7))-is-the-answer")
    assert console.expect("42-is-the-answer", position=before) == "42-is-the-answer"
    assert "42-is-the-answer" in console.tail()
    assert len(console.tail(1).splitlines()) == 1


def test_the_prompt_names_the_guest(shared_guest: Machine) -> None:
    console = shared_guest.console
    console.expect("# $")  # the agent answers before the shell stands
    before = console.send("")
    assert console.expect(r"web[^\n]*[#$] ", position=before)


def test_a_prompt_that_is_drawn_anew_at_each_size_is_among_the_last_lines_once(shared_guest: Machine) -> None:
    console = shared_guest.console
    console.expect("# $", position=console.send(""))
    before = console.send("echo drawn-anew", end="")
    console.expect("drawn-anew", position=before)
    for columns in (70, 90):  # as consoles of other sizes are joined
        before = console.position
        shared_guest.run(f"stty -F /dev/ttyS0 cols {columns}")
        console.expect("drawn-anew", position=before)
    assert console.tail().count("echo drawn-anew") == 1
    console.expect(r"\ndrawn-anew\n", position=console.send(""))


def test_waiting_for_what_never_comes_ends_with_the_last_lines(shared_guest: Machine) -> None:
    with pytest.raises(GuestSilent, match="never this") as caught:
        shared_guest.console.expect("never this", timeout=0.1)
    assert caught.value.details == shared_guest.console.tail()


def test_a_pattern_that_is_none_is_refused_with_a_hint(shared_guest: Machine) -> None:
    with pytest.raises(BadInput, match="regular expression") as caught:
        shared_guest.console.expect("(")
    assert "re.escape" in caught.value.hint


def test_the_console_shows_no_control_characters(shared_guest: Machine) -> None:
    console = shared_guest.console
    before = console.send(r"printf '\033[31mred\033[0m%s\n' -as-text")
    console.expect("red-as-text", position=before)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", console.tail())
