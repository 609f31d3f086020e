"""The table of broken images: every act that reads, copies, merges or puts something on a frozen image.

Each act is tried on an image that another program has changed in each way, closed for writing or not. It is refused
with ways out and changes nothing, or the image heals; no guest is needed to tell.
`./lab test tests/snapshots/test_broken.py -s` prints the table.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import LabError
from labkit.orphans import Orphan
from labkit.plans.plan import Plan
from tests.beside.hands import virsh
from tests.snapshots.checkpoint import Checkpoint

NOT_SEEN = "mtime put back"
"""What only `lab.verify()` sees."""

HEALS = "touched only"


def _same_size(image: Path) -> None:
    with image.open("r+b") as file:
        file.seek(-512, os.SEEK_END)
        old = file.read(512)
        file.seek(-512, os.SEEK_END)
        file.write(bytes(byte ^ 0xFF for byte in old))


def _changed(image: Path) -> None:
    _same_size(image)
    os.utime(image, ns=(1, 1))  # not every file system tells two instants so near to each other apart


def _cut(image: Path) -> None:
    os.truncate(image, image.stat().st_size // 2)


def _zeroed(image: Path) -> None:
    with image.open("r+b") as file:
        file.write(bytes(512))


def _put_back(image: Path) -> None:
    info = image.stat()
    _same_size(image)
    os.utime(image, ns=(info.st_atime_ns, info.st_mtime_ns))


def _replaced(image: Path) -> None:
    other = image.with_suffix(".other")
    shutil.copyfile(image, other)
    _same_size(other)
    other.replace(image)


def _touched(image: Path) -> None:
    os.utime(image, ns=(1, 1))


WAYS: dict[str, Callable[[Path], None]] = {
    "changed, same size": _changed,
    "cut in half": _cut,
    "header zeroed": _zeroed,
    NOT_SEEN: _put_back,
    "replaced by another": _replaced,
    HEALS: _touched,
}

ACTS: dict[str, Callable[[Lab, Path], Plan]] = {
    "take": lambda lab, _: lab.machines["web"].snapshots.take.plan("new"),
    "restore": lambda lab, _: lab.machines["web"].snapshots.restore.plan("three"),
    "restore, saving first": lambda lab, _: lab.machines["web"].snapshots.restore.plan("one", save_current="new"),
    "delete a snapshot": lambda lab, _: lab.machines["web"].snapshots.delete.plan("two"),
    "clone, full": lambda lab, _: lab.machines["web"].clone.plan("copy"),
    "clone, full, of a snapshot": lambda lab, _: lab.machines["web"].clone.plan("copy", snapshot="two"),
    "clone, full, with its tree": lambda lab, _: lab.machines["web"].clone.plan("copy", snapshots=True),
    "clone, linked": lambda lab, _: lab.machines["web"].clone.plan("next", kind="linked", snapshot="three"),
    "clone, linked, as it is now": lambda lab, _: lab.machines["web"].clone.plan("next", kind="linked"),
    "clone of a clone": lambda lab, _: lab.machines["link"].clone.plan("copy"),
    "flatten": lambda lab, _: lab.machines["link"].flatten.plan(),
    "export": lambda lab, folder: lab.machines["web"].export.plan(folder / "web.labkit"),
    "convert": lambda lab, _: lab.disks["web.vda"].convert.plan("other"),
    "resize": lambda lab, _: lab.disks["web.vda"].resize.plan("64 MiB"),
    "attach": lambda lab, _: lab.machines["web"].attach.plan("data"),
    "migrate": lambda lab, _: lab.machines["link"].migrate.plan(lab.neighbour()),
    "adopt": lambda lab, _: _orphan(lab).adopt.plan(),
    "adopt, itself changed": lambda lab, _: _orphan(lab).adopt.plan(),
    "adopt as a snapshot": lambda lab, _: _orphan(lab).adopt_as_snapshot.plan(),
    "adopt as a snapshot, itself changed": lambda lab, _: _orphan(lab).adopt_as_snapshot.plan(),
}
"""All read the image of web's disk that its first snapshot has frozen, but the attached disk, which has its own, and
an orphan that is changed itself."""


def _orphan(lab: Lab) -> Orphan:
    """The image of web's disk in the snapshot that virsh has made libvirt forget."""
    return next(orphan for orphan in lab.orphans.values() if orphan.name.startswith("web.vda."))


@dataclass(slots=True, kw_only=True)
class World:
    """A lab to begin from again and again: web with three snapshots, a clone on the first, a free disk on a frozen one.

    Attributes:
        folder: beside it. orphan: the image of a fourth snapshot, which virsh made libvirt forget.
    """

    lab: Lab
    checkpoint: Checkpoint
    folder: Path
    orphan: Path

    def image(self, act: str) -> Path:
        """The frozen image that is broken for an act."""
        if act.endswith("itself changed"):
            return self.orphan
        snapshot = self.lab.machines["web"].snapshots["one"]
        name = "data" if act == "attach" else "web.vda"
        return next(Path(disk.path) for disk in snapshot.disks if disk.name == name)

    def picture(self) -> dict[str, str]:
        """Every file that an act may change, by its content, and the machines that there are."""
        folders = ("disks", "memory", "journal")
        files = (path for name in folders for path in (self.lab.home / name).iterdir())
        contents = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}
        return contents | {name: repr(facts.spec) for name, facts in self.lab.state.machines.items()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The lab, made once."""
    folder = tmp_path_factory.mktemp("broken")
    with Lab.open("broken") as lab:
        lab.clean()
        try:
            vm = lab.create("web", image="sector", memory="32 MiB", disk_format="qcow2")
            vm.attach(lab.disks.create("data", capacity="1 MiB"))
            vm.snapshots.take("one").take("two").take("three").take("lost")
            orphan = next(Path(disk.path) for disk in vm.snapshots["lost"].disks if disk.name == "web.vda")
            vm.snapshots.restore("three")
            virsh("snapshot-delete", vm.facts.spec.domain_name, "lost", "--metadata")
            vm.clone("link", kind="linked", snapshot="one")
            vm.detach("data")
            (folder / "kept").mkdir()
            yield World(lab=lab, checkpoint=Checkpoint(lab, folder / "kept"), folder=folder, orphan=orphan)
        finally:
            lab.clean()


def _answer(world: World, act: str) -> str:
    """What becomes of an act: "refused" with a hint before anything is done, "allowed", or another error's name."""
    try:
        plan = ACTS[act](world.lab, world.folder)
    except LabError as error:
        return "refused" if error.hint else type(error).__name__
    if plan.refusal is None:
        return "allowed"
    return "refused" if plan.refusal.ways_out else "refused without a way out"


@pytest.mark.parametrize("mode", [0o444, 0o644], ids=["closed", "writable"])
@pytest.mark.parametrize("way", WAYS)
def test_a_broken_image_is_refused_by_every_act_that_reads_it(world: World, way: str, mode: int) -> None:
    expected = "allowed" if way in (HEALS, NOT_SEEN) else "refused"
    found = {}
    for act in ACTS:
        world.checkpoint.install()
        image = world.image(act)
        image.chmod(0o644)
        WAYS[way](image)
        image.chmod(mode)
        before = world.picture()
        found[act] = _answer(world, act)
        assert world.picture() == before, act
    world.checkpoint.install()
    lines = (f"{way:20} {mode:o}  {act:30} {answer}" for act, answer in found.items())
    sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert found == dict.fromkeys(ACTS, expected)
