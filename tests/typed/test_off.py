"""Machines that are off: every act's commands, typed by hand in the lab's folder, do what the act does."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from labkit import Lab
from labkit.model.image import Allocation, Format
from labkit.plans.plan import Plan
from labkit.units import MIB
from tests.typed.twin import Kept, Twin

Make = Callable[[Lab], Plan]


def write(lab: Lab, letter: int, machine: str = "web") -> None:
    """Write something else into every disk of a machine."""
    for number, disk in enumerate(lab.machines[machine].facts.spec.disks):
        place = f"write -P {letter} {(letter * 3 + number) * 65536} 65536"
        argv = ["qemu-io", "-f", disk.format.driver, "-c", place, disk.path]
        subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Twin, Kept]]:
    """A machine with a tree: a, after it b and c, after c d, where it is; disks in qcow2, raw and VDI; a free disk."""
    with Lab.open("typed") as lab:
        lab.clean()
        vm = lab.create("web")
        for name, format in (("notes", "raw"), ("log", "vdi")):
            vm.attach(lab.disks.create(name, capacity=8 * MIB, format=format))
        write(lab, 1)
        vm.snapshots.take("a")
        write(lab, 2)
        vm.snapshots.take("b", description="the second")
        write(lab, 3)
        vm.snapshots.restore("a")
        write(lab, 4)
        vm.snapshots.take("c")
        write(lab, 5)
        vm.configure(memory="96 MiB")
        vm.snapshots.take("d")
        write(lab, 6)
        lab.disks.create("free", capacity=4 * MIB)
        other = lab.create("other", vcpus=2, disk_format="vdi")
        other.attach(lab.disks.create("mine", capacity=8 * MIB))
        other.attach(lab.disks.create("full", capacity=2 * MIB, format="raw", allocation="fixed"))
        write(lab, 7, "other")
        lab.create("pinned").pin(0)
        lab.create("origin").clone("link", kind="linked")
        write(lab, 8, "link")
        for format in ("raw", "qcow2", "vmdk"):
            lab.disks.create(f"fixed-{format}", capacity=2 * MIB, format=format, allocation="fixed")
        make_image = ["qemu-img", "create", "-f", "vmdk", str(lab.home / "brought.vmdk"), "3M"]
        subprocess.run(make_image, check=True, capture_output=True)
        twin = Twin(lab, tmp_path_factory.mktemp("typed"))
        yield lab, twin, twin.keep()
        lab.clean()


def make_disk(format: str, allocation: str, lab: Lab) -> Plan:
    """An empty disk."""
    return lab.disks.create.plan("new", capacity=2 * MIB, format=format, allocation=allocation)


def convert_disk(format: str, allocation: str, lab: Lab) -> Plan:
    """The content of a chain in another format."""
    return lab.disks["log"].convert.plan("new", format=format, allocation=allocation)


ACTS: dict[str, Make] = {
    "create": lambda lab: lab.create.plan("new", memory="128 MiB", vcpus=2),
    "create with a message": lambda lab: lab.create.plan("new", image="sector", message="it's me"),
    "create fixed": lambda lab: lab.create.plan("new", disk_format="vdi", allocation="fixed"),
    "create anew": lambda lab: lab.create.plan("web", if_exists="replace"),
    "rename": lambda lab: lab.machines["other"].rename.plan("más"),
    "configure": lambda lab: lab.machines["web"].configure.plan(memory="256 MiB", vcpus=3),
    "configure a pinned one": lambda lab: lab.machines["pinned"].configure.plan(vcpus=3),
    "configure less": lambda lab: lab.machines["other"].configure.plan(vcpus=1, memory="96 MiB"),
    "configure the CPU": lambda lab: lab.machines["other"].configure.plan(vcpus=1, cpu_model="max"),
    "delete": lambda lab: lab.machines["web"].delete.plan(),
    "attach": lambda lab: lab.machines["web"].attach.plan("free"),
    "detach": lambda lab: lab.machines["other"].detach.plan("mine"),
    "take": lambda lab: lab.machines["web"].snapshots.take.plan("e"),
    "take described": lambda lab: lab.machines["web"].snapshots.take.plan("e", description="-it's $HOME"),
    "restore": lambda lab: lab.machines["web"].snapshots.restore.plan("b"),
    "restore and save": lambda lab: lab.machines["web"].snapshots.restore.plan("b", save_current="e"),
    "delete a leaf": lambda lab: lab.machines["web"].snapshots.delete.plan("b"),
    "delete an inner one": lambda lab: lab.machines["web"].snapshots.delete.plan("c"),
    "delete the root": lambda lab: lab.machines["web"].snapshots.delete.plan("a"),
    "delete the current one": lambda lab: lab.machines["web"].snapshots.delete.plan("d"),
    "delete a branch": lambda lab: lab.machines["web"].snapshots.delete.plan("c", branch=True),
    "merge all": lambda lab: lab.machines["web"].snapshots.delete.plan("c", merge="always"),
    "rename a snapshot": lambda lab: lab.machines["web"].snapshots.rename.plan("c", "sí"),
    "rename the current one": lambda lab: lab.machines["web"].snapshots.rename.plan("d", "e"),
    "full clone": lambda lab: lab.machines["web"].clone.plan("copy", kind="full"),
    "full clone of a snapshot": lambda lab: lab.machines["web"].clone.plan("copy", kind="full", snapshot="b"),
    "full clone with its tree": lambda lab: lab.machines["web"].clone.plan("copy", kind="full", snapshots=True),
    "twin": lambda lab: lab.machines["other"].clone.plan("copy", kind="full", identity="keep"),
    "linked clones": lambda lab: lab.machines["web"].clone.plan("s-{:02}", kind="linked", snapshot="b", count=3),
    "linked clone as it is": lambda lab: lab.machines["web"].clone.plan("copy", kind="linked"),
    "flatten": lambda lab: lab.machines["link"].flatten.plan(),
    "import of a file": lambda lab: lab.disks.import_file.plan(lab.home / "brought.vmdk", "brought"),
    "compact": lambda lab: lab.disks["mine"].compact.plan(),
    "compact a vdi": lambda lab: lab.disks["other.vda"].compact.plan(),
    "delete a disk": lambda lab: lab.disks["free"].delete.plan(),
    "resize": lambda lab: lab.disks["mine"].resize.plan("12 MiB"),
    "resize a vdi": lambda lab: lab.disks["other.vda"].resize.plan("65 MiB"),
    "resize a fixed raw": lambda lab: lab.disks["fixed-raw"].resize.plan("3 MiB"),
    "resize a fixed qcow2": lambda lab: lab.disks["fixed-qcow2"].resize.plan("3 MiB"),
    "resize a fixed vmdk": lambda lab: lab.disks["fixed-vmdk"].resize.plan("3 MiB"),
    **{
        f"create a disk, {allocation} {format}": partial(make_disk, format, allocation)
        for format in Format
        for allocation in Allocation
    },
    **{
        f"convert to {allocation} {format}": partial(convert_disk, format, allocation)
        for format in Format
        for allocation in Allocation
    },
    "describe": lambda lab: lab.machines["web"].snapshots.describe.plan("c", "two\nlines"),
}


@pytest.mark.parametrize("act", ACTS)
def test_commands_typed_by_hand_do_what_the_act_does(grown: tuple[Lab, Twin, Kept], act: str) -> None:
    lab, twin, kept = grown
    twin.put_back(kept)
    twin.compare(lambda: ACTS[act](lab), kept)
