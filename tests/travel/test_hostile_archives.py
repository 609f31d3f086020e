"""Archives made to harm: refused in one sentence, or brought in without the harm. Nothing is left."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from labkit import Lab
from labkit.errors import BadInput, HypervisorError, LabError, Refused
from labkit.storage.archive import Source, Written, write_archive
from labkit.units import GIB, KIB, MIB, TIB
from tests.travel.test_archives import files_of

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A sound archive: a machine with one snapshot that kept its memory, and a VMDK of two files."""
    folder = tmp_path_factory.mktemp("sound")
    with Lab.open("hostile") as lab:
        vm = lab.create("web", image="sector", memory="16 MiB").start().wait_ready()
        vm.snapshots.take("one")
        vm.kill()
        vm.attach(lab.disks.create("data", capacity="1 MiB", format="vmdk", allocation="fixed"))
        vm.export(folder / "web.labkit")
        vm.delete()
        for name in lab.disks:
            lab.disks[name].delete()
        yield folder / "web.labkit"
        lab.clean()


class Forge:
    """A copy of an archive, changed as an enemy would: hashes and sizes fit again."""

    def __init__(self, sound: Path, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        subprocess.run(["tar", "-xf", str(sound), "-C", str(folder)], check=True)
        self.manifest: Manifest = json.loads((folder / "labkit.json").read_text())
        self.target = folder / "forged.labkit"

    def file(self, number: int) -> Path:
        """The path of a file of the archive."""
        return self.folder / str(self.manifest["files"][number]["name"])

    def find(self, ending: str) -> Path:
        """The path of the file whose name ends so."""
        names = (str(each["name"]) for each in self.manifest["files"])
        return next(self.folder / name for name in names if name.endswith(ending))

    def write(self, *, spoil: Callable[[Manifest], None] = lambda _manifest: None) -> Path:
        """Write it; `spoil` changes the manifest after hashes and sizes were made to fit."""

        def finish(written: Mapping[str, Written]) -> bytes:
            for each in self.manifest["files"]:
                each["stored"] = written[each["name"]].stored
                each["sha256"] = written[each["name"]].sha256
                each["length"] = (self.folder / each["name"]).stat().st_size
            spoil(self.manifest)
            return json.dumps(self.manifest).encode()

        sources = [
            Source(name=each["name"], path=self.folder / each["name"], sparse=each["kind"] == "image")
            for each in self.manifest["files"]
        ]
        write_archive(self.target, sources, finish, on_bytes=lambda _done, _total: None)
        return self.target


@pytest.fixture
def forge(sound: Path, tmp_path: Path) -> Forge:
    """The sound archive, to be changed."""
    return Forge(sound, tmp_path / "forge")


def _is_refused(lab: Lab, archive: Path) -> str:
    before, outside = files_of(lab), sorted(os.listdir(lab.home.parent))
    with pytest.raises(LabError) as error:
        lab.import_machine(archive, "copy", identity="new")
    assert isinstance(error.value, BadInput | Refused)
    assert "\n" not in error.value.message
    assert files_of(lab) == before
    assert list(lab.machines) == []
    assert sorted(os.listdir(lab.home.parent)) == outside
    return error.value.message


def test_unchanged_it_comes_in(lab: Lab, forge: Forge) -> None:
    copy = lab.import_machine(forge.write(), "copy", identity="new")
    copy.snapshots.restore("one")
    assert copy.state == "running"


def test_another_content_than_the_hash_says(lab: Lab, forge: Forge) -> None:
    def spoil(manifest: Manifest) -> None:
        manifest["files"][0]["sha256"] = hashlib.sha256(b"other").hexdigest()

    assert "hash" in _is_refused(lab, forge.write(spoil=spoil))


def _call_snapshot(manifest: Manifest, **values: str) -> None:
    manifest["snapshots"][0].update(values)
    manifest["current"] = manifest["snapshots"][0]["name"]


MANIFESTS: dict[str, Callable[[Manifest], None]] = {
    "an unknown key": lambda manifest: manifest.update(more=1),
    "no machine": lambda manifest: manifest.pop("machine"),
    "a path as a machine's name": lambda manifest: manifest.update(machine="../../x"),
    "a path upwards": lambda manifest: manifest["files"][0].update(name="../../x"),
    "a wrong length": lambda manifest: manifest["files"][0].update(length=1),
    "a bomb": lambda manifest: manifest["files"][0].update(length=2**50),
    "a definition that is none": lambda manifest: manifest["point"].update(xml="<domain"),
    "somebody else's definition": lambda manifest: manifest["point"].update(xml="<domain><name>x</name></domain>"),
    "an entity": lambda manifest: manifest["point"].update(
        xml='<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + manifest["point"]["xml"]
    ),
    "an id that is none": lambda manifest: manifest["point"].update(
        xml=manifest["point"]["xml"].replace("<uuid>", "<uuid>x")
    ),
    "memory without end": lambda manifest: manifest["point"].update(
        xml=manifest["point"]["xml"].replace("<memory unit='KiB'>16384", "<memory unit='KiB'>99999999999")
    ),
    "a format it is not": lambda manifest: manifest["images"][1].update(format="vdi"),
    "a name of a snapshot that is too long": lambda manifest: _call_snapshot(manifest, name="x" * 250),
    "a name of a snapshot that is too long in bytes": lambda manifest: _call_snapshot(manifest, name="é" * 125),
    "a control character in a description": lambda manifest: _call_snapshot(manifest, description="a\x01b"),
    "a text for a list": lambda manifest: manifest.update(files="x" * 200_000),
    "a hash that is a path": lambda manifest: manifest["files"][-1].update(sha256="../../../../../x"),
    "a capacity it has not": lambda manifest: manifest["images"][1].update(capacity=12 * MIB),
}


@pytest.mark.parametrize("what", MANIFESTS)
def test_a_manifest_that_lies(lab: Lab, forge: Forge, what: str) -> None:
    def spoil(manifest: Manifest) -> None:
        MANIFESTS[what](manifest)

    archive = forge.write(spoil=spoil)
    if what == "a path as a machine's name":
        lab.import_machine(archive, "copy", identity="new")  # the name it had is not used
        with pytest.raises(BadInput):
            lab.import_machine(archive)
    else:
        _is_refused(lab, archive)


def test_cut_short(lab: Lab, forge: Forge) -> None:
    archive = forge.write()
    os.truncate(archive, archive.stat().st_size // 2)
    assert "cut short" in _is_refused(lab, archive)


def _qcow2(path: Path, *options: str, backing: str | None = None) -> None:
    path.unlink()
    below = ["-u", "-b", backing, "-F", "raw"] if backing else []
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", *below, *options, str(path), "1M"]
    subprocess.run(argv, check=True, cwd=path.parent)


def test_an_image_that_stands_on_a_file_of_the_host(lab: Lab, forge: Forge) -> None:
    base = forge.find("vda.0.raw")
    _replace_format(forge, base, "qcow2")
    _qcow2(base, backing="/etc/passwd")
    assert "not the image" in _is_refused(lab, forge.write())


def test_an_image_that_keeps_its_data_in_another_file(lab: Lab, forge: Forge, tmp_path: Path) -> None:
    base = forge.find("vda.0.raw")
    _replace_format(forge, base, "qcow2")
    _qcow2(base, "-o", f"data_file={tmp_path / 'secret'},data_file_raw=on")
    assert "not the image" in _is_refused(lab, forge.write())


def _replace_format(forge: Forge, path: Path, format: str) -> None:
    image = next(each for each in forge.manifest["images"] if path.name in each["files"][0])
    image.update(format=format, capacity=MIB)


def test_an_overlay_that_names_a_file_of_the_host_gets_the_image_the_lab_has(lab: Lab, forge: Forge) -> None:
    overlay = forge.find("vda.1.qcow2")
    below = next(each for each in forge.manifest["images"] if each["files"][0].endswith("vda.0.raw"))
    subprocess.run(
        ["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", str(overlay)], check=True
    )
    assert below["backing"] is None
    lab.import_machine(forge.write(), "copy", identity="new")
    assert {Path(image.backing).parent for image in lab.state.images.values() if image.backing} == {lab.home / "disks"}


def test_a_vmdk_that_wants_a_file_of_the_host(lab: Lab, forge: Forge) -> None:
    descriptor = forge.find("data.0.vmdk")
    descriptor.write_text(descriptor.read_text().replace("data.0-flat.vmdk", "/etc/passwd"))
    assert "wants other files" in _is_refused(lab, forge.write())


def test_a_memory_that_is_none(lab: Lab, forge: Forge) -> None:
    forge.find(".mem").write_bytes(b"LibvirtQemudSave" + bytes(10_000))
    assert "definition" in _is_refused(lab, forge.write())


QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
HARM = {
    "an emulator": ("<devices>", "<devices><emulator>/bin/sh</emulator>"),
    "a disk of the host": (
        "<devices>",
        "<devices><disk type='file'><source file='/etc/passwd'/><target dev='vdz'/></disk>",
    ),
    "a device of the host": ("<devices>", "<devices><hostdev mode='subsystem' type='usb'/>"),
    "a folder of the host": ("<devices>", "<devices><filesystem><source dir='/'/><target dir='x'/></filesystem>"),
    "a network": ("<devices>", "<devices><interface type='user'/>"),
    "a log": ("<devices>", "<devices><serial type='file'><source path='/etc/cron.d/x'/></serial>"),
    "a line for QEMU": (
        "</devices>",
        f"</devices><q:commandline xmlns:q='{QEMU}'><q:arg value='-x'/></q:commandline>",
    ),
    "a kernel": ("<os>", "<os><kernel>/etc/passwd</kernel><loader>/etc/passwd</loader>"),
    "an address that is none": ("slot='0x00'", "slot='&lt;x&gt;'"),
}


@pytest.mark.parametrize("what", HARM)
def test_what_a_definition_wants_of_the_host_it_does_not_get(lab: Lab, forge: Forge, what: str) -> None:
    old, new = HARM[what]
    points = [forge.manifest["point"], *(each["point"] for each in forge.manifest["snapshots"])]
    for point in points:
        for key in ("xml", "live_xml"):
            if point[key]:
                point[key] = point[key].replace(old, new, 1).replace(old.replace("'", '"'), new, 1)
    copy = lab.import_machine(forge.write(), "copy", identity="new")
    texts = [copy.definition]
    texts += [lab.session.executor.snapshots.xml(copy.id, name) for name in copy.snapshots]
    for text in texts:
        for harm in ("/etc/", "/bin/sh", "hostdev", "filesystem", "interface", "commandline", "loader", "vdz", "&lt;x"):
            assert harm not in text, harm
    copy.start()
    assert copy.state == "running"


def test_what_the_hypervisor_will_never_take_is_taken_back_and_holds_up_nothing(lab: Lab, forge: Forge) -> None:
    """A snapshot whose devices have addresses that are none; the machine itself could be defined."""
    point = forge.manifest["snapshots"][0]["point"]
    for key in ("xml", "live_xml"):
        if point[key]:
            point[key] = re.sub(r"slot=(['\"])[^'\"]*", r"slot=\1zz", point[key])
    archive = forge.write()
    before = files_of(lab)
    with pytest.raises(HypervisorError) as error:
        lab.import_machine(archive, "copy", identity="new")
    assert "taken back" in error.value.hint
    assert files_of(lab) == before
    assert list(lab.machines) == []
    assert list(lab.disks) == []
    lab.create("copy", image="sector", memory="16 MiB").start().kill()


def test_no_name_from_an_archive_becomes_a_protocol(lab: Lab, forge: Forge) -> None:
    """`qemu-img` and QEMU take what stands before a colon for a protocol, and would connect."""
    base = forge.find("vda.0.raw")
    strange = base.with_name("nbd:127.0.0.1:10809.0.raw")
    base.rename(strange)
    old, new = (f"disks/{path.name}" for path in (base, strange))
    forge.manifest = json.loads(json.dumps(forge.manifest).replace(json.dumps(old), json.dumps(new)))
    copy = lab.import_machine(forge.write(), "copy", identity="new")
    for image in lab.state.images.values():
        assert ":" not in Path(image.path).name
    for path in (lab.home / "disks").glob("*.qcow2"):
        told = json.loads(
            subprocess.run(["qemu-img", "info", "--output=json", str(path)], check=True, capture_output=True).stdout
        )
        assert Path(told["full-backing-filename"]).parent == lab.home / "disks"
    copy.snapshots.restore("one")
    assert copy.state == "running"


@pytest.mark.parametrize("length", [64 * KIB + 1, 3 * GIB, TIB])
def test_a_descriptor_without_end(lab: Lab, forge: Forge, length: int) -> None:
    os.truncate(forge.find("data.0.vmdk"), length)
    assert "bytes" in _is_refused(lab, forge.write())


def test_an_archive_that_is_exchanged_after_it_was_looked_at(lab: Lab, forge: Forge, tmp_path: Path) -> None:
    archive = forge.write()
    plan = lab.import_machine.plan(archive, "copy", identity="new")
    before = files_of(lab)
    with forge.find("vda.0.raw").open("r+b") as file:
        file.write(b"other")
    forge.target = tmp_path / "other.labkit"
    forge.write().replace(archive)
    with pytest.raises(BadInput, match="another hash"):
        lab.carry_out(plan)
    archive.unlink()
    os.mkfifo(archive)
    with pytest.raises(BadInput, match="a pipe"):
        lab.carry_out(plan)
    archive.unlink()
    with pytest.raises(LabError):
        lab.carry_out(plan)
    assert files_of(lab) == before
    assert list(lab.machines) == []
