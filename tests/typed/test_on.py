"""Guests that run: the commands of acts on them, typed by hand, do what the act does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from labkit import Lab
from labkit.plans.plan import Plan
from labkit.snapshots import Snapshots
from labkit.units import MIB
from tests.typed.twin import Kept, Twin

Make = Callable[[Lab], Plan]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Twin, Kept]]:
    """A guest that ran, with snapshots of its memory: base, after it two; a linked clone, a free disk. All is off."""
    with Lab.open("typed-on") as lab:
        lab.clean()
        vm = lab.create("web")
        vm.attach(lab.disks.create("notes", capacity=8 * MIB, format="raw"))
        vm.start(warm=True).wait_ready()
        vm.snapshots.take("base")
        vm.run("echo one > /one; sync")
        vm.pause()
        vm.snapshots.take("two")
        vm.kill()
        lab.create("origin").clone("link", kind="linked")
        lab.disks.create("free", capacity=4 * MIB)
        twin = Twin(lab, tmp_path_factory.mktemp("typed"))
        yield lab, twin, twin.keep()
        lab.clean()


def snapshots(lab: Lab) -> Snapshots:
    """The machine's."""
    return lab.machines["web"].snapshots


PAUSED: dict[str, Make] = {
    "take": lambda lab: snapshots(lab).take.plan("three"),
    "restore": lambda lab: snapshots(lab).restore.plan("two"),
    "restore and save": lambda lab: snapshots(lab).restore.plan("two", save_current="three"),
    "restore and leave saved": lambda lab: snapshots(lab).restore.plan("two", run=False),
    "restore the disks alone": lambda lab: snapshots(lab).restore.plan("base", memory=False),
    "merge": lambda lab: snapshots(lab).delete.plan("two"),
    "delete the root": lambda lab: snapshots(lab).delete.plan("base"),
    "attach": lambda lab: lab.machines["web"].attach.plan("free"),
    "resize": lambda lab: lab.disks["notes"].resize.plan("12 MiB"),
    "configure": lambda lab: lab.machines["web"].configure.plan(memory="256 MiB"),
    "full clone": lambda lab: lab.machines["web"].clone.plan("copy", kind="full"),
    "full clone with its tree": lambda lab: lab.machines["web"].clone.plan("copy", kind="full", snapshots=True),
    "linked clone": lambda lab: lab.machines["web"].clone.plan("copy", kind="linked"),
    "replace": lambda lab: lab.create.plan("web", if_exists="replace"),
    "clean": lambda lab: lab.clean.plan(),
}


@pytest.mark.parametrize("act", PAUSED)
def test_commands_typed_by_hand_do_what_the_act_does(grown: tuple[Lab, Twin, Kept], act: str) -> None:
    """The guest is paused, so that it writes nothing by itself."""
    lab, twin, kept = grown

    def begin() -> None:
        twin.put_back(kept)
        snapshots(lab).restore("two")

    begin()
    twin.compare(lambda: PAUSED[act](lab), begin)


RUNNING: dict[str, Make] = {
    "take": PAUSED["take"],
    "restore": lambda lab: snapshots(lab).restore.plan("base"),
    "detach": lambda lab: lab.machines["web"].detach.plan("notes"),
    "linked clone of a moment its agent has made ready": PAUSED["linked clone"],
    "full clone of a moment its agent has made ready": PAUSED["full clone"],
}


@pytest.mark.parametrize("act", RUNNING)
def test_commands_typed_while_a_guest_runs_leave_the_same_but_for_what_it_writes(
    grown: tuple[Lab, Twin, Kept], act: str
) -> None:
    lab, twin, kept = grown

    def begin() -> None:
        twin.put_back(kept)
        snapshots(lab).restore("two")
        lab.machines["web"].resume().wait_ready()

    begin()
    twin.compare(lambda: RUNNING[act](lab), begin, contents=False)


def test_clone_flattened_by_hand_while_it_is_on_holds_the_same(grown: tuple[Lab, Twin, Kept]) -> None:
    lab, twin, kept = grown

    def begin() -> None:
        twin.put_back(kept)
        twin.start_paused("link")

    begin()
    twin.compare(lab.machines["link"].flatten.plan, begin)


def test_saved_guest_is_restored_by_hand(grown: tuple[Lab, Twin, Kept]) -> None:
    lab, twin, kept = grown

    def begin() -> None:
        twin.put_back(kept)
        snapshots(lab).restore("two", run=False)

    begin()
    plan = twin.compare(lambda: snapshots(lab).restore.plan("base", memory=False), begin)
    assert "virsh managedsave-remove typed-on.web" in plan.commands


def test_snapshot_of_a_running_guest_taken_by_hand_can_be_restored(grown: tuple[Lab, Twin, Kept]) -> None:
    lab, twin, kept = grown
    twin.put_back(kept)
    snapshots(lab).restore("two")
    vm = lab.machines["web"].resume().wait_ready()
    boot = vm.run("cat /proc/sys/kernel/random/boot_id; echo by hand | tee /note").stdout
    twin.type(snapshots(lab).take.plan("three"))
    vm.run("rm /note")
    snapshots(lab).restore("three")
    assert vm.wait_ready().run("cat /proc/sys/kernel/random/boot_id /note").stdout == boot
