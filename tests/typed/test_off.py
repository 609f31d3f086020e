"""Machines that are off: every act's commands, typed by hand in the lab's folder, do what the act does."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from labkit import Lab
from labkit.engine.journal import dump_plan, load_plan
from labkit.errors import BadInput, Refused
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
        early = lab.create("early")
        early.snapshots.take("s")
        early.rename("late")
        lab.create("pinned").pin(0)
        lab.create("origin").clone("link", kind="linked")
        write(lab, 8, "link")
        other.attach(lab.disks.create("flat", capacity=2 * MIB, format="vmdk", allocation="fixed"))
        write(lab, 9, "other")
        for machine in (vm, other):
            machine.export(lab.home / f"{machine.name}.labkit")
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
    "create with an empty message": lambda lab: lab.create.plan("new", image="sector", message=""),
    "create fixed": lambda lab: lab.create.plan("new", disk_format="vdi", allocation="fixed"),
    "create again": lambda lab: lab.create.plan("web", if_exists="replace"),
    "rename": lambda lab: lab.machines["other"].rename.plan("más"),
    "configure": lambda lab: lab.machines["web"].configure.plan(memory="256 MiB", vcpus=3),
    "configure a pinned one": lambda lab: lab.machines["pinned"].configure.plan(vcpus=3),
    "configure less": lambda lab: lab.machines["other"].configure.plan(vcpus=1, memory="96 MiB"),
    "configure the CPU": lambda lab: lab.machines["other"].configure.plan(vcpus=1, cpu_model="max"),
    "delete": lambda lab: lab.machines["web"].delete.plan(),
    "attach": lambda lab: lab.machines["web"].attach.plan("free"),
    "detach": lambda lab: lab.machines["other"].detach.plan("mine"),
    "take": lambda lab: lab.machines["web"].snapshots.take.plan("e"),
    "take described": lambda lab: lab.machines["web"].snapshots.take.plan("e", description="-it's\n$HOME"),
    "restore": lambda lab: lab.machines["web"].snapshots.restore.plan("b"),
    "restore what has another name now": lambda lab: lab.machines["late"].snapshots.restore.plan("s"),
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
    "import": lambda lab: lab.import_machine.plan(lab.home / "other.labkit", "moved", identity="new"),
    "import with a tree": lambda lab: lab.import_machine.plan(lab.home / "web.labkit", "moved", identity="new"),
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
    twin.compare(lambda: ACTS[act](lab), lambda: twin.put_back(kept))


def test_lab_goes_on_from_what_was_typed(grown: tuple[Lab, Twin, Kept]) -> None:
    lab, twin, kept = grown
    twin.put_back(kept)
    vm = lab.machines["web"]
    twin.type(vm.snapshots.take.plan("e"))
    twin.type(vm.snapshots.restore.plan("b"))
    assert vm.snapshots.why_not_start() is None
    assert vm.snapshots.restore("e").current == "e"


def test_merge_that_was_typed_is_accepted_as_it_says(grown: tuple[Lab, Twin, Kept]) -> None:
    lab, twin, kept = grown
    twin.put_back(kept)
    vm = lab.machines["web"]
    plan = vm.snapshots.delete.plan("c")
    assert any(line.startswith("# labkit: ") and "accept_changes()" in line for line in plan.commands)
    twin.type(plan)
    assert vm.snapshots.why_not_start() is not None
    assert vm.snapshots.accept_changes().why_not_start() is None


FORGOTTEN: dict[str, Make] = {
    "adopt as a snapshot": lambda lab: lab.orphans["log.1.qcow2"].adopt_as_snapshot.plan(),
    "adopt as a disk": lambda lab: lab.orphans["log.1.qcow2"].adopt.plan(),
    "discard": lambda lab: lab.orphans.discard.plan(),
}


@pytest.mark.parametrize("act", FORGOTTEN)
def test_commands_about_a_forgotten_snapshot_do_what_the_act_does(grown: tuple[Lab, Twin, Kept], act: str) -> None:
    lab, twin, kept = grown

    def begin() -> None:
        twin.put_back(kept)
        argv = ["virsh", "snapshot-delete", "typed.web", "b", "--metadata"]
        subprocess.run(argv, check=True, capture_output=True)
        lab.session.executor.recorder.note_if_changed(lab.state)  # as the next act does

    begin()
    twin.compare(lambda: FORGOTTEN[act](lab), begin)


def test_lab_is_cleaned_by_hand_also_of_a_disk_that_is_served(grown: tuple[Lab, Twin, Kept]) -> None:
    lab, twin, kept = grown

    def begin() -> None:
        twin.put_back(kept)
        lab.disks["free"].serve()

    begin()
    twin.compare(lab.clean.plan, begin)


def test_image_that_was_lost_is_brought_back_by_hand(grown: tuple[Lab, Twin, Kept]) -> None:
    lab, twin, kept = grown
    twin.put_back(kept)
    vm = lab.machines["link"]
    lost = vm.lab.disks["link.vda"].layers[-1].path
    copy = lab.home.parent / "elsewhere.qcow2"
    shutil.copy(lost, copy)

    def begin() -> None:
        twin.put_back(kept)
        Path(lost).unlink()

    begin()
    twin.compare(lambda: vm.relink.plan("vda", copy), begin)


def test_plan_that_no_act_has_made_writes_nothing(grown: tuple[Lab, Twin, Kept], tmp_path: Path) -> None:
    lab, twin, kept = grown
    twin.put_back(kept)
    plan = lab.machines["web"].snapshots.restore.plan("b")
    with pytest.raises(BadInput, match="knows no lab"):
        load_plan(dump_plan(plan)).write(tmp_path)
    assert plan.write(tmp_path) == ("typed.web@b.xml",)
    assert "plan.write(folder)" in repr(plan)


def test_refused_plan_has_nothing_to_write(grown: tuple[Lab, Twin, Kept], tmp_path: Path) -> None:
    lab, twin, kept = grown
    twin.put_back(kept)
    with pytest.raises(Refused):
        lab.machines["origin"].delete.plan().write(tmp_path)


def test_archive_is_labkits_own_and_says_why(grown: tuple[Lab, Twin, Kept], tmp_path: Path) -> None:
    lab, twin, kept = grown
    twin.put_back(kept)
    (line,) = lab.machines["other"].export.plan(tmp_path / "other.labkit").commands
    assert line.startswith("# labkit: packs ")
    assert "hashes" in line
