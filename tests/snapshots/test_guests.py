"""Snapshots of real guests with two disks and a counter in RAM."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import NotFound, Refused
from labkit.experiments import verify_restore, witness
from labkit.machine import Machine
from labkit.model.snapshot import SnapshotKind
from labkit.units import MIB
from tests.hashes import hash_data


@pytest.fixture
def vm(lab: Lab) -> Machine:
    """A machine with two disks, off."""
    vm = lab.create("web", memory="96 MiB")
    vm.attach(lab.disks.create("data", capacity="8 MiB"))
    return vm


def _boot(vm: Machine) -> Machine:
    return vm.start().wait_ready()


def _count(vm: Machine, value: int) -> None:
    """Let both disks and the memory hold a value, and the memory the boot id, which is drawn when somebody asks."""
    assert vm.run(
        f"cat /proc/sys/kernel/random/boot_id; echo {value} > /run/counter; echo {value} > /root/counter; "
        f"printf %08d {value} | dd of=/dev/vdb bs=8 conv=notrunc,fsync 2>/dev/null; sync"
    )


def _counts(vm: Machine) -> list[int]:
    """What memory, first disk and second disk hold; the disks are really read."""
    command = "echo 3 > /proc/sys/vm/drop_caches; cat /run/counter /root/counter; head -c 8 /dev/vdb"
    return [int(word.strip(chr(0)) or 0) for word in vm.run(command).stdout.split()]


def _content(vm: Machine) -> dict[str, str]:
    """The hash of what each snapshot's disks hold, asked of qemu-img, by snapshot and disk."""
    hashes = {}
    for name, node in vm.snapshots.tree.nodes.items():
        for disk in node.disks:
            hashes[f"{name}/{disk.name}"] = hash_content(disk.path, disk.format.driver)
    return hashes


def hash_content(path: str, driver: str) -> str:
    """Return the hash of what a guest would read from an image."""
    raw = Path("/tmp") / f"content-{hashlib.sha256(path.encode()).hexdigest()[:12]}"
    try:
        subprocess.run(["qemu-img", "convert", "-U", "-f", driver, "-O", "raw", path, raw], check=True)
        return hash_data(raw)
    finally:
        raw.unlink(missing_ok=True)


def _virsh(vm: Machine, *words: str) -> str:
    command, *rest = words
    argv = ["virsh", "-c", "qemu:///session", command, vm.facts.spec.domain_name, *rest]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def _tree_of_virsh(vm: Machine) -> list[str]:
    return [line.strip(" |+-`") for line in _virsh(vm, "snapshot-list", "--tree").splitlines() if line.strip(" |+-`")]


def _disk_files(vm: Machine) -> set[str]:
    return {path.name for path in (vm.lab.home / "disks").iterdir()}


def test_a_running_machine_goes_on_from_that_instant_any_number_of_times(vm: Machine) -> None:
    vm.snapshots.take("off")
    vm.start(warm=True).wait_ready()
    _count(vm, 1)
    vm.snapshots.take("one", description="at one")
    assert vm.state == "running"
    _count(vm, 2)
    vm.snapshots.take("two")
    _count(vm, 3)
    kinds = [node.kind for node in vm.snapshots.tree.nodes.values()]
    assert kinds == [SnapshotKind.OFF, SnapshotKind.RUNNING, SnapshotKind.RUNNING]
    content = _content(vm)

    for name, value in (("one", 1), ("two", 2), ("one", 1)):  # from running
        before = witness(vm)
        vm.snapshots.restore(name)
        assert _counts(vm) == [value] * 3
        assert verify_restore(before, witness(vm), name)
        _count(vm, 9)
    assert vm.snapshots.current == "one"
    assert _tree_of_virsh(vm) == ["off", "one", "two"]

    vm.snapshots.take("branch")
    vm.pause()  # from paused
    before = witness(vm)
    vm.snapshots.restore("two")
    assert verify_restore(before, witness(vm), "two")
    assert _counts(vm) == [2, 2, 2]
    vm.save()  # from saved
    before = witness(vm)
    vm.snapshots.restore("branch")
    assert verify_restore(before, witness(vm), "branch")
    assert _counts(vm) == [9, 9, 9]
    vm.kill()  # from off
    before = witness(vm)
    vm.snapshots.restore("one")
    assert verify_restore(before, witness(vm), "one")
    assert _counts(vm) == [1, 1, 1]
    vm.snapshots.restore("off")
    assert vm.state == "off"
    assert content.items() <= _content(vm).items()


def test_a_running_snapshot_keeps_the_last_line_on_the_console(vm: Machine) -> None:
    _boot(vm)
    vm.console.expect("root@")  # the shell has come up: nothing more is printed by itself
    vm.run(r"printf '\n1 <2> & \033[1m3\n\n' >/dev/ttyS0")
    vm.snapshots.take("spoken").restore("spoken")
    assert vm.snapshots["spoken"].said == "1 <2> & 3"
    assert "said" not in vm.definition
    vm.snapshots.take("silent")  # its console begins again
    vm.stop()
    vm.snapshots.take("off")
    assert [vm.snapshots[name].said for name in ("silent", "off")] == ["", ""]


def test_a_paused_machine_comes_back_paused(vm: Machine) -> None:
    vm.start(warm=True).wait_ready()
    _count(vm, 4)
    vm.pause()
    vm.snapshots.take("still")
    assert (vm.state, vm.snapshots["still"].kind) == ("paused", SnapshotKind.PAUSED)
    vm.kill()
    before = witness(vm)
    vm.snapshots.restore("still")
    assert vm.state == "paused"
    verdict = verify_restore(before, witness(vm), "still")
    assert verdict.running_state_restored is None  # it was resumed; from which memory, a paused guest cannot say
    assert "? cannot tell: The running state is the snapshot's." in repr(verdict)
    assert not verdict
    assert _counts(vm.resume()) == [4, 4, 4]


def test_without_running_it_is_left_saved_and_goes_on_when_started(vm: Machine) -> None:
    vm.start(warm=True).wait_ready()
    _count(vm, 5)
    vm.snapshots.take("five")
    _count(vm, 6)
    before = witness(vm)
    vm.snapshots.restore("five", run=False)
    assert vm.state == "saved"
    assert verify_restore(before, witness(vm), "five").running_state_restored is None
    assert _counts(_boot(vm)) == [5, 5, 5]
    assert verify_restore(before, witness(vm), "five")


def test_a_boot_is_no_running_state_that_came_back(vm: Machine) -> None:
    vm.start(warm=True).wait_ready()
    _count(vm, 5)
    vm.snapshots.take("five")
    before = witness(vm)
    assert before.booted_in == {"five"}
    assert before.process is not None
    assert before.process.is_resumed
    assert verify_restore(before, witness(vm), "five").running_state_restored is False  # the guest of before goes on
    vm.snapshots.restore("five", memory=False)
    _boot(vm)
    after = witness(vm)
    assert after.booted_in == frozenset()
    assert after.process is not None
    assert not after.process.is_resumed
    verdict = verify_restore(before, after, "five")
    assert verdict.running_state_restored is False
    assert verdict.discarded_images_gone
    assert "✗ The running state is the snapshot's." in repr(verdict)


def test_where_nothing_proves_the_running_state_it_cannot_be_told(vm: Machine) -> None:
    """The boot id was drawn after the snapshot: the restored guest draws one again, which may be the same."""
    vm.start(warm=True).wait_ready()
    vm.snapshots.take("unasked")
    before = witness(vm)
    vm.snapshots.restore("unasked")
    assert verify_restore(before, witness(vm), "unasked").running_state_restored is None


def test_disks_alone_come_back_off(vm: Machine) -> None:
    vm.start(warm=True).wait_ready()
    _count(vm, 5)
    vm.snapshots.take("five")
    _count(vm, 6)
    vm.snapshots.restore("five", memory=False)
    assert vm.state == "off"
    _boot(vm)
    assert vm.run("cat /root/counter").stdout.strip() == "5"
    assert not vm.run("cat /run/counter")


def test_memory_size_and_disks_come_back_with_a_running_snapshot(vm: Machine) -> None:
    lab = vm.lab
    vm.start(warm=True).wait_ready()
    _count(vm, 7)
    vm.snapshots.take("seven")
    vm.kill()
    vm.configure(memory="160 MiB")
    vm.detach("data")
    vm.attach(lab.disks.create("new", capacity="4 MiB"))
    _boot(vm)
    assert vm.run("printf new-disk | dd of=/dev/vdb conv=notrunc,fsync 2>/dev/null")

    before = witness(vm)
    plan = vm.snapshots.restore.plan("seven")
    assert "new was attached since: it is detached, and stays whole." in plan.notes
    assert "data comes back as it was; what it became since stays as data-2." in plan.notes
    lab.carry_out(plan)
    assert verify_restore(before, witness(vm), "seven")
    assert vm.memory == 96 * MIB
    assert _counts(vm) == [7, 7, 7]
    assert {name: disk.machine for name, disk in lab.disks.items()} == {
        "data": "web",
        "data-2": None,
        "new": None,
        "web.vda": "web",
    }
    vm.detach("data")
    vm.attach("new")
    assert vm.run("until [ -b /dev/vdb ]; do sleep 0.05; done; head -c 8 /dev/vdb").stdout == "new-disk"


def test_what_was_configured_while_it_ran_is_waiting_again_after_the_restore(vm: Machine) -> None:
    vm.start(warm=True).wait_ready()
    vm.configure(memory="160 MiB")
    vm.snapshots.take("waiting")
    vm.snapshots.restore("waiting")
    assert vm.memory == 160 * MIB
    assert vm.facts.waits_for_restart


def test_with_a_vdi_layer_only_the_disks_are_kept_and_the_plan_says_so(lab: Lab, vm: Machine) -> None:
    vm.detach("data")
    vm.attach(lab.disks.create("old", capacity="8 MiB", format="vdi"))
    _boot(vm)
    _count(vm, 3)
    plan = vm.snapshots.take.plan("disks")
    assert "Convert the disk to qcow2" in plan.notes[0]
    lab.carry_out(plan)
    assert vm.snapshots["disks"].kind is SnapshotKind.DISK_ONLY
    _count(vm, 4)
    before = witness(vm)
    vm.snapshots.restore("disks")
    assert verify_restore(before, witness(vm), "disks")
    _boot(vm)
    assert _counts(vm)[-2:] == [3, 3]


def test_the_current_state_can_be_saved_first_and_without_that_the_loss_is_told(vm: Machine) -> None:
    vm.start(warm=True).wait_ready()
    _count(vm, 1)
    vm.snapshots.take("one")
    _count(vm, 2)
    assert "since one is discarded" in vm.snapshots.restore.plan("one").notes[-1]
    vm.snapshots.restore("one", save_current="two")
    assert _counts(vm) == [1, 1, 1]
    assert vm.snapshots.tree.children("one") == ("two",)
    vm.snapshots.restore("two")
    assert _counts(vm) == [2, 2, 2]


def test_snapshots_are_named_by_themselves_renamed_and_described(vm: Machine) -> None:
    vm.snapshots.take().take()
    assert list(vm.snapshots) == ["snapshot-1", "snapshot-2"]
    vm.snapshots.rename("snapshot-1", "begin")
    vm.snapshots.describe("begin", "what was there <first>")
    assert vm.snapshots["begin"].description == "what was there <first>"
    assert (vm.snapshots["snapshot-2"].parent, vm.snapshots.current) == ("begin", "snapshot-2")
    assert _tree_of_virsh(vm) == ["begin", "snapshot-2"]
    with pytest.raises(NotFound, match="no snapshot 'snapshot-1'"):
        _ = vm.snapshots["snapshot-1"]


def test_hostile_names_are_names(vm: Machine) -> None:
    for name in ("a b", "ñandú", "--help", "../../etc", "<x>&amp;", "'\"$(id)"):
        try:
            vm.snapshots.take(name)
        except ValueError:
            continue  # not a name at all
        assert name in vm.snapshots
        vm.snapshots.restore(name)
        vm.snapshots.delete(name)
    assert len(vm.snapshots) == 0


@pytest.mark.parametrize("running", [False, True], ids=["off", "running"])
def test_any_snapshot_can_be_deleted_and_every_other_state_stays(vm: Machine, running: bool) -> None:
    """A root, an inner one with two children, the current one at the end: each is deleted in turn."""
    vm.start(warm=True).wait_ready()
    _count(vm, 1)
    vm.snapshots.take("root")
    _count(vm, 2)
    vm.snapshots.take("inner")
    _count(vm, 3)
    vm.snapshots.take("right")
    vm.snapshots.restore("inner")
    _count(vm, 4)
    vm.snapshots.take("left")
    _count(vm, 5)
    vm.snapshots.take("current")
    _count(vm, 6)
    if not running:
        vm.kill()
    for name in ("left", "inner", "root", "right", "current"):
        content = {key: value for key, value in _content(vm).items() if not key.startswith(f"{name}/")}
        plan = vm.snapshots.delete.plan(name)
        vm.lab.carry_out(plan)
        assert _content(vm) == content, name
        assert set(_tree_of_virsh(vm)) == set(vm.snapshots)
        assert not [path for path in plan.files.deleted if Path(path).exists()]
    assert len(vm.snapshots) == 0
    if running:
        assert _counts(vm) == [6, 6, 6]
        vm.kill()
    _boot(vm)
    assert _counts(vm)[-2:] == [6, 6]
    assert list((vm.lab.home / "memory").iterdir()) == []
    assert vm.lab.state.strays == ()


@pytest.mark.parametrize("running", [False, True], ids=["off", "running"])
def test_the_current_branch_can_be_deleted(vm: Machine, running: bool) -> None:
    vm.snapshots.take("root")
    vm.start(warm=True).wait_ready()
    _count(vm, 1)
    vm.snapshots.take("a")
    _count(vm, 2)
    vm.snapshots.take("b")
    _count(vm, 3)
    if not running:
        vm.kill()
    content = {key: value for key, value in _content(vm).items() if key.startswith("root/")}
    vm.snapshots.delete("a", branch=True)
    assert list(vm.snapshots) == ["root"]
    assert vm.snapshots.current == "root"
    assert _content(vm) == content
    if not running:
        _boot(vm)
    assert _counts(vm)[-2:] == [3, 3]


def test_a_saved_machine_goes_on_after_a_snapshot_of_it_was_deleted(vm: Machine) -> None:
    vm.snapshots.take("root")
    vm.start(warm=True).wait_ready()
    _count(vm, 1)
    vm.snapshots.take("one")
    _count(vm, 2)
    vm.save()
    vm.snapshots.delete("one")
    assert _counts(_boot(vm)) == [2, 2, 2]


def test_a_guest_that_took_snapshots_while_running_boots_after_a_merge(vm: Machine) -> None:
    vm.snapshots.take("root")
    vm.start(warm=True).wait_ready()
    _count(vm, 1)
    vm.snapshots.take("one")
    vm.snapshots.take("two")
    vm.kill()
    vm.snapshots.delete("one")
    vm.snapshots.delete("two")
    _boot(vm)
    assert _counts(vm)[-2:] == [1, 1]


def test_backing_names_are_relative_after_a_live_merge(vm: Machine) -> None:
    vm.snapshots.take("root")
    vm.start(warm=True).wait_ready()
    vm.snapshots.take("one")
    vm.snapshots.delete("one")
    vm.kill()
    for path in (disk.path for disk in vm.facts.spec.disks):
        told = subprocess.run(["qemu-img", "info", path], check=True, capture_output=True, text=True).stdout
        assert "\nbacking file: /" not in told


def test_a_snapshot_taken_with_virsh_is_in_the_tree_and_can_be_worked_with(vm: Machine) -> None:
    vm.snapshots.take("ours")
    _virsh(vm, "snapshot-create-as", "theirs", "--disk-only")
    assert (vm.snapshots["theirs"].parent, vm.snapshots.current) == ("ours", "theirs")
    vm.start(warm=True).wait_ready()
    _count(vm, 8)
    vm.snapshots.take("eight")
    vm.snapshots.restore("theirs")
    vm.snapshots.restore("eight")
    assert _counts(vm) == [8, 8, 8]
    vm.snapshots.restore("ours")
    vm.snapshots.delete("ours", branch=True)


def test_an_internal_snapshot_is_refused_and_virsh_named_as_the_way_out(vm: Machine) -> None:
    _virsh(vm, "snapshot-create-as", "inside")
    assert "taken inside its image file" in (vm.snapshots["inside"].excuse or "")
    for plan in (vm.snapshots.take.plan("x"), vm.snapshots.restore.plan("inside")):
        assert plan.refusal is not None
        assert "inside is not a snapshot of labkit's kind" in plan.refusal.why
        assert "virsh snapshot-delete" in plan.refusal.hint
    _virsh(vm, "snapshot-delete", "inside")
    vm.snapshots.take("x")


def test_a_memory_file_or_image_that_is_gone_is_named(vm: Machine) -> None:
    vm.start(warm=True).wait_ready()
    vm.snapshots.take("one")
    memory = Path(vm.snapshots["one"].memory or "")
    memory.unlink()
    with pytest.raises(Refused, match=memory.name):
        vm.snapshots.restore("one")
    vm.snapshots.restore("one", memory=False)
    assert vm.state == "off"
    image = Path(vm.snapshots["one"].disks[1].path)
    aside = image.rename(image.with_suffix(".aside"))
    with pytest.raises(Refused, match=image.name):
        vm.snapshots.restore("one", memory=False)
    aside.rename(image)


def test_deleting_the_machine_leaves_nothing_of_its_snapshots(vm: Machine) -> None:
    vm.snapshots.take("off")
    vm.start(warm=True).wait_ready()
    vm.snapshots.take("on")
    vm.kill()
    vm.detach("data")
    vm.delete()
    assert {path.split(".")[0] for path in _names_in(vm.lab.home / "disks")} == {"data"}
    assert _names_in(vm.lab.home / "memory") == []
    vm.lab.clean()
    assert _names_in(vm.lab.home / "disks") == []


def _names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_free_disk_whose_layers_a_snapshot_keeps_is_deleted_without_them(vm: Machine) -> None:
    vm.snapshots.take("s")
    content = _content(vm)
    vm.detach("data")
    vm.lab.disks["data"].delete()
    assert _content(vm) == content
    vm.snapshots.restore("s")
    assert vm.lab.disks["data"].machine == "web"


def test_the_graph_has_the_facts_of_each_snapshot(vm: Machine) -> None:
    vm.snapshots.take("a").take("b").restore("a").take("c")
    graph = vm.snapshots.graph()
    assert set(graph.edges) == {("a", "b"), ("a", "c")}
    assert graph.graph["current"] == "c"
    assert graph.nodes["a"]["snapshot"] == vm.snapshots["a"]
