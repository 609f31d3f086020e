"""Commands as they stand in a plan's text: in the lab's folder a shell reads in them what the step meant."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from labkit.model.state import LabState
from labkit.plans.snapshot import SnapshotSurvey, plan_take
from labkit.printing import quote
from labkit.units import GIB
from tests.snapshots.world import disk, image, machine


def heard(command: str, folder: Path) -> list[str]:
    """Return the words that a program gets from a command typed in a folder."""
    script = f'virsh() {{ printf "%s\\0" "$@"; }}\n{command}'
    done = subprocess.run(["bash", "-eu"], input=script, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


@pytest.mark.parametrize("name", ["lab", "my lab", "it's $HOME", 'a "b" \\ *', "a,b"])
def test_paths_for_the_daemon_are_whole_wherever_the_lab_lies(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    home.mkdir()
    vda = disk("web.vda", home=str(home))
    state = LabState(
        lab="default",
        lab_id="lab-id",
        home=str(home),
        machines={"web": machine(vda)},
        images={vda.path: image(vda)},
    )
    plan = plan_take(state, SnapshotSurvey(free_bytes=GIB), "web", "clean", "two\nlines, it's all")
    (command,) = (line for line in plan.commands if line.startswith("virsh"))
    assert str(home) not in command
    words = heard(command, home)
    assert "--description=two\nlines, it's all" in words
    doubled = str(home).replace(",", ",,")
    assert f"--diskspec=vda,file={doubled}/disks/web.vda.1.qcow2" in words
    assert shlex.split(plan.commands[0])[-1] == "disks/web.vda.1.qcow2"


@pytest.mark.parametrize("word", ["", "plain", "it's", "two\nlines", "tab\there", "\x1b[2J", "ñ", "-x", "$HOME `x`"])
def test_words_are_one_line_and_read_as_they_were(word: str, tmp_path: Path) -> None:
    assert "\n" not in quote(word)
    assert heard(f"virsh {quote(word)}", tmp_path) == [word]


def test_plan_without_papers_names_none() -> None:
    vda = disk("web.vda")
    state = LabState(
        lab="default", lab_id="lab-id", home="/lab", machines={"web": machine(vda)}, images={vda.path: image(vda)}
    )
    plan = plan_take(state, SnapshotSurvey(free_bytes=GIB), "web", "clean", "")
    assert "plan.write" not in plan.preview()
    assert "''" not in plan.preview()
