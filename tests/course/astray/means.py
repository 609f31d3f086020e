"""What a student has at hand: the machine, its power, virsh, qemu-img and an editor on files."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from labkit.course.exercise import Exercise
from labkit.course.machine_exercise import MEMORY
from labkit.machine import Machine


def vm(ex: Exercise, number: int = 0) -> Machine:
    """One of its machines."""
    return ex.lab.machines[ex.machines[number]]


def make(ex: Exercise, name: str, **options: object) -> Machine:
    """Another machine, off."""
    return ex.lab.create(name, memory=MEMORY, **options)  # type: ignore[arg-type]


def make_running(ex: Exercise, name: str, **options: object) -> Machine:
    """Another machine, running."""
    return make(ex, name, **options).start(warm=True).wait_ready()


def remove(machine: Machine) -> None:
    """It is gone, with its disks."""
    machine.kill().delete()


def boot(machine: Machine) -> Machine:
    """Its power is cut, and it boots."""
    return machine.kill().start().wait_ready()


def end_process(machine: Machine) -> None:
    """Its process on the host is ended by a signal."""
    process = machine.process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    machine.wait_for("off")


def virsh(machine: Machine, *words: str, stdin: str = "") -> str:
    """Let virsh do something with it; `DOMAIN` stands for its name there."""
    domain = machine.facts.spec.domain_name
    line = ["virsh", "-c", machine.lab.uri, *(domain if word == "DOMAIN" else word for word in words)]
    return subprocess.run(line, input=stdin, check=True, capture_output=True, text=True).stdout


def qemu_img(*words: str | Path) -> None:
    """Let qemu-img do something."""
    subprocess.run(["qemu-img", *words], check=True, capture_output=True)


def qemu_io(path: Path, format: str, command: str) -> None:
    """Let qemu-io write into an image."""
    subprocess.run(["qemu-io", "-f", format, "-c", command, path], check=True, capture_output=True)


def edit(path: Path, place: int, data: bytes) -> None:
    """Write bytes into a file, whatever its mode says."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


def solve(ex: Exercise) -> None:
    """Run the solution that is shown."""
    exec(ex.solution().code, {"lab": ex.lab, "ex": ex})  # noqa: S102  what is shown is what is proved
