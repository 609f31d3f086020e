"""The lines of qemu-img that a plan shows are those that are run: a program in its place notes what it is asked."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit import Lab
from labkit.model.image import Allocation, Format
from labkit.plans.plan import Plan
from labkit.units import MIB

_DRAFT = re.compile(r"/\.making-[0-9a-f]{16}(?=/)")


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """Return what qemu-img was asked since the last look; the real one does it."""
    log = tmp_path / "heard"
    script = tmp_path / "bin" / "qemu-img"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/bash\nprintf \'%q \' "$@" >> {log}\necho >> {log}\nexec {shutil.which("qemu-img")} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")

    def look() -> list[list[str]]:
        text = log.read_text() if log.exists() else ""
        log.unlink(missing_ok=True)
        return [["qemu-img", *shlex.split(_DRAFT.sub("", line))] for line in text.splitlines()]

    return look


def shown(plan: Plan) -> list[list[str]]:
    """Return the lines of qemu-img, with whole paths."""
    lines = [line for step in plan.steps for line in step.command.splitlines() if line.startswith("qemu-img ")]
    assert lines
    return [shlex.split(line) for line in lines]


def as_shown(argv: list[str]) -> list[str]:
    """Return a line that made a draft as its image: of an image below, the name is opened from there only."""
    return [word for word in argv[:-1] if word != "-u"] if argv[1] == "create" and "-b" in argv else argv


def check(lab: Lab, plan: Plan, heard: Callable[[], list[list[str]]]) -> None:
    """Carry a plan out: each line that it shows is run, and no other one writes."""
    heard()
    lab.carry_out(plan)
    run = [as_shown(argv) for argv in heard() if argv[1] in ("create", "convert", "rebase", "resize", "commit")]
    assert sorted(run) == sorted(shown(plan))


@pytest.mark.parametrize("allocation", Allocation)
@pytest.mark.parametrize("format", Format)
def test_every_format_is_made_and_written_as_shown(
    lab: Lab, heard: Callable[[], list[list[str]]], format: Format, allocation: Allocation
) -> None:
    check(lab, lab.disks.create.plan("data", capacity=2 * MIB, format=format, allocation=allocation), heard)
    check(lab, lab.disks["data"].convert.plan("other", format=format, allocation=allocation), heard)


def test_acts_on_layers_run_what_they_show(lab: Lab, heard: Callable[[], list[list[str]]]) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB")
    disk = lab.disks.create("data", capacity=MIB)
    check(lab, disk.resize.plan("2 MiB"), heard)
    vm.attach(disk)
    for name in ("a", "b"):
        check(lab, vm.snapshots.take.plan(name), heard)
    check(lab, vm.clone.plan("full", kind="full"), heard)
    check(lab, vm.clone.plan("tree", kind="full", snapshots=True), heard)
    check(lab, vm.clone.plan("link", kind="linked", snapshot="a"), heard)
    check(lab, lab.machines["link"].flatten.plan(), heard)
    check(lab, vm.snapshots.delete.plan("b"), heard)
