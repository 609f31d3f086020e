"""Disks against plain qemu-img: create, convert, a map, the inventory.

Both sides end on the disk: what labkit makes is durable, so the plain command is followed by `sync`.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from labkit import Lab
from labkit.model.image import Format
from labkit.storage import maps, qemu_img
from labkit.storage.headers import read_chain, read_folder
from labkit.units import GIB, MIB
from tests.bench.table import Row, interleave

ROUNDS = 7
GRACE = 0.030
"""Seconds an act may cost beside the command itself."""


def bench_disks() -> list[Row]:
    """Measure creating and converting against qemu-img, a map of 1 GiB, and the inventory of 500 images."""
    with Lab.open("bench-disks") as lab:
        lab.clean()
        try:
            return [*_create(lab), *_convert(lab), _map(lab), _inventory(lab)]
        finally:
            lab.clean()


def _create(lab: Lab) -> list[Row]:
    target = lab.home / "plain.qcow2"

    def ours() -> float:
        seconds = _timed(lambda: lab.disks.create("made", capacity="64 MiB"))
        lab.disks["made"].delete()
        return seconds

    def plain() -> float:
        seconds = _timed(lambda: _durably(["qemu-img", "create", "-q", "-f", "qcow2", str(target), "64M"], target))
        target.unlink()
        return seconds

    return _beside("create, dynamic qcow2", ours, plain)


def _convert(lab: Lab) -> list[Row]:
    source = lab.disks.create("source", capacity="512 MiB")
    _fill(source.path, 256)
    target = lab.home / "plain.vdi"

    def ours() -> float:
        seconds = _timed(lambda: source.convert("converted", format="vdi"))
        lab.disks["converted"].delete()
        return seconds

    def plain() -> float:
        argv = ["qemu-img", "convert", "-f", "qcow2", "-O", "vdi", str(source.path), str(target)]
        seconds = _timed(lambda: _durably(argv, target))
        target.unlink()
        return seconds

    return _beside("convert 256 MiB, qcow2 to VDI", ours, plain)


def _map(lab: Lab) -> Row:
    disk = lab.disks.create("mapped", capacity="1 GiB")
    commands = [word for number in range(200) for word in ("-c", f"write -q {number * 5}M 64k")]
    subprocess.run(["qemu-io", "-f", "qcow2", *commands, disk.path], check=True, stdout=subprocess.DEVNULL)
    layers = read_chain(disk.path, Format.QCOW2)
    runs = tuple(_timed(lambda: maps.read_map(layers)) for _ in range(ROUNDS))
    assert sum(region.length for region in maps.read_map(layers)) == GIB
    return Row(what="map of a 1 GiB image", runs=runs, limit=0.2)


def _inventory(lab: Lab) -> Row:
    folder = lab.home / "inventory"
    folder.mkdir()
    first = folder / "disk-0.0.qcow2"
    qemu_img.create(first, Format.QCOW2, 64 * MIB, lab.disks["mapped"].allocation)
    for number in range(1, 500):
        (folder / f"disk-{number}.0.qcow2").write_bytes(first.read_bytes())
    runs = tuple(_timed(lambda: read_folder(folder)) for _ in range(ROUNDS))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return Row(what="inventory of 500 images", runs=runs, limit=1.0)


def _beside(what: str, ours: Callable[[], float], plain: Callable[[], float]) -> list[Row]:
    runs = interleave(ROUNDS, {"ours": ours, "plain": plain})
    less = tuple(max(0.0, seconds - GRACE) for seconds in runs["ours"])
    return [
        Row(what=f"{what}: labkit", runs=runs["ours"]),
        Row(what=f"{what}: qemu-img and sync", runs=runs["plain"]),
        Row(what=f"{what}: labkit less {GRACE * 1000:.0f} ms", runs=less, limit=1.1, against=runs["plain"]),
    ]


def _fill(image: Path, mebibytes: int) -> None:
    argv = ["qemu-io", "-f", "qcow2", "-c", f"write -q -P 7 0 {mebibytes}M", str(image)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def _durably(argv: list[str], target: Path) -> None:
    subprocess.run(argv, check=True)
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
