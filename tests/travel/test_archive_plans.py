"""What an archive tells of itself is a claim: whatever does not fit together is refused, whatever fits gets a place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from labkit.model.image import Format
from labkit.model.snapshot import SnapshotKind
from labkit.model.state import LabState
from labkit.model.travel import CarriedFile, CarriedImage, CarriedKind, CarriedPoint, CarriedSnapshot, Manifest
from labkit.plans.archive_excuses import why_not_manifest
from labkit.plans.importing import lay_out
from labkit.units import MIB, TIB
from tests.snapshots.world import disk, image, machine

Change = Callable[[Manifest], Manifest]


def carried(name: str, kind: CarriedKind = CarriedKind.IMAGE, length: int = MIB) -> CarriedFile:
    """A file in an archive."""
    return CarriedFile(name=name, kind=kind, length=length, stored=length, sha256="ab" * 32)


def below(name: str, backing: str | None = None, format: Format = Format.QCOW2) -> CarriedImage:
    """An image in an archive."""
    return CarriedImage(files=(name,), format=format, capacity=MIB, backing=backing)


BOOT = ("boot/1234567890abcdef-vmlinux", None)
POINT = CarriedPoint(xml="<domain/>", disks={"vda": "disks/web.vda.2.qcow2"}, boot=BOOT)
SNAPSHOT = CarriedSnapshot(
    name="one",
    description="",
    parent=None,
    created=1,
    kind=SnapshotKind.RUNNING,
    point=replace(POINT, disks={"vda": "disks/web.vda.0.qcow2"}),
    memory="memory/web.0.mem",
)
SOUND = Manifest(
    version=1,
    machine="web",
    point=POINT,
    snapshots=(SNAPSHOT,),
    current="one",
    images=(below("disks/web.vda.0.qcow2"), below("disks/web.vda.2.qcow2", "disks/web.vda.0.qcow2")),
    files=(
        carried("disks/web.vda.0.qcow2"),
        carried("disks/web.vda.2.qcow2"),
        carried("memory/web.0.mem", CarriedKind.MEMORY),
        carried("boot/1234567890abcdef-vmlinux", CarriedKind.BOOT),
    ),
)


def rename(old: str, new: str) -> Change:
    """Call one file otherwise, wherever it is named."""

    def change(manifest: Manifest) -> Manifest:
        files = tuple(replace(file, name=new) if file.name == old else file for file in manifest.files)
        images = tuple(
            replace(each, files=tuple(new if file == old else file for file in each.files)) for each in manifest.images
        )
        return replace(manifest, files=files, images=images)

    return change


def with_image(number: int, **values: object) -> Change:
    """Tell something else of an image."""

    def change(manifest: Manifest) -> Manifest:
        images = list(manifest.images)
        images[number] = replace(images[number], **values)  # type: ignore[arg-type]
        return replace(manifest, images=tuple(images))

    return change


def with_file(number: int, **values: object) -> Change:
    """Tell something else of a file."""

    def change(manifest: Manifest) -> Manifest:
        files = list(manifest.files)
        files[number] = replace(files[number], **values)  # type: ignore[arg-type]
        return replace(manifest, files=tuple(files))

    return change


def with_snapshot(**values: object) -> Change:
    """Tell something else of the snapshot."""
    return lambda manifest: replace(manifest, snapshots=(replace(SNAPSHOT, **values),))  # type: ignore[arg-type]


WRONG: dict[str, Change] = {
    "another version": lambda manifest: replace(manifest, version=2),
    "an absolute path": rename("disks/web.vda.2.qcow2", "/etc/passwd"),
    "a path upwards": rename("disks/web.vda.2.qcow2", "disks/../../x"),
    "a path that begins upwards": rename("disks/web.vda.2.qcow2", "../disks/x"),
    "a hidden file": rename("disks/web.vda.2.qcow2", "disks/.x"),
    "a newline": rename("disks/web.vda.2.qcow2", "disks/a\nb"),
    "another folder": rename("disks/web.vda.2.qcow2", "journal/x.jsonl"),
    "a control character": rename("disks/web.vda.2.qcow2", "disks/a\x1bb"),
    "a negative length": with_file(0, length=-1),
    "no length": with_file(0, length=0),
    "a huge length": with_file(0, length=2**62),
    "a huge kernel": with_file(3, length=TIB),
    "a file twice": lambda manifest: replace(manifest, files=(*manifest.files, manifest.files[0])),
    "a file too many": lambda manifest: replace(manifest, files=(*manifest.files, carried("disks/x"))),
    "a file missing": lambda manifest: replace(manifest, files=manifest.files[1:]),
    "a kernel as a disk": with_file(3, kind=CarriedKind.IMAGE),
    "a disk as a memory": with_file(0, kind=CarriedKind.MEMORY),
    "a huge capacity": with_image(0, capacity=2**60),
    "no capacity": with_image(0, capacity=0),
    "a format libvirt does not know": with_image(0, format=Format.VHDX),
    "a difference in VDI": with_image(1, format=Format.VDI),
    "two files in one qcow2": lambda manifest: replace(
        with_image(0, files=("disks/web.vda.0.qcow2", "disks/x"))(manifest), files=(*manifest.files, carried("disks/x"))
    ),
    "an image below itself": with_image(1, backing="disks/web.vda.2.qcow2"),
    "a ring": with_image(0, backing="disks/web.vda.2.qcow2"),
    "nothing below": with_image(1, backing="disks/elsewhere.qcow2"),
    "an image on a host's file": with_image(1, backing="/etc/passwd"),
    "no images": lambda manifest: replace(manifest, images=()),
    "an image without files": with_image(0, files=()),
    "a disk that is not there": lambda manifest: replace(manifest, point=replace(POINT, disks={"vda": "disks/x"})),
    "a strange target": lambda manifest: replace(
        manifest, point=replace(POINT, disks={"../a": "disks/web.vda.2.qcow2"})
    ),
    "two disks of one image": lambda manifest: replace(
        manifest, point=replace(POINT, disks={"vda": "disks/web.vda.2.qcow2", "vdb": "disks/web.vda.2.qcow2"})
    ),
    "writing to what a snapshot keeps": lambda manifest: replace(
        manifest, point=replace(POINT, disks={"vda": "disks/web.vda.0.qcow2"})
    ),
    "a parent that is not there": with_snapshot(parent="zero"),
    "its own parent": with_snapshot(parent="one"),
    "a snapshot without a name": with_snapshot(name=""),
    "a name with a slash": with_snapshot(name="a/b"),
    "a name with a newline": with_snapshot(name="a\nb"),
    "born before time": with_snapshot(created=-1),
    "a book as description": with_snapshot(description="x" * 10**6),
    "another current": lambda manifest: replace(manifest, current="two"),
    "the same snapshot twice": lambda manifest: replace(manifest, snapshots=(SNAPSHOT, SNAPSHOT)),
    "too many snapshots": lambda manifest: replace(
        manifest, snapshots=tuple(replace(SNAPSHOT, name=f"s{number}", memory=None) for number in range(2000))
    ),
}


def test_what_fits_together_is_accepted() -> None:
    assert why_not_manifest(SOUND) is None


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_together_is_refused_in_words(what: str) -> None:
    why = why_not_manifest(WRONG[what](SOUND))
    assert why
    assert "\n" not in why


EMPTY = LabState(lab="default", lab_id="lab-id", home="/lab")


def test_everything_has_its_place_in_the_lab() -> None:
    assert lay_out(EMPTY, SOUND, "copy", "/blobs") == {
        "disks/web.vda.0.qcow2": "/lab/disks/copy.vda.0.qcow2",
        "disks/web.vda.2.qcow2": "/lab/disks/copy.vda.1.qcow2",
        "memory/web.0.mem": "/lab/memory/copy.0.mem",
        "boot/1234567890abcdef-vmlinux": "/blobs/abababababababab-vmlinux",
    }


def test_what_is_there_keeps_its_name() -> None:
    free = disk("copy.vda")
    state = replace(EMPTY, images={free.path: image(free)}, memories=frozenset({"/lab/memory/copy.0.mem"}))
    places = lay_out(state, SOUND, "copy", "/blobs")
    assert places["disks/web.vda.0.qcow2"] == "/lab/disks/copy.vda-2.0.qcow2"
    assert places["memory/web.0.mem"] == "/lab/memory/copy.1.mem"


def test_what_a_clone_stands_on_becomes_its_own() -> None:
    manifest = rename("disks/web.vda.0.qcow2", "disks/original.vda.7.qcow2")(SOUND)
    manifest = replace(
        with_image(1, backing="disks/original.vda.7.qcow2")(manifest),
        snapshots=(),
        current=None,
        files=tuple(file for file in manifest.files if file.kind is not CarriedKind.MEMORY),
    )
    assert why_not_manifest(manifest) is None
    state = replace(EMPTY, machines={"web": machine(disk("web.vda"))})
    places = lay_out(state, manifest, "copy", "/blobs")
    assert sorted(path for path in places.values() if "disks" in path) == [
        "/lab/disks/copy.vda.0.qcow2",
        "/lab/disks/copy.vda.1.qcow2",
    ]
