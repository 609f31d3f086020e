"""Clones beside the same by hand: linked clones and their first answer, full clones, many at once."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lxml import etree

from labkit import Lab
from labkit.hypervisor.domain_xml.parsing import get_child
from labkit.machine import Machine
from labkit.units import MIB
from tests.bench import bare_guest
from tests.bench.table import Row, interleave
from tests.images.bare import Agent

CONTENT = 256 * MIB
"""Bytes that the disk of a full clone holds."""


def bench_clones(rounds: int = 5) -> list[Row]:
    """A machine with a snapshot to stand on, and a disk full of data to copy."""
    with Lab.open("bench") as lab, tempfile.TemporaryDirectory(prefix="lk-") as name:
        vm = lab.create("web", if_exists="replace")
        vm.snapshots.take("clean")
        rows = [*_to_ready(vm, Path(name), rounds), *_many(vm, rounds), *_full(lab, rounds)]
        lab.clean()
    return rows


def _to_ready(vm: Machine, folder: Path, rounds: int) -> list[Row]:
    """A linked clone, started, to its agent's answer; beside an overlay and QEMU by hand, and beside virt-clone."""
    native = vm.lab.session.connection.call(lambda raw: str(raw.domainXMLToNative("qemu-argv", vm.definition, 0)))
    argv = bare_guest.read_arguments(native, folder)
    base, active = vm.snapshots["clean"].disks[0].path, vm.facts.spec.disks[0].path
    subjects: dict[str, Callable[[], float]] = {
        "bare": lambda: _by_hand(argv, base, active, folder),
        "ours": lambda: _linked(vm),
    }
    if shutil.which("virt-clone"):
        subjects["virt-clone"] = lambda: _virt_clone(vm)
    runs = interleave(rounds, subjects)
    rows = [
        Row(what="overlay + QEMU by hand → ready", runs=runs["bare"]),
        Row(what="linked clone + start → ready", runs=runs["ours"], against=runs["bare"], limit=1.2),
    ]
    if "virt-clone" in runs:
        rows.append(Row(what="virt-clone + virsh start → ready", runs=runs["virt-clone"], against=runs["ours"]))
    else:
        print("virt-clone is not installed (package virtinst): left out")
    return rows


def _linked(vm: Machine) -> float:
    began = time.perf_counter()
    clone = vm.clone("link", kind="linked", snapshot="clean")
    assert isinstance(clone, Machine)
    clone.start().wait_ready()
    took = time.perf_counter() - began
    clone.kill()
    clone.delete()
    return took


def _by_hand(argv: list[str], base: str, active: str, folder: Path) -> float:
    overlay = folder / "hand.qcow2"
    own = [word.replace(active, str(overlay)) for word in argv]
    began = time.perf_counter()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", overlay], check=True)
    made = time.perf_counter() - began
    took = bare_guest.boot(own, folder)
    overlay.unlink()
    return made + took


def _plain(definition: str, name: str) -> str:
    """A definition under another name that virt-clone can copy: it leaves the UUID in the firmware's tables."""
    root = etree.fromstring(definition)
    for parent, tag in (("", "metadata"), ("", "uuid"), ("", "sysinfo"), ("os", "smbios")):
        within = get_child(root, parent) if parent else root
        within.remove(get_child(within, tag))
    get_child(root, "name").text = name
    return etree.tostring(root, encoding="unicode")


def _virt_clone(vm: Machine) -> float:
    virsh = ["virsh", "-q", "-c", "qemu:///session"]
    disk = vm.lab.home / "disks" / "virt-clone.qcow2"
    name, original = "virt-clone-of-web", "web-for-virt-clone"
    definition = vm.lab.home / f"{original}.xml"
    definition.write_text(_plain(vm.definition, original))
    subprocess.run([*virsh, "define", str(definition)], check=True)
    argv = ["virt-clone", "--connect", "qemu:///session", "-q", "-o", original, "-n", name, "-f", str(disk)]
    began = time.perf_counter()
    try:
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*virsh, "start", name], check=True)
        listing = subprocess.run([*virsh, "dumpxml", name], check=True, capture_output=True, text=True).stdout
        socket = next(part for part in listing.split("'") if part.endswith("org.qemu.guest_agent.0") and "/" in part)
        Agent(Path(socket)).wait()
        return time.perf_counter() - began
    finally:
        subprocess.run([*virsh, "destroy", name], check=False)
        for each in (name, original):
            subprocess.run([*virsh, "undefine", each], check=False)
        definition.unlink()
        disk.unlink(missing_ok=True)


def _many(vm: Machine, rounds: int) -> list[Row]:
    """20 linked clones in one plan."""
    numbers = itertools.count()

    def twenty() -> float:
        began = time.perf_counter()
        clones = vm.clone(f"seat-{next(numbers)}-{{:02}}", kind="linked", snapshot="clean", count=20)
        took = time.perf_counter() - began
        assert isinstance(clones, list)
        for clone in clones:
            clone.delete()
        return took

    return [Row(what="20 linked clones created", runs=tuple(twenty() for _ in range(rounds)), limit=2)]


def _full(lab: Lab, rounds: int) -> list[Row]:
    """A full clone of one file beside `cp`, and of a chain beside `qemu-img convert`."""
    vm = lab.create("big", image="sector", memory="16 MiB")
    vm.attach(lab.disks.create("content", capacity=2 * CONTENT))
    path = lab.disks["content"].path
    write = f"write -P 7 0 {CONTENT}"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", write, path], check=True, stdout=subprocess.DEVNULL)
    target = lab.home / "copy"  # on the same file system

    def clone() -> float:
        began = time.perf_counter()
        made = vm.clone("copy")
        took = time.perf_counter() - began
        assert isinstance(made, Machine)
        made.delete()
        return took

    def by(*argv: str | Path) -> float:
        began = time.perf_counter()
        subprocess.run(argv, check=True)
        subprocess.run(["sync", target], check=True)
        took = time.perf_counter() - began
        target.unlink()
        return took

    copied = interleave(rounds, {"ours": clone, "bare": lambda: by("cp", path, target)})
    vm.snapshots.take("s")
    top = lab.disks["content"].path
    convert = ("qemu-img", "convert", "-f", "qcow2", "-O", "qcow2", top, target)
    converted = interleave(rounds, {"ours": clone, "bare": lambda: by(*convert)})
    return [
        Row(what=f"cp + sync, {CONTENT // MIB} MiB", runs=copied["bare"]),
        Row(what="full clone of one file", runs=copied["ours"], against=copied["bare"]),
        Row(what=f"qemu-img convert + sync, {CONTENT // MIB} MiB", runs=converted["bare"]),
        Row(what="full clone of a chain", runs=converted["ours"], against=converted["bare"]),
    ]
