"""Take and restore beside the bare calls that do the same, and from a restore to the guest's first answer."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import libvirt

from labkit import Lab
from labkit.hypervisor import domain_xml, snapshot_xml
from labkit.machine import Machine
from labkit.model.disk import image_number
from labkit.model.image import Format
from labkit.model.machine import DiskSpec
from tests.bench.table import Row, interleave

_CREATE = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
_REDEFINE = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT
_INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE


def bench_snapshots(rounds: int = 7) -> list[Row]:
    """A machine of two disks, off and running."""
    rows: list[Row] = []
    with Lab.open("bench") as lab:
        vm = lab.create("web", if_exists="replace")
        vm.attach(lab.disks.create("data", capacity="64 MiB"))
        rows += _rows(vm, "off", rounds)
        vm.start().wait_ready()
        rows += _rows(vm, "running", rounds)
        answered = interleave(
            rounds,
            {
                "restored": lambda: _time(lambda: (vm.snapshots.restore("base-running"), vm.wait_ready())),
                "booted": lambda: _time(lambda: (vm.kill(), vm.start().wait_ready())),
            },
        )
        rows.append(Row(what="cut its power, boot, to its first answer", runs=answered["booted"]))
        rows.append(Row(what="restore of a running guest, to its first answer", runs=answered["restored"], limit=1))
        lab.clean()
    return rows


def _rows(vm: Machine, state: str, rounds: int) -> list[Row]:
    base = f"base-{state}"
    vm.snapshots.take(base)
    bare = _Bare(vm)
    numbers = itertools.count()

    def take(act: Callable[[str], object]) -> float:
        name = f"{state}-{next(numbers)}"
        seconds = _time(lambda: act(name))
        vm.snapshots.delete(name, merge="auto")
        return seconds

    took = interleave(rounds, {"ours": lambda: take(vm.snapshots.take), "bare": lambda: take(bare.take)})
    restored = interleave(
        rounds,
        {"ours": lambda: _time(lambda: vm.snapshots.restore(base)), "bare": lambda: _time(lambda: bare.restore(base))},
    )
    return [
        Row(what=f"take, {state}, bare calls", runs=took["bare"]),
        Row(what=f"take, {state}", runs=took["ours"], against=took["bare"], limit=1.3),
        Row(what=f"restore, {state}, bare calls", runs=restored["bare"]),
        Row(what=f"restore, {state}", runs=restored["ours"], against=restored["bare"], limit=1.3),
    ]


def _time(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


class _Bare:
    """The calls of libvirt and qemu-img, without plans, locks, journal and checks."""

    def __init__(self, vm: Machine) -> None:
        self._raw = libvirt.open("qemu:///session")
        self._domain = self._raw.lookupByUUIDString(vm.id)
        self._folder = vm.lab.home / "disks"
        self._memory = vm.lab.home / "memory"

    def take(self, name: str) -> None:
        """Take a snapshot, with memory if the guest runs."""
        spec = domain_xml.parse_domain_xml(self._domain.XMLDesc(_INACTIVE))
        assert spec is not None
        overlays = [self._overlay(disk) for disk in spec.disks]
        active = bool(self._domain.isActive())
        memory = str(self._memory / f"{name}.mem") if active else None
        flags = _CREATE if active else _CREATE | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
        self._domain.snapshotCreateXML(snapshot_xml.build_snapshot_xml(name, "", memory, overlays), flags)
        for disk in spec.disks:
            Path(disk.path).chmod(0o444)
        if active:  # libvirt notes the chain then, and would not start once a layer of it is merged away
            self._raw.defineXML(domain_xml.without_backing_chains(self._domain.XMLDesc(_INACTIVE)))

    def restore(self, name: str) -> None:
        """Restore a snapshot and remove the images of the state that is given up."""
        snapshot = self._domain.snapshotLookupByName(name)
        xml = snapshot.getXMLDesc(0)
        point = snapshot_xml.parse_snapshot_xml(xml)
        now = domain_xml.parse_domain_xml(self._domain.XMLDesc(_INACTIVE))
        assert point is not None
        assert now is not None
        overlays = [self._overlay(disk) for disk in point.disks]
        if self._domain.isActive():
            self._domain.destroy()
        definition = snapshot_xml.definition_in_snapshot_xml(xml)
        for disk in overlays:
            definition = domain_xml.repoint_in_domain_xml(definition, disk)
        self._raw.defineXML(definition)
        self._domain.snapshotCreateXML(xml, _REDEFINE)
        if point.memory:
            saved = self._raw.saveImageGetXMLDesc(point.memory, 0)
            for disk in overlays:
                saved = domain_xml.repoint_in_domain_xml(saved, disk)
            self._raw.restoreFlags(point.memory, saved, libvirt.VIR_DOMAIN_SAVE_RUNNING)
            self._raw.defineXML(definition)
        for disk in now.disks:
            Path(disk.path).unlink()

    def _overlay(self, disk: DiskSpec) -> DiskSpec:
        number = 1 + max(image_number(path.name) for path in self._folder.glob(f"{disk.name}.*"))
        path = str(self._folder / f"{disk.name}.{number}.qcow2")
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", Path(disk.path).name, "-F", disk.format.driver, path]
        subprocess.run(argv, check=True)
        return replace(disk, path=path, format=Format.QCOW2)
