"""Another computer: a hypervisor instance and a data folder that know nothing of the lab."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.instance import END_SECONDS, ROOT, Instance


@pytest.fixture
def other_computer(guest_images: Path) -> Iterator[Instance]:
    """A computer on which nothing of a lab is known; `sit_at` it: this process stays where it is."""
    computer = Instance(guest_images)
    try:
        yield computer
    finally:
        computer.end()


def sit_at(computer: Instance, code: str) -> list[str]:
    """Run Python code at a computer, in a process of its own, and return what it wrote, line by line."""
    begin = "from labkit import Lab\nfrom tests.record.look import *\n"
    environment = {**os.environ, **computer.environment, "LABKIT_LANGUAGE": "en"}
    done = subprocess.run(
        [sys.executable, "-c", begin + code], capture_output=True, text=True, env=environment, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def lose_configuration(computer: Instance) -> None:
    """Let a computer's hypervisor lose all that it was told: its daemon ends, its folders are emptied."""
    ended = [process for process in computer.processes() if process.name() in ("libvirtd", "virtlogd")]
    for process in ended:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(ended, timeout=END_SECONDS)
    for name in ("XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        shutil.rmtree(computer.environment[name])
        Path(computer.environment[name]).mkdir(mode=0o700)
