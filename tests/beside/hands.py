"""What other programs do to a lab behind its back: the commands a person would type.

Knows: virsh, the tests' instance. Must not know: what labkit makes of it.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from labkit import Lab
from labkit.machine import Machine
from tests.beside.tools import run_tool
from tests.hashes import hash_file
from tests.snapshots.test_guests import hash_content


def virsh(*words: str) -> str:
    """Run virsh on the session of the tests' instance; returns what it prints."""
    run = subprocess.run(
        ["virsh", "--connect", "qemu:///session", *words], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def make_machine(lab: Lab, name: str, *snapshots: str) -> Machine:
    """Make a machine that is off, with a line of snapshots; each of its images holds something of its own."""
    vm = lab.create(name, image="sector", memory="16 MiB")
    for number, snapshot in enumerate(snapshots):
        write(active_path(vm), 4096 * (number + 1), f"{name} before {snapshot}")
        vm.snapshots.take(snapshot)
    write(active_path(vm), 4096 * 20, f"{name} now")
    return vm


def write(path: Path, offset: int, text: str) -> None:
    """Write a text into an image, as a guest would."""
    image = "driver=raw" if path.suffix == ".raw" else "driver=qcow2"
    pattern = hashlib.sha256(text.encode()).digest()[0] or 1
    options = f"{image},file.driver=file,file.filename={path}"
    run_tool("qemu-io", "--image-opts", "-c", f"write -P {pattern} {offset} 512", options)


def active_path(vm: Machine) -> Path:
    """The image a machine's first disk writes."""
    return Path(vm.facts.spec.disks[0].path)


def contents(vm: Machine) -> dict[str, str]:
    """What a guest would read on the first disk, now and at each snapshot, by hash."""
    points = {"now": vm.facts.spec.disks[0]} | {name: node.disks[0] for name, node in vm.snapshots.items()}
    return {name: hash_content(disk.path, disk.format.driver) for name, disk in points.items()}


def files_of(lab: Lab) -> dict[str, str]:
    """The files in the lab's folder of disks, by hash."""
    return {path.name: hash_file(path) for path in (lab.home / "disks").iterdir()}
