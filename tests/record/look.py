"""What a lab is made of, to be compared: definitions, trees, the bytes of every file."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from labkit import Lab
from labkit.model.state import LabState
from tests.hashes import hash_file


def virsh(*words: str) -> None:
    """Do something behind labkit's back."""
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", *words], check=True, capture_output=True)


def grow_tree(lab: Lab) -> None:
    """Make a machine with a branched tree, and a linked clone of it."""
    vm = lab.create("web")
    vm.snapshots.take("clean", description="as it came")
    vm.snapshots.take("left")
    vm.snapshots.restore("clean")
    vm.snapshots.take("right")
    vm.clone("link", kind="linked", snapshot="left")


def contents(home: Path) -> dict[str, str]:
    """Return the hash of every disk image and memory file in a lab's folder."""
    files = [path for name in ("disks", "memory") for path in (home / name).iterdir() if path.is_file()]
    return {path.name: hash_file(path) for path in files}


def machines_of(state: LabState) -> tuple[object, object]:
    """What a lab is made of: definitions and trees."""
    return {name: each.spec for name, each in state.machines.items()}, state.snapshots


def domain_of(lab: Lab, name: str) -> str:
    """The hypervisor's name of a machine."""
    return lab.state.machines[name].spec.domain_name


def digest(lab: Lab) -> str:
    """All of that in one word."""
    whole = repr((machines_of(lab.state), sorted(contents(lab.home).items())))
    return hashlib.sha256(whole.encode()).hexdigest()


def make_emulator(folder: Path) -> Path:
    """Make a program that leaves the file `ran` beside it, and is then the emulator of this computer."""
    program = folder / "emulator"
    program.write_text(f'#!/bin/sh\necho ran > "{folder}/ran"\nexec qemu-system-x86_64 "$@"\n')
    program.chmod(0o700)
    return program
