"""virsh forgets, renames and adds things behind labkit's back: no act of another machine deletes anything for that."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit import Lab
from labkit.engine.seals import find_seals
from labkit.errors import LabError, NotFound, Refused
from labkit.machine import Machine
from labkit.model.disk import image_number
from labkit.model.image import Format
from labkit.model.losses import LossKind, find_losses
from labkit.plans.naming import next_image_path
from tests.beside.hands import active_path, contents, files_of, make_machine, virsh, write
from tests.snapshots.test_guests import hash_content


@pytest.fixture
def vm(lab: Lab) -> Machine:
    """A machine with the snapshots left → right, beside another one."""
    make_machine(lab, "other", "one", "two")
    return make_machine(lab, "web", "left", "right")


def _forget_one(vm: Machine) -> None:
    virsh("snapshot-delete", vm.facts.spec.domain_name, "right", "--metadata")


def _forget_all(vm: Machine) -> None:
    for name in ("right", "left"):
        virsh("snapshot-delete", vm.facts.spec.domain_name, name, "--metadata")


def _undefine(vm: Machine) -> None:
    virsh("undefine", vm.facts.spec.domain_name, "--snapshots-metadata")


def _unmark(vm: Machine) -> None:
    virsh("metadata", vm.facts.spec.domain_name, "--uri", "urn:labkit:machine:1", "--remove", "--config")


BEHIND: dict[str, Callable[[Machine], None]] = {
    "snapshot-delete --metadata": _forget_one,
    "snapshot-delete --metadata of all": _forget_all,
    "undefine --snapshots-metadata": _undefine,
    "metadata --remove": _unmark,
}


def _clone_and_delete(lab: Lab) -> None:
    lab.machines["other"].clone("copy", kind="linked", snapshot="one")
    lab.machines["copy"].flatten().delete()


UNRELATED: dict[str, Callable[[Lab], object]] = {
    "restore": lambda lab: lab.machines["other"].snapshots.restore("one"),
    "delete of a snapshot": lambda lab: lab.machines["other"].snapshots.delete("one"),
    "delete of a branch": lambda lab: lab.machines["other"].snapshots.delete("one", branch=True),
    "delete of the machine": lambda lab: lab.machines["other"].delete(),
    "create": lambda lab: lab.create("third", image="sector", memory="16 MiB"),
    "clone, flatten, delete": _clone_and_delete,
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("unrelated", UNRELATED)
def test_an_act_of_another_machine_deletes_nothing_of_what_virsh_forgot(
    vm: Machine, behind: str, unrelated: str
) -> None:
    lab = vm.lab
    BEHIND[behind](vm)
    before = {name: digest for name, digest in files_of(lab).items() if name.startswith("web.")}
    UNRELATED[unrelated](lab)
    after = files_of(lab)
    assert {name: after.get(name) for name in before} == before


def test_what_virsh_forgot_of_a_machine_outlives_acts_of_that_machine_and_can_be_brought_back(vm: Machine) -> None:
    lab, before = vm.lab, contents(vm)
    forgotten = Path(vm.snapshots["right"].disks[0].path)
    vm.snapshots.restore("left")  # "right" is a branch of its own now
    _forget_one(vm)
    assert list(lab.orphans) == [forgotten.name]
    assert "It is the snapshot right of web" in repr(lab.orphans)
    vm.snapshots.take("new")
    vm.snapshots.restore("left")
    vm.snapshots.delete("new")
    assert list(lab.orphans) == [forgotten.name]
    disk = lab.orphans[forgotten.name].adopt("found")
    assert disk.machine is None
    assert not lab.orphans
    vm.attach(disk)
    vm.detach("found")
    lab.disks["found"].convert("alone", format="raw")
    assert hash_content(lab.disks["alone"].facts.active.path, "raw") == before["right"]
    lab.disks["found"].delete()
    assert list(lab.orphans) == [forgotten.name]
    lab.orphans[forgotten.name].discard()
    assert not forgotten.exists()
    assert contents(vm)["left"] == before["left"]


def test_a_snapshot_that_virsh_forgot_is_known_from_the_record_and_comes_back_as_it_was(vm: Machine) -> None:
    lab, before, tree = vm.lab, contents(vm), vm.snapshots.tree
    vm.snapshots.restore("left")
    forgotten = Path(tree["right"].disks[0].path)
    _forget_one(vm)
    assert "It is the snapshot right of web" in lab.orphans[forgotten.name].facts.why  # at once
    lab.machines["other"].snapshots.take("three")  # whoever acts next writes down what has vanished
    assert "It is the snapshot right of web" in lab.orphans[forgotten.name].facts.why
    vm.snapshots.take("right")
    with pytest.raises(Refused, match="already"):
        lab.orphans[forgotten.name].adopt_as_snapshot()
    vm.snapshots.rename("right", "other")
    assert lab.orphans[forgotten.name].adopt_as_snapshot().name == "web"
    assert not lab.orphans
    assert vm.snapshots.tree["right"].parent == "left"
    vm.snapshots.restore("right")
    assert contents(vm)["now"] == before["right"]
    with pytest.raises(NotFound):
        lab.orphans[forgotten.name].adopt_as_snapshot()


def test_an_orphan_of_which_no_snapshot_is_known_is_no_snapshot(lab: Lab) -> None:
    stray = lab.home / "disks" / "notes.txt"
    stray.write_text("mine")
    with pytest.raises(Refused, match="knows no snapshot"):
        lab.orphans["notes.txt"].adopt_as_snapshot()


def test_a_folder_among_the_images_is_discarded_only_when_it_is_empty(lab: Lab) -> None:
    full, empty = (lab.home / "disks" / name for name in ("full", "empty"))
    empty.mkdir()
    full.mkdir()
    (full / "thesis.txt").write_text("three years")
    outcome = lab.carry_out(lab.orphans.discard.plan())
    assert outcome.spared == (str(full),)
    assert "Move them out" in outcome.remarks[0]
    assert (full / "thesis.txt").read_text() == "three years"
    assert not empty.exists()
    (full / "thesis.txt").unlink()
    lab.orphans["full"].discard()
    assert not lab.orphans


def test_a_machine_is_deleted_and_what_an_orphan_stands_on_stays(vm: Machine) -> None:
    lab = vm.lab
    vm.snapshots.restore("left")
    _forget_one(vm)
    (orphan,) = lab.orphans
    kept = lab.home / "disks" / orphan
    below = Path(lab.state.images[str(kept)].backing or "")
    vm.delete()
    assert kept.exists()
    assert below.exists()
    assert [layer.path for layer in lab.disks["web.vda"].layers][:2] == [str(kept), str(below)]  # whole, and free
    lab.disks["web.vda"].delete()
    assert not [name for name in files_of(lab) if name.startswith("web.")]


def test_the_disk_of_a_guest_whose_mark_was_removed_is_no_free_disk(lab: Lab) -> None:
    vm = make_machine(lab, "web", "left")
    name, domain = active_path(vm), vm.facts.spec.domain_name
    vm.start()
    virsh("metadata", domain, "--uri", "urn:labkit:machine:1", "--remove", "--config", "--live")
    try:
        assert "web" not in lab.machines
        assert "web.vda" not in lab.disks
        with pytest.raises(NotFound):
            lab.disks["web.vda"].delete()
        make_machine(lab, "other", "one").delete()
        assert name.exists()
        assert not lab.orphans
        assert "not of this lab need them" in repr(lab.clean.plan())
        lab.clean()
        assert name.exists()
    finally:
        virsh("destroy", domain)
        virsh("undefine", domain, "--snapshots-metadata")
    assert name.name in lab.orphans  # the record knows whose it is
    lab.clean()
    assert not name.exists()


def test_a_layer_that_virsh_put_between_ours_keeps_what_it_stands_on(vm: Machine) -> None:
    lab, domain = vm.lab, vm.facts.spec.domain_name
    foreign = lab.home / "disks" / "web.byhand"
    virsh("snapshot-create-as", domain, "byhand", "--disk-only", "--diskspec", f"vda,file={foreign}")
    write_foreign(foreign)
    vm.snapshots.take("after")
    before = contents(vm)
    virsh("snapshot-delete", domain, "byhand", "--metadata")
    state = lab.state
    assert str(foreign) in state.alive
    lab.machines["other"].snapshots.restore("one")
    make_machine(lab, "third", "x").delete()
    assert contents(vm).items() - before.items() == {("after", before["byhand"])}  # libvirt lets it name another image
    with pytest.raises(Refused, match="after is not what was taken"):
        vm.snapshots.restore("after")
    lab.orphans[foreign.name].adopt_as_snapshot("again")
    vm.snapshots.delete("after")
    vm.snapshots.restore("again")
    assert contents(vm)["again"] == before["after"]
    vm.start().kill()
    vm.delete()
    assert not foreign.exists()


def write_foreign(path: Path) -> None:
    """Write into an image that is not named as ours."""
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 77 8192 512", str(path)], check=True, capture_output=True)


def test_a_layer_of_others_outside_of_the_folder_keeps_ours(vm: Machine, tmp_path: Path) -> None:
    """A domain of somebody else stands on an image of ours by way of a file of its own."""
    lab = vm.lab
    base = Path(vm.snapshots["left"].disks[0].path)
    overlay = tmp_path / "mine.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", base.suffix[1:], str(overlay)], check=True
    )
    mine, xml = f"{vm.facts.spec.domain_name}-mine", tmp_path / "mine.xml"
    xml.write_text(
        f"<domain type='qemu'><name>{mine}</name><memory>8192</memory>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>"
        f"<disk type='file'><driver name='qemu' type='qcow2'/><source file='{overlay}'/><target dev='vda'/></disk>"
        "</devices></domain>"
    )
    virsh("define", str(xml))
    try:
        plan = vm.snapshots.delete.plan("left", branch=True)
        assert str(base) not in plan.files.deleted
        vm.snapshots.delete("left", branch=True)
        vm.delete()
        assert base.exists()
    finally:
        virsh("undefine", mine)
    assert lab.disks["web.vda"].facts.active.path == str(base)


def test_names_of_files_that_only_virsh_remembers_are_not_given_again(vm: Machine) -> None:
    lab = vm.lab
    right = vm.snapshots["right"].disks[0].path
    vm.snapshots.restore("left")
    lost = active_path(vm)
    state = lab.state
    kept = Path(right).read_bytes()
    Path(right).chmod(0o644)
    Path(right).unlink()  # gone, but the snapshot names it
    vm.snapshots.take("new")
    vm.snapshots.restore("left")
    assert right not in {disk.path for disk in vm.facts.spec.disks}
    assert right not in {node.disks[0].path for name, node in vm.snapshots.items() if name != "right"}
    assert str(lost) in state.images
    Path(right).write_bytes(kept)


def test_a_name_that_only_a_seal_remembers_is_not_given_again(vm: Machine) -> None:
    """A backup of the image may come back, and would be taken for the new one: its file and the record are gone."""
    lab, right = vm.lab, Path(vm.snapshots["right"].disks[0].path)
    vm.snapshots.restore("left")
    _forget_one(vm)
    gone = active_path(vm)
    vm.snapshots.restore("left")
    assert not gone.exists()
    number = image_number(str(active_path(vm)))
    for path in (right, lab.home / "record.json"):
        path.unlink()
    assert right.name in find_seals(lab.home / "disks")
    virsh("undefine", vm.facts.spec.domain_name, "--snapshots-metadata")
    for left in (lab.home / "disks").glob("web.vda.[1-9]*"):
        left.unlink()
    assert image_number(next_image_path(lab.state, "web.vda", Format.QCOW2)) == image_number(str(right)) + 1 < number


def test_an_orphan_that_is_no_image_is_told_and_only_discarded(lab: Lab) -> None:
    stray = lab.home / "disks" / "notes.txt"
    stray.write_text("mine")
    memory = lab.home / "memory" / "web.7.mem"
    memory.write_bytes(b"x")
    half = lab.home / "disks" / ".making-0123456789abcdef"
    half.mkdir()
    (half / "web.vda.0.qcow2").touch()
    assert list(lab.orphans) == [half.name, "memory/web.7.mem", "notes.txt"]
    lab.orphans[half.name].discard()
    assert not half.exists()
    with pytest.raises(Refused, match="not a disk image"):
        lab.orphans["notes.txt"].adopt("notes")
    with pytest.raises(LabError):
        lab.orphans["none"].discard()
    vm = make_machine(lab, "web", "a")
    write(active_path(vm), 0, "x")
    vm.delete()
    assert stray.exists()
    lab.orphans["notes.txt"].discard()
    assert not stray.exists()
    assert memory.exists()
    assert "nobody needs goes too: web.7.mem" in repr(lab.clean.plan())


def test_clean_deletes_what_orphans_stand_on_too(vm: Machine) -> None:
    vm.snapshots.restore("left")
    _forget_one(vm)
    (orphan,) = vm.lab.orphans
    assert vm.lab.state.images[str(vm.lab.home / "disks" / orphan)].backing
    vm.lab.clean()
    assert not files_of(vm.lab)


def test_after_a_clean_no_record_put_aside_claims_the_names_of_new_images(vm: Machine, tmp_path: Path) -> None:
    lab = vm.lab
    vm.attach(lab.disks.create("data", capacity="1 MiB"))
    frozen = lab.machines["other"].snapshots["two"].disks[0].path
    _give(vm, frozen, tmp_path)
    with Lab.open(lab.name) as again:
        assert "is frozen in the folder" in again.recovered[0]
        assert again.orphans
    lab.clean()
    lab.disks.create("data", capacity="1 MiB")
    assert not lab.orphans
    assert list(lab.disks) == ["data"]


def test_an_image_that_virsh_has_given_to_two_machines_is_frozen_under_neither(vm: Machine, tmp_path: Path) -> None:
    other = vm.lab.machines["other"]
    _give(other, str(active_path(vm)), tmp_path)
    for one, another in ((vm, other), (other, vm)):
        with pytest.raises(Refused, match="Another program has given") as refusal:
            one.snapshots.take("three")
        ways = re.findall(r"ake it away from (\w+): virsh", refusal.value.hint)
        assert ways == [another.name, one.name]
    other.snapshots.restore("two")
    vm.snapshots.take("three")


def _give(vm: Machine, image: str, folder: Path) -> None:
    """Let virsh define a machine on another image."""
    definition = virsh("dumpxml", vm.facts.spec.domain_name, "--inactive")
    (folder / "changed.xml").write_text(definition.replace(str(active_path(vm)), image))
    virsh("define", str(folder / "changed.xml"))


def test_an_image_that_virsh_put_outside_of_the_folder_is_no_loss_and_is_copied_in(vm: Machine, tmp_path: Path) -> None:
    lab, domain, outside = vm.lab, vm.facts.spec.domain_name, tmp_path / "out.qcow2"
    virsh("snapshot-create-as", domain, "byhand", "--disk-only", "--diskspec", f"vda,file={outside}")
    write_foreign(outside)
    before = hash_content(str(outside), "qcow2")
    disk = lab.disks["web.vda"]
    assert (disk.facts.machine, disk.facts.active.path) == ("web", str(outside))
    assert len(disk.layers) > 1
    for act in (vm.start, lambda: vm.snapshots.take("next"), lambda: vm.clone("copy"), lambda: disk.resize("64 MiB")):
        with pytest.raises(Refused, match=f"The image {outside} of web.vda lies outside") as refusal:
            act()
        assert 'lab.disks["web.vda"].convert("…")' in refusal.value.hint
        assert "lost" not in str(refusal.value)
    (loss,) = find_losses(lab.lineage)
    assert loss.kind is LossKind.OUTSIDE
    with pytest.raises(Refused, match=r"lies outside") as refusal:
        vm.snapshots.restore("left", save_current="kept")
    plan = vm.snapshots.restore.plan("left")
    assert any(str(outside) in note for note in plan.notes)
    assert str(outside) not in plan.files.deleted
    disk.convert("copied", format="qcow2")
    assert any(str(outside) in note for note in vm.detach.plan("web.vda").notes)
    vm.detach("web.vda")
    vm.attach("copied")
    assert hash_content(vm.facts.spec.disks[0].path, "qcow2") == before
    vm.start().kill()
    assert not find_losses(lab.lineage)
    vm.snapshots.delete("byhand")
    vm.delete()
    assert outside.exists()


def test_a_snapshot_whose_image_lies_outside_says_where(vm: Machine, tmp_path: Path) -> None:
    lab, domain, outside = vm.lab, vm.facts.spec.domain_name, tmp_path / "out.qcow2"
    back = lab.home / "disks" / "web.byhand"
    for name, path in (("first", outside), ("second", back)):
        virsh("snapshot-create-as", domain, name, "--disk-only", "--diskspec", f"vda,file={path}")
    write_foreign(back)
    vm.snapshots.restore("left")  # from an image that is not named as ours
    assert not back.exists()
    with pytest.raises(Refused, match=f"The image {outside} of web.vda lies outside") as refusal:
        vm.snapshots.restore("second")
    assert f"qemu-img convert -O qcow2 {outside} copy.qcow2" in refusal.value.hint
    assert outside.exists()
    outside.unlink()
    with pytest.raises(Refused, match=f"The image {outside} of .* is gone"):
        vm.snapshots.restore("second")
