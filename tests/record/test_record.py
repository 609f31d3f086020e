"""The lab's folder is the lab: what the hypervisor forgets, the record brings back; what is removed stays removed."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from pathlib import Path

import pytest

from labkit import Lab
from labkit.engine.record_file import read_record, record_file
from labkit.engine.recorded import list_lost_points
from labkit.errors import Refused
from labkit.hypervisor.domain_xml import accelerate_in_domain_xml
from labkit.model.machine import Accelerator
from labkit.units import GIB
from tests.beside.hands import active_path, make_machine
from tests.beside.hands import contents as contents_of
from tests.engine.kernel import Instant, Kernel
from tests.instance import Instance
from tests.record.conftest import lose_configuration, sit_at
from tests.record.look import contents, domain_of, grow_tree, machines_of, make_emulator, virsh


def test_a_lost_configuration_comes_back_whole(other_computer: Instance) -> None:
    (before,) = sit_at(other_computer, "with Lab.open() as lab: grow_tree(lab); print(digest(lab))")
    lose_configuration(other_computer)
    link, web, after, current = sit_at(
        other_computer,
        """
with Lab.open() as lab:
    print(digest(lab))
    print(lab.state.snapshots["web"].current)
    lab.machines["web"].snapshots.restore("left")  # and it can be worked with
""",
    )
    assert "link" in link
    assert "web" in web
    assert "3 snapshots" in web
    assert (after, current) == (before, "right")
    assert sit_at(
        other_computer, "with Lab.open() as lab: lab.clean(); print(len(list(lab.home.glob('record*'))))"
    ) == ["0"]


def test_a_machine_undefined_by_hand_comes_back_and_a_deleted_one_does_not(lab: Lab) -> None:
    grow_tree(lab)
    before = machines_of(lab.state)
    virsh("undefine", domain_of(lab, "web"), "--snapshots-metadata")
    with Lab.open(lab.name) as again:
        assert machines_of(again.state) == before
        again.machines["link"].delete()
    with Lab.open(lab.name) as again:
        assert list(again.machines) == ["web"]
        assert again.recovered == ()


def test_the_record_is_ours_alone_and_says_what_each_image_was_made_for(lab: Lab) -> None:
    grow_tree(lab)
    lab.disks.create("data", capacity="1 MiB", format="vdi")
    assert stat.S_IMODE(record_file(lab.home).stat().st_mode) == 0o600
    record = read_record(lab.home)
    assert record is not None
    made = {name: (each.machine, each.disk) for name, each in record.made.items()}
    assert {name: each for name, each in made.items() if each[1] == "web.vda"} == {
        name: ("web", "web.vda") for name in made if name.startswith("disks/web.")
    }
    assert made["disks/data.0.vdi"] == ("", "data")
    assert made["disks/link.vda.0.qcow2"] == ("link", "link.vda")
    assert {f"disks/{name}" for name in os.listdir(lab.home / "disks")} == made.keys()


def test_a_kernel_killed_between_a_deletion_and_its_record_leaves_nothing_to_come_back(lab: Lab) -> None:
    lab.create("web")
    code = f'from labkit import Lab\nLab.open({lab.name!r}).machines["web"].delete()\nanswer = ""'
    kernel = Kernel(code, stop=Instant(function="note_act"))
    kernel.wait_stopped()
    kernel.kill()
    with Lab.open(lab.name) as again:
        assert list(again.machines) == []
        assert len(again.recovered) == 1
    with Lab.open(lab.name) as again:
        assert list(again.machines) == []


def test_a_kernel_killed_while_it_brings_a_machine_back_is_followed_by_one_that_does(lab: Lab) -> None:
    grow_tree(lab)
    before = machines_of(lab.state)
    virsh("undefine", domain_of(lab, "web"), "--snapshots-metadata")
    kernel = Kernel(f"from labkit import Lab\nLab.open({lab.name!r})", stop=Instant(function="give_records"))
    kernel.wait_stopped()  # the machine is defined, none of its snapshots is
    kernel.kill()
    with Lab.open(lab.name) as again:
        assert machines_of(again.state) == before
    record = read_record(lab.home)
    assert record is not None
    assert record.lost == ()


def test_two_kernels_bring_a_machine_back_once(lab: Lab) -> None:
    grow_tree(lab)
    before = machines_of(lab.state)
    virsh("undefine", domain_of(lab, "web"), "--snapshots-metadata")
    code = f"from labkit import Lab\nanswer = len(Lab.open({lab.name!r}).recovered)"
    kernels = [Kernel(code, stop=Instant(function="lab_lock")) for _ in range(2)]
    try:
        for kernel in kernels:
            kernel.wait_stopped()  # both have seen that it is missing
        for kernel in kernels:
            kernel.go_on()
        assert sorted(kernel.answer().text for kernel in kernels) == ["0", "1"]
    finally:
        for kernel in kernels:
            kernel.kill()
    assert machines_of(lab.state) == before


def test_a_snapshot_forgotten_by_hand_stays_forgotten_and_the_record_knows_its_name(lab: Lab) -> None:
    grow_tree(lab)
    frozen = lab.state.snapshots["web"]["right"].disks[0].path
    virsh("snapshot-delete", domain_of(lab, "web"), "right", "--metadata")
    images = contents(lab.home)
    with Lab.open(lab.name) as again:
        again.disks.create("data", capacity="1 MiB")  # an act that has nothing to do with it
        assert "right" not in again.state.snapshots["web"]
        record = read_record(again.home)
    assert record is not None
    point = list_lost_points(record, [lab.state.machines["web"].id])[frozen]
    assert (point.machine, point.disk, point.snapshot, point.parent) == ("web", "web.vda", "right", "clean")
    assert "<domainsnapshot" in point.xml
    assert images.items() <= contents(lab.home).items()


def test_a_snapshot_deleted_by_labkit_is_not_kept_as_lost(lab: Lab) -> None:
    grow_tree(lab)
    lab.machines["web"].snapshots.rename("left", "links")
    lab.machines["web"].snapshots.delete("right")
    record = read_record(lab.home)
    assert record is not None
    assert record.lost == ()


def test_a_machine_whose_name_or_image_another_has_now_is_left_alone_and_told(lab: Lab) -> None:
    vm = lab.create("web")
    data = lab.disks.create("data", capacity="1 MiB")
    vm.attach(data)
    other = lab.create("other")
    virsh("undefine", domain_of(lab, "web"))
    assert "data" not in lab.disks  # it is the lost machine's; only another program takes it all the same
    path = next(iter(lab.home.glob("disks/data.0.*")))
    virsh("attach-disk", domain_of(lab, "other"), str(path), "vdb", "--config", "--subdriver", "qcow2")
    with Lab.open(lab.name) as again:
        assert list(again.machines) == ["other"]
        (sentence,) = again.recovered
        assert "web" in sentence
        assert "other" in sentence
    other.detach("data")
    with Lab.open(lab.name) as again:
        assert list(again.machines) == ["other", "web"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"version": 2}', "[" * 200_000, "\0\xff" * 99])
def test_a_record_that_cannot_be_read_is_kept_and_told_and_nothing_is_lost(lab: Lab, text: str) -> None:
    grow_tree(lab)
    before = machines_of(lab.state)
    good = record_file(lab.home).read_text()
    record_file(lab.home).write_text(text)
    with Lab.open(lab.name) as again:
        assert machines_of(again.state) == before
        assert any("record.json" in sentence for sentence in again.recovered)
        again.disks.create("data", capacity="1 MiB")
    assert (lab.home / "record.json.1.unreadable").read_text() == text
    kept = read_record(lab.home)
    assert kept is not None
    assert [machine.name for machine in kept.machines] == ["link", "web"]
    assert json.loads(good)["machines"] == json.loads(record_file(lab.home).read_text())["machines"]


def test_a_record_that_is_huge_or_no_plain_file_is_told_at_once(lab: Lab) -> None:
    lab.create("web")
    path = record_file(lab.home)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(100 * GIB)
    began = time.monotonic()
    with Lab.open(lab.name) as again:
        assert again.recovered
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with Lab.open(lab.name) as again:
        assert again.recovered
    assert time.monotonic() - began < 10


_QEMU = "xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'"

INSERTED = {
    "a disk of the host": "<disk type='block'><source dev='/dev/sda'/><target dev='vdb'/></disk>",
    "a file of the user": "<serial type='file'><target port='1'/><log file='/etc/passwd'/></serial>",
    "a folder of the host": "<filesystem type='mount'><source dir='/'/><target dir='x'/></filesystem>",
    "arguments of the emulator": f"<q:commandline {_QEMU}><q:arg value='-version'/></q:commandline>",
}
CHANGED = {
    "another machine's": ("<uuid>", "<uuid>00000000-0000-4000-8000-000000000000</uuid><!--"),
    "another name": ("<name>", "<name>other</name><!--"),
    "out of the lab by dots": ("/disks/", "/disks/../../../"),
    "no definition": ("</domain>", "</domain"),
    "not ours": ("urn:labkit:machine:1", "urn:other:1"),
}
HOSTILE = {name: ("<devices>", f"<devices>{text}") for name, text in INSERTED.items()} | CHANGED


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_definition_that_names_what_is_not_the_labs_is_not_given_to_the_hypervisor(lab: Lab, kind: str) -> None:
    lab.create("web")
    virsh("undefine", domain_of(lab, "web"))
    record = json.loads(record_file(lab.home).read_text())
    xml = record["machines"][0]["xml"].replace(*HOSTILE[kind])
    record["machines"][0]["xml"] = re.sub(r"<!--(.*?)(</\w+>)", r"<!--\1\2-->", xml)
    record_file(lab.home).write_text(json.dumps(record))
    with Lab.open(lab.name) as again:
        assert list(again.machines) == []
        (sentence,) = again.recovered
        assert "web" in sentence


@pytest.mark.parametrize("kind", [*INSERTED, "out of the lab by dots"])
def test_a_forgotten_snapshot_in_a_record_that_names_what_is_not_the_labs_is_not_given_back(
    lab: Lab, kind: str
) -> None:
    grow_tree(lab)
    image = Path(lab.state.snapshots["web"]["right"].disks[0].path).name
    lab.machines["web"].snapshots.restore("left")
    virsh("snapshot-delete", domain_of(lab, "web"), "right", "--metadata")
    lab.disks.create("data", capacity="1 MiB")  # whoever acts next writes down what has vanished
    assert lab.orphans[image].adopt_as_snapshot.plan().refusal is None
    record = json.loads(record_file(lab.home).read_text())
    (lost,) = record["lost"]
    old, new = HOSTILE[kind]
    lost["record"]["xml"] = (
        lost["record"]["xml"].replace("</devices>", f"<input type='x' path='{lab.home}/../x'/></devices>")
        if "dots" in kind
        else lost["record"]["xml"].replace(old, new)
    )
    record_file(lab.home).write_text(json.dumps(record))
    with pytest.raises(Refused, match="right is in the lab's record only") as refused:
        lab.orphans[image].adopt_as_snapshot()
    assert "adopt()" in refused.value.hint


def test_the_emulator_in_a_record_is_never_run(lab: Lab) -> None:
    lab.create("web")
    before = machines_of(lab.state)
    virsh("undefine", domain_of(lab, "web"))
    text = record_file(lab.home).read_text()
    emulator = json.loads(text)["machines"][0]["xml"].split("<emulator>")[1].split("<")[0]
    record_file(lab.home).write_text(text.replace(emulator, "/bin/false"))
    with Lab.open(lab.name) as again:
        assert machines_of(again.state) == before
        assert "/bin/false" not in again.session.domains.xml(again.state.machines["web"].id)


def test_the_emulator_in_a_forgotten_snapshot_is_never_run(lab: Lab, tmp_path: Path) -> None:
    grow_tree(lab)
    image = Path(lab.state.snapshots["web"]["right"].disks[0].path).name
    lab.machines["web"].snapshots.restore("left")
    virsh("snapshot-delete", domain_of(lab, "web"), "right", "--metadata")
    lab.disks.create("data", capacity="1 MiB")  # whoever acts next writes down what has vanished
    record = json.loads(record_file(lab.home).read_text())
    (lost,) = record["lost"]
    emulator = lost["record"]["xml"].split("<emulator>")[1].split("<")[0]
    lost["record"]["xml"] = lost["record"]["xml"].replace(emulator, str(make_emulator(tmp_path)))
    record_file(lab.home).write_text(json.dumps(record))
    lab.orphans[image].adopt_as_snapshot()
    assert "right" in lab.machines["web"].snapshots
    assert not (tmp_path / "ran").exists()


def test_a_machine_of_a_computer_with_kvm_comes_back_with_who_runs_guests_here(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.create("web")
    virsh("undefine", domain_of(lab, "web"))
    record = json.loads(record_file(lab.home).read_text())
    xml = accelerate_in_domain_xml(record["machines"][0]["xml"], Accelerator.KVM)
    record["machines"][0]["xml"] = xml
    record_file(lab.home).write_text(json.dumps(record))
    monkeypatch.setenv("LABKIT_ACCEL", "tcg")
    with Lab.open(lab.name) as again:
        assert again.state.machines["web"].spec.accelerator is Accelerator.TCG


def test_an_interrupted_take_and_a_lost_configuration_lose_no_machine(lab: Lab) -> None:
    """What the act had begun to make stands on the machine's image, and does not keep it from coming back."""
    vm = make_machine(lab, "web", "one")
    before, points = machines_of(lab.state), contents_of(vm)
    code = f"with Lab.open({lab.name!r}) as lab: lab.machines['web'].snapshots.take('new')"
    kernel = Kernel(code, stop=Instant(function="take"))
    kernel.wait_stopped()  # its overlay is there
    kernel.kill()
    virsh("undefine", domain_of(lab, "web"), "--snapshots-metadata")
    with Lab.open(lab.name) as again:
        assert machines_of(again.state) == before, again.recovered
        assert contents_of(again.machines["web"]) == points
        assert not again.orphans


def test_the_images_of_a_machine_that_did_not_come_back_are_no_free_disk_and_its_name_is_not_it(lab: Lab) -> None:
    vm = make_machine(lab, "web", "one", "two")
    before, points = machines_of(lab.state), contents_of(vm)
    active = active_path(vm)
    virsh("undefine", domain_of(lab, "web"), "--snapshots-metadata")
    active.rename(lab.home / "away")
    with Lab.open(lab.name) as again:
        assert "its image web.vda.2.qcow2 is not there" in again.recovered[0]
        assert not again.disks
        assert "which the lab's record knows" in repr(again.orphans)
        again.create("web", image="sector", memory="16 MiB").snapshots.take("other")
        again.machines["web"].delete()
    (lab.home / "away").rename(active)
    with Lab.open(lab.name) as again:
        assert machines_of(again.state) == before
        assert contents_of(again.machines["web"]) == points
