"""Moved or copied: asked at a terminal, a real one, as VMware asks; elsewhere it is an error with both commands."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import Lab
from labkit.engine.place import read_place
from labkit.engine.workspace import list_labs
from labkit.errors import LabError
from tests.instance import ROOT

SECONDS = 120
OPEN = "from labkit import Lab\nwith Lab.open({name!r}) as lab: print('machines', *lab.machines)"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of labs with the lab `course`, which has one machine."""
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    with Lab.open("course") as lab:
        lab.create("web", memory="16 MiB", image="sector")
    yield tmp_path
    for name in list_labs(tmp_path):
        with contextlib.suppress(LabError), Lab.open(name) as left:
            left.clean()


def at_a_terminal(*argv: str, answer: str) -> tuple[int, str]:
    """Run Python on a terminal of its own; what is asked is answered. Returns the exit code and all that it wrote."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "LABKIT_LANGUAGE": "en"}
    process = subprocess.Popen(
        [sys.executable, *argv], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=ROOT
    )
    os.close(theirs)
    written, end, answered = b"", time.monotonic() + SECONDS, False
    try:
        while time.monotonic() < end:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                written += os.read(ours, 4096)
            except OSError:  # it has ended
                break
            if b"neither. " in written and not answered:
                answered = True
                os.write(ours, f"{answer}\n".encode())
        return process.wait(SECONDS), written.decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_copy_becomes_a_lab_of_its_own_when_that_is_the_answer(home: Path) -> None:
    shutil.copytree(home / "course", home / "copy")
    code, written = at_a_terminal("-c", OPEN.format(name="copy"), answer="c")
    assert (code, "machines web" in written) == (0, True), written
    assert f"The lab in {home}/copy is also in {home}/course" in written
    assert "is a lab of its own now" in written
    assert read_place(home / "copy").id != read_place(home / "course").id
    code, written = at_a_terminal("-c", OPEN.format(name="copy"), answer="c")
    assert (code, "neither." in written) == (0, False), "it is asked once"


def test_a_moved_lab_goes_on_when_that_is_the_answer(home: Path) -> None:
    known = read_place(home / "course").id
    shutil.copytree(home / "course", home / "moved")
    shutil.rmtree(home / "course")
    code, written = at_a_terminal("-m", "labkit.cli", "list", "--lab", "moved", answer="M")
    assert (code, "moved.web\toff" in written) == (0, True), written
    assert read_place(home / "moved").id == known


@pytest.mark.parametrize("argv", [["-c", OPEN.format(name="copy")], ["-m", "labkit.cli", "lab", "forget", "copy"]])
def test_without_an_answer_it_is_refused_and_nothing_is_changed(home: Path, argv: list[str]) -> None:
    shutil.copytree(home / "course", home / "copy")
    before = (home / "copy/lab.json").read_bytes(), (home / "copy/record.json").read_bytes()
    code, written = at_a_terminal(*argv, answer="")
    assert (code, "lab move copy" in written, "lab copy copy" in written) == (1, True, True), written
    assert ((home / "copy/lab.json").read_bytes(), (home / "copy/record.json").read_bytes()) == before


def test_where_several_labs_are_looked_through_none_is_asked(home: Path) -> None:
    shutil.copytree(home / "course", home / "copy")
    code, written = at_a_terminal("-m", "labkit.cli", "list", answer="c")
    assert (code, "neither." in written, "lab copy copy" in written) == (1, False, True)


def test_a_copy_that_was_let_go_is_listed_as_both(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from labkit.cli import main

    assert main(["lab", "forget", "course"]) == 0
    shutil.copytree(home / "course", home / "copy")
    capsys.readouterr()
    assert main(["lab", "list"]) == 0
    lines = dict(line.split("\t", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["course"].endswith("\tlet go")
    assert lines["copy"].endswith("\tlet go; a copy, and not asked yet")
    with Lab.open("course"):
        pass
