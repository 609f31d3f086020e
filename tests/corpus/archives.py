"""Mutants of archives of machines: brought in without harm, or refused with nothing left. Run as a child.

All is done that an import does, but for what the hypervisor does.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from labkit.engine import archives
from labkit.hypervisor.domain_xml.building import build_domain_xml
from labkit.limits import Limit
from labkit.model.image import Format
from labkit.model.machine import Accelerator, Boot, DiskSpec, MachineSpec
from labkit.model.state import LabState
from labkit.plans.importing import ImportSurvey, plan_import
from labkit.plans.steps import DefineAdopted, UnpackBootFile, UnpackImage, UnpackMemory
from labkit.storage import memory_file
from labkit.storage.archive import Source, Written, read_members, unpack, write_archive
from labkit.storage.headers import read_image
from labkit.units import GIB, MIB
from tests.corpus.cage import try_all
from tests.corpus.mutants import drawing, mutate_bytes, mutate_json, write_json
from tests.storage.tools import make_image, qemu_io

Json = dict[str, Any]
_ID = "4bdc4b71-4a3f-4b5b-9d3e-0d6d1d3f2a10"


def main(folder: Path, count: int) -> None:
    """Try so many of each kind."""
    forge = Forge(folder / "sound")
    for name, make in (("bytes", _bytes), ("manifests", _manifests), ("contents", _contents), ("known", _known)):
        place = folder / name
        place.mkdir()
        try_all(f"archives: {name}", make(forge, place, count))


class Forge:
    """The parts of a sound archive, to be put together with changes: a tree of two layers, a memory, a VMDK of two."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in ("disks", "memory", "boot"):
            (folder / part).mkdir(parents=True)
        disks = folder / "disks"
        base = make_image(disks / "web.vda.0.raw", Format.RAW, MIB)
        qemu_io(base, Format.RAW, "write -P 7 64k 64k")
        make_image(disks / "web.vda.1.qcow2", Format.QCOW2, MIB, f"backing_file={base},backing_fmt=raw")
        make_image(disks / "data.0.vmdk", Format.VMDK, MIB, "subformat=monolithicFlat")
        make_image(disks / "more.0.vdi", Format.VDI, MIB)
        kernel = b"kernel" * 100
        (folder / "boot" / f"{hashlib.sha256(kernel).hexdigest()[:16]}-vmlinux").write_bytes(kernel)
        active = _spec(disks, {"vda": "web.vda.1.qcow2", "vdb": "data.0.vmdk", "vdc": "more.0.vdi"}, folder)
        kept = _spec(disks, {"vda": "web.vda.0.raw"}, folder)
        header = memory_file.MemoryHeader(xml=build_domain_xml(kept), cookie="", was_running=1, compression=0)
        (folder / "memory" / "web.0.mem").write_bytes(memory_file.build_header(header) + b"QEVM" * 1000)
        self.files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        self.manifest = self._tell(active, kept)

    def _tell(self, active: MachineSpec, kept: MachineSpec) -> Json:
        kinds = {"disks": "image", "memory": "memory", "boot": "boot file"}
        boot = [str(next(path for path in self.files if path.parts[0] == "boot")), None]
        layers = {
            "web.vda.0.raw": None,
            "web.vda.1.qcow2": "disks/web.vda.0.raw",
            "data.0.vmdk": None,
            "more.0.vdi": None,
        }
        more = {"data.0.vmdk": ["disks/data.0-flat.vmdk"]}

        def point(spec: MachineSpec) -> Json:
            disks = {disk.target: f"disks/{Path(disk.path).name}" for disk in spec.disks}
            return {"xml": build_domain_xml(spec), "disks": disks, "boot": boot, "live_xml": None}

        return {
            "version": 1,
            "machine": "web",
            "point": point(active),
            "snapshots": [
                {
                    "name": "one",
                    "description": "first",
                    "parent": None,
                    "created": 1,
                    "kind": "running",
                    "point": point(kept),
                    "memory": "memory/web.0.mem",
                }
            ],
            "current": "one",
            "images": [
                {
                    "files": [f"disks/{name}", *more.get(name, [])],
                    "format": name.rpartition(".")[2],
                    "capacity": MIB,
                    "backing": below,
                }
                for name, below in layers.items()
            ],
            "files": [{"name": str(path), "kind": kinds[path.parts[0]], "full": False} for path in self.files],
        }

    def write(
        self,
        target: Path,
        change: Callable[[Json], Any] = lambda manifest: manifest,
        contents: Mapping[str, Path] | None = None,
        names: Mapping[str, str] | None = None,
        without: str = "nothing",
        dump: Callable[[Any], bytes] = lambda manifest: json.dumps(manifest).encode(),
    ) -> Path:
        """Write an archive; `change` has the last word on a manifest whose hashes and sizes are right.

        Args:
            contents: other files, by name. names: other names, in the manifest too. without: files that are left out.
        """
        files = [str(path) for path in self.files if without not in str(path)]
        named = {name: (names or {}).get(name, name) for name in files}
        paths = {named[name]: (contents or {}).get(name, self.folder / name) for name in files}

        def finish(written: Mapping[str, Written]) -> bytes:
            text = json.dumps(self.manifest)
            for old, new in (names or {}).items():
                text = text.replace(json.dumps(old), json.dumps(new))
            manifest = json.loads(text)
            manifest["files"] = [each for each in manifest["files"] if each["name"] in paths]
            for each in manifest["files"]:
                name = each["name"]
                each |= {"stored": written[name].stored, "sha256": written[name].sha256}
                each["length"] = paths[name].stat().st_size
            return dump(change(manifest))

        if target.is_dir():
            target.rmdir()
        target.unlink(missing_ok=True)
        sources = [Source(name=name, path=path, sparse=name.startswith("disks/")) for name, path in paths.items()]
        write_archive(target, sources, finish, on_bytes=_unheard)
        return target


def _spec(disks: Path, images: Mapping[str, str], folder: Path) -> MachineSpec:
    kernel = next((folder / "boot").iterdir())
    return MachineSpec(
        name="web",
        lab="default",
        lab_id="lab-id",
        id=_ID,
        memory=128 * MIB,
        vcpus=1,
        image="tiny",
        boot=Boot(kernel=str(kernel), command_line="quiet"),
        disks=tuple(
            DiskSpec(name=file, target=target, path=str(disks / file), format=Format(file.rpartition(".")[2]))
            for target, file in images.items()
        ),
        accelerator=Accelerator.TCG,
        console_log="/lab/consoles/web.0.log",
    )


def bring(path: Path, home: Path) -> None:
    """Do with an archive what an import does, but for the hypervisor; at the end, and after an error, nothing is left.

    What came in is looked at: no image depends on anything but a file of the lab.
    """
    for part in ("disks", "memory", "consoles", "boot"):
        (home / part).mkdir(parents=True, exist_ok=True)
    done: list[UnpackImage | UnpackMemory | UnpackBootFile] = []
    try:
        manifest = archives.inspect_archive(path)
        state = LabState(lab="default", lab_id="lab-id", home=str(home))
        who = archives.Identity(name="copy", id=_ID, genid=_ID)
        boots = str(home / "boot")
        arrival = archives.adopt(state, path, manifest, who, boot_folder=boots, accelerator=Accelerator.TCG)
        survey = ImportSurvey(
            free_bytes=100 * GIB,
            host_memory=4 * GIB,
            host_cpus=2,
            accelerator=Accelerator.TCG,
            taken_ids=frozenset(),
            boot_folder=boots,
        )
        for step in plan_import(state, survey, arrival).steps:
            match step:
                case UnpackImage():
                    done.append(step)
                    archives.unpack_image(step, _unheard, Limit(30))
                    _check(step, home)
                case UnpackMemory():
                    done.append(step)
                    archives.unpack_memory(step, _unheard, Limit(30))
                    memory_file.read_header(Path(step.target))
                case UnpackBootFile():
                    done.append(step)
                    archives.unpack_boot_file(step, _unheard, Limit(30))
                case DefineAdopted():
                    for text in (step.xml, *(record.xml for record in step.records)):
                        assert "/etc/" not in text
                        assert "nbd:" not in text
                case _:
                    pass
    finally:
        for step in done:
            targets = step.targets if isinstance(step, UnpackImage) else (step.target,)
            for target in targets:
                assert os.path.realpath(target).startswith(f"{home}/")
            archives.undo(targets[0], targets[1:])
        assert [path for path in home.rglob("*") if not path.is_dir()] == []


def _check(step: UnpackImage, home: Path) -> None:
    facts = read_image(Path(step.targets[0]), step.format)
    for file in (*facts.files, *([facts.backing] if facts.backing else [])):
        assert Path(file).parent == home / "disks"
    assert ":" not in Path(step.targets[0]).name


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
        yield f"bytes {number}", lambda changed=changed: _bring_bytes(path, changed, folder / "home")


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
    for name, change in _LIES.items():
        yield name, lambda change=change: bring(forge.write(path, change), folder / "home")
    for name, names in _NAMES.items():
        yield name, lambda names=names: bring(forge.write(path, names=names), folder / "home")
    yield "a thousand snapshots", lambda: bring(forge.write(path, _many, without=".mem"), folder / "home")
    for length in (64 * 1024 + 1, 3 * GIB, 1 << 40):
        yield f"a descriptor of {length}", lambda length=length: bring(_long(forge, path, length), folder / "home")
    for name, data in _MAPS.items():
        yield name, lambda data=data: _unpack_all(path, data)
    for name, make in _TARS.items():
        yield name, lambda make=make: bring(_made(path, forge, make), folder / "home")


def _long(forge: Forge, path: Path, length: int) -> Path:
    """An archive whose VMDK has a descriptor of so many bytes."""
    descriptor = path.with_name("descriptor")
    shutil.copy(forge.folder / "disks" / "data.0.vmdk", descriptor)
    os.truncate(descriptor, length)
    return forge.write(path, contents={"disks/data.0.vmdk": descriptor})


def _unpack_all(path: Path, data: bytes) -> None:
    path.write_bytes(data + bytes(1024))
    for member in read_members(path):
        with (path.parent / "unpacked").open("wb") as target:
            unpack(path, member, target, "0" * 64, on_bytes=_unheard)


def _made(path: Path, forge: Forge, make: Callable[[Path, bytes], object]) -> Path:
    sound = forge.write(path).read_bytes()
    make(path, sound)
    return path


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


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE, form: int = tarfile.GNU_FORMAT) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(form)


def _negative(_path: Path, sound: bytes) -> bytes:
    """A first header with a size below zero, in base 256, and its sum right."""
    block = bytearray(sound[:512])
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + sound[512:]


def _members(path: Path, _sound: bytes) -> None:
    """More members than any archive has."""
    with path.open("wb") as file:
        file.write(_header("disks/x", 0) * 100_000)


def _pax(text: bytes) -> bytes:
    return _header("PaxHeaders/x", len(text), tarfile.XHDTYPE) + text + bytes(-len(text) % 512)


def _record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n"
    length = len(rest) + len(str(len(rest) + 3))
    return f"{length}{rest}".encode()


def _sparse(lines: bytes, stored: int | None = None, real: int = 2 << 40) -> bytes:
    """A sparse file with this map."""
    told = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "disks/x",
        "GNU.sparse.realsize": str(real),
    }
    data = lines + bytes(-len(lines) % 512)
    header = _pax(b"".join(_record(key, value) for key, value in told.items()))
    return header + _header("GNUSparseFile.0/disks/x", len(data) if stored is None else stored) + data


def _huge(path: Path, sound: bytes, *, before: bytes = b"") -> None:
    path.write_bytes(before or sound)
    os.truncate(path, 1 << 42)


def _packed(ending: str) -> Callable[[Path, bytes], object]:
    def make(path: Path, sound: bytes) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode=f"w:{ending}") as tar:
            info = tarfile.TarInfo("labkit.json")
            info.size = len(sound)
            tar.addfile(info, io.BytesIO(sound))
        path.write_bytes(packed.getvalue())

    return make


def _say(data: bytes) -> Callable[[Path, bytes], object]:
    return lambda path, sound: path.write_bytes(data + sound)


_MAPS = {
    "a sparse map of ten million": _sparse(b"10000000\n" + b"0\n0\n" * 1000),
    "a sparse map that goes back": _sparse(b"2\n512\n512\n0\n512\n"),
    "a sparse map of letters": _sparse(b"two\n0\n0\n"),
    "a sparse map without end": _sparse(b"1" * 9_000_000),
    "a sparse map of segments of nothing": _sparse(b"200000\n" + b"0\n0\n" * 200_000),
    "a sparse map of a number too long": _sparse(b"1\n" + b"9" * 400 + b"\n1\n"),
    "a sparse map past the end": _sparse(b"1\n0\n99999999\n"),
}

_TARS: dict[str, Callable[[Path, bytes], object]] = {
    "a hundred thousand members": _members,
    "a size below zero": lambda path, sound: path.write_bytes(_negative(path, sound)),
    "a size in base 256": _say(_header("disks/x", 1 << 80)),
    "a file of a tebibyte": lambda path, sound: _huge(path, sound, before=_header("disks/x", 1 << 40)),
    "zeros without end behind it": _huge,
    "a pax header of a gigabyte": lambda path, sound: _huge(path, sound, before=_header("p", GIB, tarfile.XHDTYPE)),
    "a pax header for all": _say(_header("p", 512, tarfile.XGLTYPE) + bytes(512)),
    "a pax record that says a size": _say(_pax(_record("size", str(1 << 60)))),
    "a pax record that says a path": _say(_pax(_record("path", "../../x"))),
    "a pax record without end": _say(_pax(b"9999 path=" + b"x" * 300)),
    "GNU's old sparse form": _say(_header("disks/x", 0, tarfile.GNUTYPE_SPARSE)),
    "a long name in GNU's way": _say(_header("././@LongLink", 512, tarfile.GNUTYPE_LONGNAME) + b"x" * 512),
    "a link": _say(_header("disks/x", 0, tarfile.SYMTYPE)),
    "a hard link": _say(_header("disks/x", 0, tarfile.LNKTYPE)),
    "a pipe": _say(_header("disks/x", 0, tarfile.FIFOTYPE)),
    "a device": _say(_header("disks/x", 0, tarfile.CHRTYPE)),
    "a folder": _say(_header("disks/x", 0, tarfile.DIRTYPE)),
    "a name with a newline": _say(_header("disks/a\nb", 0)),
    "a name upwards": _say(_header("../../x", 0)),
    "the same file twice": _say(_header("boot/x", 0) * 2),
    "a sparse file in a sparse file": _say(_pax(_record("GNU.sparse.major", "1")) + _sparse(b"0\n")),
    "in gzip": _packed("gz"),
    "in xz": _packed("xz"),
    "in bzip2": _packed("bz2"),
    "nothing": lambda path, _sound: path.write_bytes(b""),
    "zeros": lambda path, _sound: path.write_bytes(bytes(10_240)),
    "a folder in its place": lambda path, _sound: (path.unlink(), path.mkdir()),
    "a pipe in its place": lambda path, _sound: (path.unlink(), os.mkfifo(path)),
    "a device in its place": lambda path, _sound: (path.unlink(), path.symlink_to("/dev/zero")),
}


def _unheard(_done: int, _total: int) -> None:
    """Hear nothing."""


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
