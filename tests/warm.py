"""Guests that need no boot: of each kind one is booted in a run, every further one goes on from that one's memory.

It goes past labkit: files are copied and the hypervisor is told directly. The guest is as real as the first and
has the same in its memory and on its disks, also its machine-id; its clock is set. What a boot prints is not on its
console. Snapshots of the machine, taken before it ever ran, stay below its disks.
Knows: libvirt, files. Must not know: what the guest is for.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import libvirt

from labkit.hypervisor.instant import set_clock
from labkit.machine import Machine
from labkit.model.image import Format
from labkit.model.machine import DiskSpec
from labkit.storage import headers, qemu_img
from labkit.storage.memory_file import exchange_header, read_header

_booted: dict[object, Path] = {}
"""Folders with a guest's memory and disks, by kind of machine."""


def start_warm(vm: Machine) -> Machine:
    """Let a machine that is off run, with its agent answering.

    The first of its kind in a run must be new; what others had on their disks is exchanged for what that one has.
    """
    differences = [Path(disk.path) for disk in vm.facts.spec.disks if _below(disk)]
    assert all(map(headers.is_blank, differences)), "it is no new machine"
    kind = _kind(vm)
    if kind not in _booted:
        _booted[kind] = _boot_and_keep(vm, Path(os.environ["XDG_CACHE_HOME"]) / f"warm-{len(_booted)}")
    _go_on(vm, _booted[kind])
    vm.wait_ready()
    set_clock(vm.lab.session.connection, vm.facts.spec)
    return vm


def _kind(vm: Machine) -> object:
    spec = vm.facts.spec
    disks = tuple((disk.target, disk.format, vm.lab.disks[disk.name].capacity) for disk in spec.disks)
    return replace(spec, id="", genid=None, lab="", lab_id="", console_log=None, disks=()), disks


def _boot_and_keep(vm: Machine, folder: Path) -> Path:
    folder.mkdir()
    vm.start().wait_ready().console.expect("root@", timeout=120)  # the agent answers before the shell stands
    vm.run("sync")
    vm.lab.session.connection.raw().lookupByUUIDString(vm.id).save(str(folder / "memory"))
    for disk in vm.facts.spec.disks:
        form = disk.format.driver
        subprocess.run(["qemu-img", "convert", "-f", form, "-O", form, disk.path, folder / disk.target], check=True)
    return folder


def _go_on(vm: Machine, kept: Path) -> None:
    raw, definition = vm.lab.session.connection.raw(), vm.definition
    for disk in vm.facts.spec.disks:
        below = _below(disk)
        _copy(kept / disk.target, Path(disk.path))
        if below:
            qemu_img.rebase(Path(disk.path), *below)
    memory = kept / "memory-to-go-on-from"
    try:
        _copy(kept / "memory", memory)
        exchange_header(memory, replace(read_header(memory), xml=definition))
        raw.restoreFlags(str(memory), None, libvirt.VIR_DOMAIN_SAVE_RUNNING)
    finally:
        memory.unlink()
    raw.defineXML(definition)  # the one in the memory has replaced it


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--reflink=auto", "--sparse=always", source, target], check=True)


def _below(disk: DiskSpec) -> tuple[Path, Format | None] | None:
    """The image that a disk's active one stands on, and its format."""
    facts = headers.read_image(Path(disk.path), disk.format)
    return (Path(facts.backing), facts.backing_format) if facts.backing else None
