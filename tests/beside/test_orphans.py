"""What other programs made libvirt forget comes back as it was, or not at all: its seals are asked as everywhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from labkit import Lab
from labkit.cli import main
from labkit.engine.record_file import read_record, write_record
from labkit.errors import Refused, WrongState
from labkit.machine import Machine
from labkit.orphans import Orphan
from labkit.widgets import LabPanel
from tests.beside.hands import active_path, contents, files_of, make_machine, virsh, write


def forget(vm: Machine, snapshot: str) -> Path:
    """Restore what is before a snapshot and let virsh forget it; returns the image it kept, nobody's from now on."""
    image = Path(vm.snapshots[snapshot].disks[0].path)
    vm.snapshots.restore(vm.snapshots[snapshot].parent or "")
    virsh("snapshot-delete", vm.facts.spec.domain_name, snapshot, "--metadata")
    make_machine(vm.lab, f"{vm.name}-next")  # whoever acts next writes down what has vanished
    return image


def alter(image: Path) -> None:
    """Write into a frozen image, as another program does, and leave it closed for writing."""
    image.chmod(0o644)
    write(image, 4096 * 30, "altered")
    image.chmod(0o444)


@pytest.fixture
def vm(lab: Lab) -> Machine:
    """A machine with the snapshots left → right, off."""
    return make_machine(lab, "web", "left", "right")


@pytest.fixture
def orphan(vm: Machine) -> Orphan:
    """The image of `right`, which virsh made libvirt forget."""
    return vm.lab.orphans[forget(vm, "right").name]


def test_what_another_program_changed_comes_back_only_when_that_is_accepted(orphan: Orphan, vm: Machine) -> None:
    lab, image = vm.lab, Path(orphan.facts.path)
    kept = image.read_bytes()
    alter(image)
    for plan in (orphan.adopt.plan("found"), orphan.adopt_as_snapshot.plan()):
        assert plan.refusal is not None
        assert "changed by another program" in plan.refusal.why
        assert f'lab.orphans["{image.name}"].accept_changes()' in plan.refusal.hint
    image.chmod(0o644)
    altered = image.read_bytes()
    image.write_bytes(kept)  # the copy of a backup
    assert orphan.adopt_as_snapshot.plan().refusal is None
    assert not orphan.accept_changes.plan().steps
    image.write_bytes(altered)
    assert "It is read by: nobody" in " ".join(orphan.accept_changes.plan().notes)
    orphan.accept_changes()
    assert orphan.adopt_as_snapshot().snapshots.restore.plan("right").refusal is None
    assert lab.verify()


def test_what_changes_after_the_look_at_the_plan_is_refused_and_stays_told(orphan: Orphan, vm: Machine) -> None:
    plans = orphan.adopt.plan("found"), orphan.adopt_as_snapshot.plan()
    alter(Path(orphan.facts.path))
    for plan in plans:
        with pytest.raises(WrongState, match="changed by another program"):
            vm.lab.carry_out(plan)
    again = orphan.adopt.plan("found")
    assert again.refusal is not None  # it says how to go on
    assert again.refusal.ways_out


def test_a_seal_outlives_that_its_image_was_nobodys(orphan: Orphan, vm: Machine) -> None:
    """What was changed and put back to its old time nobody sees but `verify`, also behind an adoption."""
    image = Path(orphan.facts.path)
    info, kept = image.stat(), image.read_bytes()
    image.chmod(0o644)
    image.write_bytes(kept[:-1] + bytes([kept[-1] ^ 0xFF]))
    image.chmod(0o444)
    os.utime(image, ns=(info.st_atime_ns, info.st_mtime_ns))
    orphan.adopt("found")
    assert vm.lab.verify().changed == (image,)


def test_a_snapshot_does_not_come_back_with_memory_that_is_changed_or_gone(lab: Lab) -> None:
    vm = make_machine(lab, "web", "left")
    vm.start()
    vm.snapshots.take("running")
    vm.kill()
    memory = Path(vm.snapshots["running"].memory or "")
    orphan = lab.orphans[forget(vm, "running").name]
    kept = memory.read_bytes()
    memory.chmod(0o644)
    for content, said in ((kept[:-4096], "cut short"), (kept[:-1] + bytes([kept[-1] ^ 0xFF]), "was changed")):
        memory.write_bytes(content)
        plan = orphan.adopt_as_snapshot.plan()
        assert plan.refusal is not None
        assert said in plan.refusal.why
        assert "free disks" in plan.refusal.hint
    memory.unlink()
    with pytest.raises(Refused, match=f"{memory.name} of it is gone"):
        orphan.adopt_as_snapshot()
    memory.write_bytes(kept)
    plan = orphan.adopt_as_snapshot.plan()
    memory.write_bytes(kept[:-4096])
    with pytest.raises(WrongState, match=memory.name):
        lab.carry_out(plan)
    memory.write_bytes(kept)
    assert "running" in orphan.adopt_as_snapshot().snapshots
    vm.snapshots.restore("running")
    assert vm.state == "running"
    vm.kill()


def test_a_snapshot_does_not_come_back_while_its_image_is_written(vm: Machine) -> None:
    """Its memory is nobody's, but another program has let the machine go on in its image."""
    lab = vm.lab
    vm.start()
    vm.snapshots.take("running")
    vm.kill()
    image, now = vm.snapshots["running"].disks[0].path, vm.facts.spec.disks[0].path
    virsh("snapshot-delete", vm.facts.spec.domain_name, "running", "--metadata")
    virsh("detach-disk", vm.facts.spec.domain_name, "vda", "--config")
    options = ("--driver", "qemu", "--subdriver", "qcow2", "--config")
    virsh("attach-disk", vm.facts.spec.domain_name, image, "vda", *options)
    make_machine(lab, "next")
    assert now != vm.facts.spec.disks[0].path == image
    (orphan,) = (each for each in lab.orphans.values() if each.facts.snapshot == "running" and "memory" in each.name)
    with pytest.raises(Refused, match="web writes to"):
        orphan.adopt_as_snapshot()


def test_a_forgotten_snapshot_comes_back_before_anybody_has_acted(vm: Machine) -> None:
    lab, tree, before = vm.lab, vm.snapshots.tree, contents(vm)
    image = Path(tree["right"].disks[0].path)
    vm.rename("app").snapshots.rename("right", "east")
    vm.snapshots.restore("left")
    virsh("snapshot-delete", vm.facts.spec.domain_name, "east", "--metadata")
    assert list(lab.orphans) == [image.name]
    assert lab.orphans[image.name].adopt_as_snapshot().name == "app"
    assert vm.snapshots.tree["east"].parent == "left"
    assert contents(vm)["east"] == before["right"]
    assert not lab.orphans


def test_a_terminal_brings_it_back_too(orphan: Orphan, vm: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["orphans", "--lab", vm.lab.name, "--adopt-as-snapshot", orphan.name]) == 0
    assert capsys.readouterr().out == "web has the snapshot right again.\n"
    assert list(vm.snapshots) == ["left", "right"]


def test_the_memory_that_is_left_brings_its_snapshot_back_too(lab: Lab) -> None:
    vm = make_machine(lab, "web", "left")
    vm.start()
    vm.snapshots.take("running")
    vm.kill()
    memory = Path(vm.snapshots["running"].memory or "")
    virsh("snapshot-delete", vm.facts.spec.domain_name, "running", "--metadata")
    assert list(lab.orphans) == [f"memory/{memory.name}"]  # the machine stands on its image
    lab.orphans[f"memory/{memory.name}"].adopt_as_snapshot()
    vm.snapshots.restore("running")
    assert vm.state == "running"
    vm.kill()


def test_each_tells_what_chain_it_belongs_to(vm: Machine) -> None:
    lab, images = vm.lab, [Path(vm.snapshots[name].disks[0].path).name for name in ("left", "right")]
    vm.snapshots.take("far")
    far = Path(vm.snapshots["far"].disks[0].path).name
    vm.snapshots.restore("left")
    for name in ("far", "right"):
        virsh("snapshot-delete", vm.facts.spec.domain_name, name, "--metadata")
    assert f"It stands on {images[1]} → {images[0]}." in repr(lab.orphans[far])
    assert f"It stands on {images[0]}, and on it: {far}." in repr(lab.orphans[images[1]])
    assert f"It stands on {images[1]} → {images[0]}." in LabPanel(lab).page().text
    lab.orphans[images[1]].adopt("found")
    lab.disks["found"].delete()
    lab.orphans[far].discard()
    vm.delete()
    assert "It stands on" not in repr(lab.orphans)


# --- what is an act's own: by the record, else by the name of the file -----------------------------


def test_a_layer_that_virsh_made_for_one_machine_is_not_deleted_with_its_clone(lab: Lab) -> None:
    """Only the clone stands on it; its name is none of ours, but the record knows for which machine it was made."""
    vm = make_machine(lab, "web", "left")
    foreign, domain = lab.home / "disks" / "web.byhand", vm.facts.spec.domain_name
    virsh("snapshot-create-as", domain, "byhand", "--disk-only", "--diskspec", f"vda,file={foreign}")
    vm.snapshots.take("after")
    vm.snapshots.restore("left")
    vm.clone("copy", kind="linked", snapshot="after")
    for name in ("after", "byhand"):
        virsh("snapshot-delete", domain, name, "--metadata")
    assert str(foreign) in lab.state.alive
    lab.machines["copy"].delete()
    assert foreign.exists()
    assert foreign.name in lab.orphans or foreign.name in lab.disks
    assert vm.facts.spec.disks


def test_a_layer_that_virsh_made_goes_with_the_machine_it_was_made_for(lab: Lab) -> None:
    """No definition names it any more; the record does."""
    vm = make_machine(lab, "web", "left")
    foreign, domain = lab.home / "disks" / "web.byhand", vm.facts.spec.domain_name
    virsh("snapshot-create-as", domain, "byhand", "--disk-only", "--diskspec", f"vda,file={foreign}")
    vm.snapshots.take("after")
    for name in ("after", "byhand"):
        virsh("snapshot-delete", domain, name, "--metadata")
    vm.delete()
    assert not list((lab.home / "disks").iterdir())


# --- machines that libvirt was made to forget while the lab is open --------------------------------


def test_files_of_a_forgotten_machine_are_not_discarded_and_it_comes_back(vm: Machine) -> None:
    lab, before = vm.lab, contents(vm)
    vm.start()
    vm.snapshots.take("running")
    vm.kill()
    log = Path(vm.facts.spec.console_log or "")
    log.touch()
    stray = lab.home / "disks" / "notes.txt"
    stray.write_text("mine")
    files = files_of(lab)
    virsh("undefine", vm.facts.spec.domain_name, "--snapshots-metadata")
    of_web = {orphan.name for orphan in lab.orphans.values() if orphan.facts.unreturned == "web"}
    assert set(lab.orphans) - of_web == {stray.name}
    assert {"memory/" + Path(path).name for path in (lab.home / "memory").iterdir()} <= of_web
    assert f"consoles/{log.name}" in of_web
    for name in of_web:
        for plan in (lab.orphans[name].discard.plan(), lab.orphans[name].adopt.plan("found")):
            assert plan.refusal is not None, name
    assert "lab.orphans.bring_back()" in lab.orphans[min(of_web)].discard.plan().refusal.hint  # type: ignore[union-attr]
    outcome = lab.carry_out(lab.orphans.discard.plan())
    assert "bring_back" in " ".join(outcome.plan.notes)
    assert {**files_of(lab), stray.name: files[stray.name]} == files
    assert not stray.exists()
    (sentence,) = lab.orphans.bring_back()
    assert "web: it came back" in sentence
    assert lab.orphans.bring_back() == ()
    assert not lab.orphans
    assert {name: text for name, text in contents(vm).items() if name in ("left", "right")} == {
        name: text for name, text in before.items() if name != "now"
    }


def test_files_of_a_machine_that_cannot_come_back_are_adopted_and_discarded(vm: Machine) -> None:
    lab = vm.lab
    kept, active = Path(vm.snapshots["right"].disks[0].path), Path(vm.facts.spec.disks[0].path)
    virsh("undefine", vm.facts.spec.domain_name, "--snapshots-metadata")
    active.unlink()
    (sentence,) = lab.orphans.bring_back()
    assert f"its image {active.name} is not there" in sentence
    assert lab.orphans[kept.name].adopt("found").capacity
    lab.disks["found"].delete()
    lab.orphans[kept.name].discard()
    assert not kept.exists()


def test_a_machine_of_another_hypervisor_keeps_its_files_and_is_told(vm: Machine) -> None:
    lab, elsewhere = vm.lab, "qemu+unix:///session?socket=/elsewhere"
    virsh("undefine", vm.facts.spec.domain_name, "--snapshots-metadata")
    record = read_record(lab.home)
    assert record is not None
    write_record(lab.home, replace(record, machines=tuple(replace(each, uri=elsewhere) for each in record.machines)))
    assert not lab.orphans.discard.plan().steps
    assert lab.orphans[min(lab.orphans)].discard.plan().refusal is not None
    (sentence,) = lab.orphans.bring_back()
    assert f"web is on another hypervisor: open the lab there, with Lab.open(uri='{elsewhere}')" in sentence


def test_a_disk_that_another_running_machine_was_given_is_left_alone(lab: Lab) -> None:
    """By `virsh`; nor is it frozen, which would keep also the one that is off from ever writing to it."""
    mine, other = make_machine(lab, "mine", "left"), make_machine(lab, "other")
    domain, image = other.facts.spec.domain_name, str(active_path(mine))
    virsh("attach-disk", domain, image, "vdb", "--driver", "qemu", "--subdriver", "qcow2", "--config")
    mine.start()
    assert (mine.state, other.state) == ("running", "off")
    before = files_of(lab)
    acts: tuple[Callable[[], object], ...] = (
        other.start,
        lambda: other.snapshots.take("now"),
        lambda: other.clone("third"),
    )
    for act in acts:
        with pytest.raises(Refused, match="to mine and other, and mine is running") as refusal:
            act()
        assert "take it away from other: virsh " in refusal.value.hint
    with pytest.raises(Refused, match="to other and mine, and other is off") as refusal:
        mine.snapshots.take("here")
    assert files_of(lab) == before
    virsh(*refusal.value.hint.partition("Take it away from other: virsh ")[2].partition(". ")[0].split())
    mine.snapshots.take("here")
    other.start().kill()
    other.delete()
    mine.kill()
    assert set(contents(mine)) == {"left", "here", "now"}
    mine.snapshots.restore("left")
