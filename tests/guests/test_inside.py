"""Inside a real guest: commands through its agent, its serial console."""

from __future__ import annotations

import _thread
import hashlib
import re
import threading
import time
from typing import Any

import pytest

from labkit.errors import BadInput, Cancelled, GuestError, GuestSilent, TimedOut
from labkit.guest.limiting import MOST_OUTPUT
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


def test_a_command_can_read_more_than_a_pipe_holds_and_no_file_of_it_stays(shared_guest: Machine) -> None:
    content = bytes(range(256)) * 4000
    told = shared_guest.run("sha256sum; ls /tmp/labkit-* 2>/dev/null | wc -l", stdin=content).stdout.split()
    assert told == [hashlib.sha256(content).hexdigest(), "-", "0"]


def test_what_is_given_to_read_is_removed_where_the_command_never_begins(shared_guest: Machine) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        shared_guest.run("cat", stdin=b"x" * 100_000, cancel=cancel)
    assert shared_guest.run("while ls /tmp/labkit-* 2>/dev/null; do sleep 0.1; done")


def test_output_of_any_length_is_cut_with_a_sentence_and_the_machine_stays_reachable(
    shared_guest: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = shared_guest.run(f"head -c {MOST_OUTPUT} /dev/zero")
    assert (len(whole.stdout), whole.cut, capsys.readouterr().out) == (MOST_OUTPUT, "", "")
    # More than libvirt hands on, more than it can read at all, on both ways: the command ends as it would.
    result = shared_guest.run("head -c 20000000 /dev/zero; head -c 20000000 /dev/zero | tr '\\0' x >&2; exit 7")
    assert (result.stdout, result.stderr) == ("\0" * MOST_OUTPUT, "x" * MOST_OUTPUT)
    assert result.exit_code == 7
    assert "1 MiB" in result.cut
    assert result.cut in capsys.readouterr().out
    assert shared_guest.run("echo still here").stdout == "still here\n"


def test_output_that_never_ends_is_ended_with_its_command(shared_guest: Machine) -> None:
    with pytest.raises(TimedOut):
        shared_guest.run("yes endless", timeout=3)
    assert shared_guest.run("while ps | grep -q '[y]es endless'; do sleep 0.1; done")


def test_a_background_child_that_holds_the_output_open_is_named_and_ended(shared_guest: Machine) -> None:
    with pytest.raises(TimedOut, match=r"has ended, but it left sleep \(\d+\) in the background") as caught:
        shared_guest.run("sleep 8765 &", timeout=3)
    assert ">/dev/null 2>&1 &" in caught.value.hint
    assert shared_guest.run("while ps | grep -q '[s]leep 8765'; do sleep 0.1; done")
    assert shared_guest.run("sleep 8766 >/dev/null 2>&1 & echo begun").stdout == "begun\n"
    assert shared_guest.run("killall sleep")


def test_a_command_that_is_interrupted_is_ended_inside(shared_guest: Machine) -> None:
    def interrupt() -> None:
        while not shared_guest.run("ps | grep '[s]leep 7654'"):
            time.sleep(0.1)
        _thread.interrupt_main()

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        shared_guest.run("sleep 7654")
    watcher.join()
    assert shared_guest.run("while ps | grep -q '[s]leep 7654'; do sleep 0.1; done")


def test_output_that_is_no_text_is_shown_all_the_same(shared_guest: Machine) -> None:
    assert shared_guest.run(r"printf 'a\377b'").stdout == "a\ufffdb"


def test_a_command_ended_by_a_signal_tells_which(shared_guest: Machine) -> None:
    ended = shared_guest.run("kill -9 $$")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (128 + 9, "", "")


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


@pytest.mark.parametrize("command", [[], "", "a\0b", [""], 7, b"ls", [7], {"ls": 1}, "\ud800", "#" * 140_000])
def test_what_is_no_command_is_refused(shared_guest: Machine, command: Any) -> None:
    with pytest.raises(BadInput) as caught:
        shared_guest.run(command)
    assert caught.value.hint
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("stdin", ["text", 7, None, b"x" * (9 << 20)], ids=["text", "number", "none", "long"])
def test_what_a_command_cannot_read_is_refused(shared_guest: Machine, stdin: Any) -> None:
    with pytest.raises(BadInput):
        shared_guest.run("cat", stdin=stdin)


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
    before = console.send("echo drawn-again", end="")
    console.expect("drawn-again", position=before)
    for columns in (70, 90):  # as consoles of other sizes are joined
        before = console.position
        shared_guest.run(f"stty -F /dev/ttyS0 cols {columns}")
        console.expect("drawn-again", position=before)
    assert console.tail().count("echo drawn-again") == 1
    console.expect(r"\ndrawn-again\n", position=console.send(""))


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
