"""Mutants of archives of machines: brought in without harm, or refused with nothing left. Run as a child.

All is done that an import does, but for what the hypervisor does.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from labkit.storage.archive import read_members, unpack
from labkit.units import GIB
from tests.corpus.cage import try_all
from tests.corpus.forge import Forge, Json, bring, unheard
from tests.corpus.mutants import drawing, mutate_bytes, mutate_json, write_json
from tests.corpus.tars import MAPS, TARS


def main(folder: Path, count: int) -> None:
    """Try so many of each kind."""
    forge = Forge(folder / "sound")
    for name, make in (("bytes", _bytes), ("manifests", _manifests), ("contents", _contents), ("known", _known)):
        place = folder / name
        place.mkdir()
        try_all(f"archives: {name}", make(forge, place, count))


def _bytes(forge: Forge, folder: Path, count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    sound = forge.write(folder / "sound.labkit").read_bytes()
    manifest = sound.rindex(b"labkit.json")
    path = folder / "web.labkit"
    yield "the sound one", lambda: bring(folder / "sound.labkit", folder / "home")
    for number in range(count):
        draw = drawing(number)
        head = draw.choice((512, 4096, len(sound)))
        changed = mutate_bytes(sound, draw, head=head)
        if draw.random() < 0.3:
            changed = sound[:manifest] + mutate_bytes(sound[manifest:], draw, head=1024)
        yield f"bytes {number}", partial(_bring_bytes, path, changed, folder / "home")


def _bring_bytes(path: Path, data: bytes, home: Path) -> None:
    path.write_bytes(data)
    bring(path, home)


def _manifests(forge: Forge, folder: Path, count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    path = folder / "web.labkit"
    for number in range(count * 2):
        draw = drawing(number)

        def act(draw: Any = draw) -> None:
            forge.write(path, lambda told: mutate_json(told, draw), dump=lambda told: write_json(told, draw))
            bring(path, folder / "home")

        yield f"manifest {number}", act


def _contents(forge: Forge, folder: Path, count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    path, changed = folder / "web.labkit", folder / "changed"
    for number in range(count):
        draw = drawing(number)

        def act(draw: Any = draw) -> None:
            name = str(
                draw.choice([*forge.files, *(file for file in forge.files if file.suffix in (".qcow2", ".mem"))])
            )
            changed.write_bytes(mutate_bytes((forge.folder / name).read_bytes(), draw, head=1024))
            forge.write(path, contents={name: changed})
            bring(path, folder / "home")

        yield f"content {number}", act


def _known(forge: Forge, folder: Path, _count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    path = folder / "web.labkit"
    home = folder / "home"
    for name, change in _LIES.items():
        yield name, partial(_forge_and_bring, forge, path, home, change=change)
    for name, names in _NAMES.items():
        yield name, partial(_forge_and_bring, forge, path, home, names=names)
    yield "a thousand snapshots", partial(_forge_and_bring, forge, path, home, change=_many, without=".mem")
    for length in (64 * 1024 + 1, 3 * GIB, 1 << 40):
        yield f"a descriptor of {length}", partial(_bring_long, forge, path, home, length)
    for name, data in MAPS.items():
        yield name, partial(_unpack_all, path, data)
    for name, make in TARS.items():
        yield name, partial(_make_and_bring, forge, path, home, make)


def _forge_and_bring(forge: Forge, path: Path, home: Path, **how: Any) -> None:
    bring(forge.write(path, **how), home)


def _make_and_bring(forge: Forge, path: Path, home: Path, make: Callable[[Path, bytes], object]) -> None:
    make(path, forge.write(path).read_bytes())
    bring(path, home)


def _bring_long(forge: Forge, path: Path, home: Path, length: int) -> None:
    """An archive whose VMDK has a descriptor of so many bytes."""
    descriptor = path.with_name("descriptor")
    shutil.copy(forge.folder / "disks" / "data.0.vmdk", descriptor)
    os.truncate(descriptor, length)
    bring(forge.write(path, contents={"disks/data.0.vmdk": descriptor}), home)


def _unpack_all(path: Path, data: bytes) -> None:
    path.write_bytes(data + bytes(1024))
    for member in read_members(path):
        with (path.parent / "unpacked").open("wb") as target:
            unpack(path, member, target, "0" * 64, on_bytes=unheard)


def _snapshot(**values: Any) -> Callable[[Json], Json]:
    return lambda told: told | {"snapshots": [told["snapshots"][0] | values], "current": values.get("name", "one")}


def _many(told: Json) -> Json:
    one = told["snapshots"][0] | {"memory": None, "kind": "off"}
    files = [each for each in told["files"] if each["kind"] != "memory"]
    more = [one | {"name": f"s{number}", "parent": f"s{number - 1}" if number else None} for number in range(1000)]
    return told | {"snapshots": more, "current": "s999", "files": files}


_NAMES = {
    "a protocol below": {"disks/web.vda.0.raw": "disks/nbd:127.0.0.1:10809.0.raw"},
    "a protocol above": {"disks/web.vda.1.qcow2": "disks/nbd:127.0.0.1:1.1.qcow2"},
    "JSON below": {"disks/web.vda.0.raw": "disks/json:{}.0.raw"},
    "blanks and quotes": {"disks/more.0.vdi": "disks/a b\"c'.0.vdi", "memory/web.0.mem": "memory/a:b 'c.mem"},
    "nothing but signs": {"disks/web.vda.0.raw": "disks/::", "disks/more.0.vdi": "disks/-"},
    "long names": {"disks/more.0.vdi": "disks/" + "é" * 100 + ".0.vdi"},
}


_LIES: dict[str, Callable[[Json], Any]] = {
    "a text for a list of files": lambda told: told | {"files": "x" * 200_000},
    "a text for a list of images": lambda told: told | {"images": "x" * 200_000},
    "a text for a list of snapshots": lambda told: told | {"snapshots": "x" * 200_000},
    "a text of 30 MB": lambda told: told | {"machine": "x" * 30_000_000},
    "lists of nothing": lambda told: told | {"images": [[]] * 150_000},
    "a long name of a snapshot": _snapshot(name="x" * 250),
    "a longer name in bytes": _snapshot(name="é" * 125),
    "a hidden snapshot": _snapshot(name=".one"),
    "a control character in a description": _snapshot(description="a\x01b"),
    "half a character in a description": _snapshot(description="\ud800"),
    "a year that never comes": _snapshot(created=2**62),
    "a memory that was not kept": _snapshot(memory=None),
    "no memory where it runs": _snapshot(kind="off"),
    "a hash that is a path": lambda told: (
        told
        | {
            "files": [
                each | {"sha256": "../../../../../x"} if each["kind"] != "image" else each for each in told["files"]
            ]
        }
    ),
    "a machine of another name": lambda told: told | {"machine": "x" * 1000},
    "a definition without end": lambda told: told | {"point": told["point"] | {"xml": "<a>" * 300_000}},
    "controllers without end": lambda told: (
        told
        | {
            "point": told["point"]
            | {
                "xml": told["point"]["xml"].replace(
                    "<devices>", "<devices>" + "<controller type='pci' index='9'/>" * 9000
                )
            }
        }
    ),
}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
