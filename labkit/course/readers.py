"""Reading: what the hypervisor, the images and a guest say of an exercise's machines and disks. Nothing is changed.

Host: state, process, definition, console. Image: contents by hash, through the chain. Guest: answers to questions.
What cannot be read is told as not there; no reader raises because of what a student did.

Knows: the lab as a student uses it, maps of images. Must not know: any one exercise, what is right.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from labkit.course.reading import BOOT, DiskReading, MachineReading, StateReading
from labkit.disk import Disk
from labkit.errors import LabError
from labkit.lab import Lab
from labkit.machine import Machine
from labkit.model.disk import chain, disk_name
from labkit.model.image import ImageFacts
from labkit.model.machine import DiskSpec, MachineFacts, MachineState
from labkit.model.regions import Region, RegionKind
from labkit.model.snapshot import SnapshotFacts
from labkit.storage.contents import hash_content
from labkit.storage.ext_files import read_ext_files
from labkit.storage.maps import read_map
from labkit.storage.plain import hash_plain

PANIC, PANICKED = "Kernel panic - not syncing", "end Kernel panic"
"""What a Linux says first when it panics, and last, if it is let; then nobody has a prompt any more."""

_PROMPT, _LINES = "root@", 120

PATIENCE = 30.0
"""Seconds a guest may take to answer."""

WORD = 64
"""Bytes of a word on a disk, at most."""

_ASK_BOOT = "unshare -m sh -c 'mount -t proc proc /proc && cat /proc/sys/kernel/random/boot_id'"
"""From a /proc of its own: over the guest's one something may be mounted."""


# --- host and guest -------------------------------------------------------------------------------


def read_machines(
    lab: Lab, names: Sequence[str], questions: Mapping[str, Mapping[str, str]]
) -> dict[str, MachineReading]:
    """Return the machines that are there, by name.

    Args:
        questions: what to ask each, by name: a line of shell for each question. All at once, since guests are slow.
    """
    there = [name for name in names if name in lab.machines]
    if not there:
        return {}
    lineage = lab.lineage
    with ThreadPoolExecutor(max_workers=len(there)) as pool:
        told = pool.map(lambda name: read_machine(lab.machines[name], questions.get(name, {})), there)
    return {name: _with_original(reading, lineage.original(name)) for name, reading in zip(there, told, strict=True)}


def read_machine(machine: Machine, questions: Mapping[str, str]) -> MachineReading:
    """Return a machine, with its answers to some questions."""
    facts = machine.facts
    process = machine.process if facts.is_active else None
    panicked = facts.state is not MachineState.SAVED and _has_panicked(machine)
    return MachineReading(
        id=facts.id,
        state=facts.state,
        reason=facts.reason,
        process=f"{process.pid}@{process.began}" if process else "",
        cpu_model=facts.spec.cpu_model,
        live_cpu_model=facts.live.cpu_model if facts.live else "",
        disks={disk.target: disk.name for disk in facts.spec.disks},
        twin=facts.spec.boot.keeps_identity,
        agent=facts.spec.agent,
        panicked=panicked,
        said=None if panicked else ask(machine, facts, questions),
    )


def ask(machine: Machine, facts: MachineFacts, questions: Mapping[str, str]) -> dict[str, str] | None:
    """Return what a guest answers, by question, or None: it does not run, or does not answer."""
    if facts.state is not MachineState.RUNNING or not facts.spec.agent:
        return None
    sign = secrets.token_hex(8)  # what is in the guest's files cannot imitate it
    asked = {BOOT: _ASK_BOOT, **questions}
    script = "\n".join(f"echo; echo {sign}\n{{ {question}\n}} 2>/dev/null" for question in asked.values())
    try:
        told = machine.run(script, timeout=PATIENCE).stdout
    except LabError:
        return None
    answers = told.split(f"{sign}\n")[1:]
    if len(answers) != len(asked):
        return None
    return {name: answer.strip() for name, answer in zip(asked, answers, strict=True)}


def _has_panicked(machine: Machine) -> bool:
    try:
        told = machine.console.tail(_LINES)
    except LabError:
        return False
    _before, panic, since = told.rpartition(PANIC)
    return bool(panic) and _PROMPT not in since


def _with_original(reading: MachineReading, original: str | None) -> MachineReading:
    return replace(reading, original=original or "")


# --- images ---------------------------------------------------------------------------------------


def read_disk(
    disk: Disk,
    *,
    content: bool = True,
    leave_out: int | None = None,
    words: Mapping[str, int] | None = None,
    files: bool = False,
) -> DiskReading:
    """Return a disk.

    Args:
        content: whether its content is hashed. leave_out: a byte whose block is not.
        words: places whose words are read, by name; bytes.
        files: whether the files in its file system are hashed.
    """
    facts = disk.facts
    regions = _map(facts.layers) if content or words else ()
    system = read_ext_files(facts.layers) if files else None
    return DiskReading(
        format=facts.format,
        allocation=facts.allocation,
        capacity=facts.capacity,
        machine=facts.machine or "",
        target=facts.target or "",
        images=tuple(Path(layer.path).name for layer in facts.layers),
        content=hash_content(regions, leave_out) if content else "",
        words={name: read_word(regions, place) for name, place in (words or {}).items()},
        files=system.files if system else None,
        file_system=system.id if system else "",
        file_system_bytes=system.bytes if system else 0,
    )


def read_states(
    lab: Lab, name: str, *, data: Sequence[str] = ("vdb",), words: Mapping[str, int] | None = None
) -> tuple[dict[str, StateReading], StateReading]:
    """Return a machine's snapshots by name, parents first, and its current state.

    Args:
        data: the disks whose contents are read, by target. words: places on the first of them, by name; bytes.
    """
    state, machine = lab.state, lab.machines[name]
    tree = machine.snapshots.tree

    def read(disks: Sequence[DiskSpec], parent: str | None, node: SnapshotFacts | None) -> StateReading:
        chains = {disk.target: chain(state.images, disk.path) for disk in disks}
        maps = {target: _map(layers) for target, layers in chains.items() if target in data}
        first = maps.get(data[0], ()) if data else ()
        return StateReading(
            parent=parent or "",
            kind=node.kind if node else None,
            images={target: _names(lab, layers) for target, layers in chains.items()},
            contents={target: hash_content(regions) for target, regions in maps.items()},
            written={target: _written(regions) for target, regions in maps.items()},
            words={each: read_word(first, place) for each, place in (words or {}).items()},
            excuse=(node.excuse or "") if node else "",
        )

    told = {each: read(node.disks, node.parent, node) for each, node in tree.items()}
    return told, read(state.machines[name].spec.disks, tree.current, None)


def read_image_names(lab: Lab, *disks: str) -> dict[str, str]:
    """Return the images in the lab's folder that are named as those of some disks, each with its length in bytes."""
    folder = lab.home / "disks"
    return {
        path.name: str(path.stat().st_size)
        for path in sorted(folder.iterdir())
        if path.is_file() and disk_name(str(path)) in disks
    }


def why_not_start(machine: Machine) -> str:
    """Return why a machine would not start, "" for nothing; files are named from the lab's folder."""
    try:
        refusal = machine.snapshots.why_not_start()
    except LabError as error:
        why = error.message
    else:
        why = refusal.why if refusal else ""
    return why.replace(f"{machine.lab.home}/", "")


def _names(lab: Lab, layers: Sequence[ImageFacts]) -> tuple[str, ...]:
    """Images are told by their way from the lab's folder of disks, which is their name where they lie in it."""
    return tuple(os.path.relpath(layer.path, lab.home / "disks") for layer in layers)


def _written(regions: Sequence[Region]) -> int:
    return sum(region.length for region in regions if region.layer == 0 and region.kind is RegionKind.DATA)


def read_word(regions: Sequence[Region], place: int) -> str:
    """Return the text that stands at a byte of a disk, up to its first zero; "" if there is none."""
    region = next((each for each in regions if each.start <= place < each.start + each.length), None)
    if region is None or region.kind is not RegionKind.DATA or region.path is None or region.offset is None:
        return ""
    try:
        with Path(region.path).open("rb") as file:
            file.seek(region.offset + place - region.start)
            return file.read(WORD).split(b"\0", 1)[0].decode(errors="replace")
    except OSError:
        return ""


def hash_if_there(path: Path) -> str:
    """Return a hash of a file's bytes; "" if it cannot be read."""
    try:
        return hash_plain(path, follow=True)
    except OSError:
        return ""


def _map(layers: Sequence[ImageFacts]) -> tuple[Region, ...]:
    """Return the map of a chain; empty where it cannot be read."""
    if not layers:
        return ()
    try:
        return read_map(layers)
    except LabError:
        return ()
