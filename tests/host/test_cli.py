"""The command `labkit`, as ./lab and a terminal call it: real machines, in labs of this test's own."""

from __future__ import annotations

import argparse
import ast
import json
import os
import pty
import select
import subprocess
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pytest

from labkit import Lab
from labkit.cli_words import list_words
from labkit.engine.workspace import list_labs
from labkit.machine import Machine
from labkit.model.machine import MachineState
from tests.project.files import run

Command = Callable[..., subprocess.CompletedProcess[str]]
LEAVE = b"\x1d"  # Ctrl-]

WHO_WRITES_A_PARSER = {
    ".__call__() not defined",
    "'required' is an invalid argument for positionals",
    "mutually exclusive arguments must be optional",
    "%r is not callable",
    "can't open '%(filename)s': %(error)s",
    "cannot merge actions - two groups are named %r",
    "invalid option string %(option)r: must start with a character %(prefix_chars)r",
    "dest= is required for options like %r",
    "invalid conflict_resolution value: %r",
    "cannot have multiple subparser arguments",
    "conflicting subparser: %s",
    "conflicting subparser alias: %s",
    "conflicting option string: %s",
    'argument "-" with mode %r',
}
"""What argparse says of mistakes that a line typed by a user cannot have here."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of labs; what is left of them is removed."""
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    yield tmp_path
    for name in list_labs(tmp_path):
        with Lab.open(name, home=tmp_path) as lab:
            lab.clean()


@pytest.fixture
def labkit(home: Path) -> Command:
    def call(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run("labkit", *words, environment={"LABKIT_HOME": str(home), **environment})

    return call


@pytest.fixture
def booted(home: Path) -> Iterator[Machine]:
    """A running machine of the smallest image."""
    with Lab.open("cli", home=home) as lab:
        yield lab.create("boot", image="sector", memory="16 MiB", message="hello").start().wait_ready()


def test_list_tells_the_machines_of_all_labs_or_of_one(labkit: Command, booted: Machine, home: Path) -> None:
    with Lab.open("cli2", home=home) as lab:
        lab.create("idle", image="sector", memory="16 MiB")
    assert labkit("list").stdout == "cli.boot\trunning\ncli2.idle\toff\n"
    assert labkit("list", "--lab", "cli2").stdout == "cli2.idle\toff\n"
    assert booted.state is MachineState.RUNNING


@pytest.mark.parametrize("words", [["list"], ["console", "web"], ["clean"]], ids=" ".join)
def test_a_lab_that_is_not_there_is_named_and_not_made(labkit: Command, home: Path, words: list[str]) -> None:
    done = labkit(*words, "--lab", "nowhere")
    assert done.returncode == 1
    assert "There is no lab nowhere." in done.stderr
    assert list(home.iterdir()) == []


def test_clean_removes_one_lab_or_all(labkit: Command, booted: Machine, home: Path) -> None:
    with Lab.open("cli2", home=home) as lab:
        lab.create("idle", image="sector", memory="16 MiB")
    assert labkit("clean", "--lab", "cli2").stdout == "The lab cli2 is clean.\n"
    assert list_labs(home) == ["cli"]
    assert booted.state is MachineState.RUNNING
    assert labkit("clean", "--all").stdout.splitlines()[-1] == "The lab cli is clean."
    assert list(home.iterdir()) == []
    assert labkit("clean", "--all").returncode == 0


def test_save_running_saves_what_runs(labkit: Command, booted: Machine) -> None:
    assert labkit("save-running").stdout == "boot is saved.\n"
    assert booted.state is MachineState.SAVED
    assert labkit("save-running").stdout == ""


@contextmanager
def console(home: Path) -> Iterator[tuple[BinaryIO, subprocess.Popen[bytes]]]:
    """The command that joins a terminal to the machine's serial line, and that terminal."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)  # what is heard comes from the guest, not from the terminal's own echo
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        process = subprocess.Popen(
            ["labkit", "console", "boot", "--lab", "cli"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "LABKIT_HOME": str(home)},
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield terminal, process
        finally:
            process.kill()
            process.wait()


def test_console_joins_the_terminal_to_the_serial_line_until_it_is_left(booted: Machine, home: Path) -> None:
    with console(home) as (terminal, process):
        heard = b""
        while b"who is there" not in heard.replace(b"\r", b""):
            ready, _, _ = select.select([terminal], [], [], 1)
            if ready:
                heard += os.read(terminal.fileno(), 4096)
            else:  # the line may not be open yet
                terminal.write(b"who is there\r")
            assert process.poll() is None, heard
        terminal.write(LEAVE)
        with suppress(OSError):  # the terminal's end; virsh waits until its last words are read
            while os.read(terminal.fileno(), 4096):
                pass
        assert process.wait(60) == 0
    assert booted.state is MachineState.RUNNING


def test_console_goes_over_to_the_next_run_of_a_machine_that_is_killed_and_started(booted: Machine, home: Path) -> None:
    booted.kill()
    with console(home) as (terminal, process):
        heard = b""
        for run_number in range(1, 4):
            booted.start()
            while heard.count(b"hello") < run_number:
                assert select.select([terminal], [], [], 60)[0], heard
                heard += os.read(terminal.fileno(), 4096)
            booted.kill()
        with suppress(OSError):  # nobody starts it any more
            while text := os.read(terminal.fileno(), 4096):
                heard += text
        assert process.wait(60) == 0
    assert (heard.count(b"boot is off"), heard.count(b"does not run")) == (1, 0)


def test_console_of_a_machine_that_is_not_there_is_an_error(labkit: Command, booted: Machine) -> None:
    done = labkit("console", "web", "--lab", "cli")
    assert done.returncode == 1
    assert "web" in done.stderr
    assert booted.state is MachineState.RUNNING


def test_console_of_a_machine_called_as_the_hypervisor_does_says_how_to_write_it(
    labkit: Command, booted: Machine
) -> None:
    done = labkit("console", f"cli.{booted.name}")
    assert done.returncode == 1
    assert f"labkit console {booted.name} --lab cli" in done.stderr
    assert "labkit console" not in labkit("console", f"no.{booted.name}").stderr


def test_image_lists_the_guest_images_and_checks_their_files(labkit: Command) -> None:
    listed = [line.split("\t") for line in labkit("image").stdout.splitlines()]
    assert [(name, format, capacity) for name, format, capacity, _length in listed] == [
        ("sector", "raw", "1 MiB"),
        ("tiny", "qcow2", "64 MiB"),
    ]
    checked = labkit("image", "check")
    assert (checked.returncode, checked.stdout) == (0, "sector is as it was built.\ntiny is as it was built.\n")


def test_image_without_any_says_how_they_are_built(labkit: Command, tmp_path: Path) -> None:
    done = labkit("image", "list", LABKIT_DATA=str(tmp_path / "none"))
    assert done.returncode == 1
    assert "./lab setup" in done.stderr


def test_doctor_answers_in_json(labkit: Command) -> None:
    assert json.loads(labkit("doctor", "--json").stdout)["format"] == 1


@pytest.mark.parametrize("words", [[], ["fly"], ["image", "burn"], ["console"]], ids=" ".join)
def test_what_is_not_understood_is_code_2(labkit: Command, words: list[str]) -> None:
    assert labkit(*words).returncode == 2


def test_help_and_mistakes_are_told_in_the_readers_language(labkit: Command) -> None:
    told = labkit("--help", LABKIT_LANGUAGE="es").stdout
    assert told.startswith("uso: labkit [-h] ORDEN")
    assert "muestra esta ayuda y termina" in told
    wrong = labkit("clean", "--nonsense", LABKIT_LANGUAGE="es")
    assert wrong.returncode == 2
    assert wrong.stderr.endswith("error: argumentos no reconocidos: --nonsense\n")


def test_every_word_of_argparse_that_a_user_may_read_is_in_the_catalogue() -> None:
    source = ast.parse(Path(argparse.__file__).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(source) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    words = [call.args[0] for call in calls if ast.unparse(call.func) in ("_", "ngettext") and call.args]
    said = {str(word.value) for word in words if isinstance(word, ast.Constant)}
    assert "usage: " in said
    assert said - set(list_words()) - WHO_WRITES_A_PARSER == set()
