"""Merging large layers: told in bytes, broken off in the middle, and right on either side."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import libvirt
import pytest

from labkit import Lab
from labkit.engine.executor import Outcome
from labkit.engine.journal import Record
from labkit.engine.progress import Progress
from labkit.engine.steps import layer
from labkit.hypervisor.domain_xml import parse
from labkit.hypervisor.monitor import ask
from labkit.hypervisor.process import find_pid
from labkit.limits import NO_LIMIT
from labkit.machine import Machine
from labkit.model.disk import chain
from labkit.model.image import Format
from labkit.plans.plan import Plan
from labkit.plans.steps import MergeLayer
from labkit.storage.headers import read_chain
from labkit.units import MIB
from tests.snapshots.test_guests import hash_content

QEMU_HOLDS_NOTHING_BACK = 10_000_000
"""The QEMU, as libvirt numbers it, that has all in the file when a block job ends (seen with 7.2 and 10.0)."""

LARGE = 96
"""Mebibytes in the layer that is merged: enough to be in the middle of it for a while."""

TRIES = 6
"""How often qemu-img begins until it is heard of before it is over: a busy computer makes us slow, and not it."""


@pytest.fixture
def vm(lab: Lab) -> Machine:
    """A machine with snapshots "one" and "two", off; between them, its disk was written full."""
    vm = lab.create("web", image="sector", memory="32 MiB")
    vm.attach(lab.disks.create("data", capacity=f"{LARGE} MiB"))
    vm.snapshots.take("one")
    _fill(vm)
    return vm


def _fill(vm: Machine) -> None:
    """Write the second disk of a machine that is off full, and take snapshot "two"."""
    path = vm.facts.spec.disks[1].path
    argv = ["qemu-io", "-f", "qcow2", "-c", f"write -q -P 7 0 {LARGE}M", path]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    vm.snapshots.take("two")


def _content(vm: Machine) -> dict[str, str]:
    """The hash of what the second disk holds now and in each snapshot."""
    disks = {name: node.disks[1] for name, node in vm.snapshots.tree.items()} | {"now": vm.facts.spec.disks[1]}
    return {name: hash_content(disk.path, disk.format.driver) for name, disk in disks.items()}


def _depth(vm: Machine) -> int:
    disk = vm.facts.spec.disks[1]
    return len(read_chain(Path(disk.path), disk.format))


def _merge_of(plan: Plan) -> tuple[int, MergeLayer]:
    return max(
        ((number, step) for number, step in enumerate(plan.steps, 1) if isinstance(step, MergeLayer)),
        key=lambda pair: pair[1].bytes,
    )


def _cancelled_in_the_middle(vm: Machine, plan: Plan) -> tuple[Outcome, list[Progress]]:
    """Carry a plan out and cancel it when the merge has told that it is under way; a guest's has begun, slowly."""
    number, merge = _merge_of(plan)
    if merge.disk_target:
        begin_slowly(vm, merge)
    cancel = threading.Event()
    heard: list[Progress] = []

    def hear(progress: Progress) -> None:
        if progress.step != number or not progress.total:
            return
        heard.append(progress)
        if 0 < progress.done < progress.total:
            cancel.set()

    return vm.lab.carry_out(plan, on_progress=hear, cancel=cancel), heard


def begin_slowly(vm: Machine, merge: MergeLayer) -> None:
    """Begin what merging would begin, at 16 MiB a second: it goes on with what it finds under way, and has a middle."""
    connection = libvirt.open("qemu:///session")
    try:
        domain = connection.lookupByUUIDString(vm.id)
        domain.blockRebase(merge.disk_target, merge.onto, 16, libvirt.VIR_DOMAIN_BLOCK_REBASE_RELATIVE)
    finally:
        connection.close()


def pull_unheard(vm: Machine, target: str, onto: str | None) -> None:
    """Move everything above an image up into a guest's active image, as QEMU does it whose daemon is killed meanwhile.

    For the daemon there was no job: its chain is the old one, and QEMU holds images open that no disk uses.
    """
    connection = libvirt.open("qemu:///session")
    try:
        domain = connection.lookupByUUIDString(vm.id)
        top, chosen = find_node(domain, target, None), {"base-node": find_node(domain, target, onto)} if onto else {}
        ask(domain, "block-stream", device=top, **{"job-id": "unheard", **chosen})
        while ask(domain, "query-jobs"):
            pass
    finally:
        connection.close()


def move_down_unheard(vm: Machine, target: str) -> None:
    """Move what a guest's active image holds down into the one below, likewise, and let the guest go on there."""
    connection = libvirt.open("qemu:///session")
    try:
        domain = connection.lookupByUUIDString(vm.id)
        (disk,) = parse(domain.XMLDesc(0)).xpath("./devices/disk[target/@dev = $target]", target=target)
        top, base = (find_node(domain, target, path) for path in (None, disk.find("backingStore/source").get("file")))
        ask(domain, "block-commit", device=top, **{"job-id": "unheard", "base-node": base})
        while jobs := ask(domain, "query-jobs"):
            if jobs[0]["status"] == "ready":
                ask(domain, "job-complete", id="unheard")
    finally:
        connection.close()


def find_node(domain: libvirt.virDomain, target: str, path: str | None) -> str:
    """The name of QEMU's node for an image of a disk, by what the daemon recorded; None: its active image."""
    (disk,) = parse(domain.XMLDesc(0)).xpath("./devices/disk[target/@dev = $target]", target=target)
    if path is None:
        return f"libvirt-{disk.find('source').get('index')}-format"
    (layer,) = disk.xpath(".//backingStore[source/@file = $path]", path=path)
    return f"libvirt-{layer.get('index')}-format"


@pytest.mark.parametrize("running", [False, True], ids=["off", "running"])
def test_a_merge_tells_its_bytes_and_is_broken_off_in_the_middle(vm: Machine, running: bool) -> None:
    tries = 0
    while True:
        tries += 1
        if running:
            vm.start()
        content, depth = _content(vm), _depth(vm)
        del content["two"]
        plan = vm.snapshots.delete.plan("two")
        assert _merge_of(plan)[1].bytes > LARGE * MIB // 2
        outcome, heard = _cancelled_in_the_middle(vm, plan)
        if outcome.remarks or tries == TRIES:
            break
        vm.kill()  # it was done before we could stop it
        _fill(vm)
    assert all(progress.done <= progress.total for progress in heard)
    assert [progress.done for progress in heard] == sorted(progress.done for progress in heard)
    assert _content(vm) == content
    assert _depth(vm) == depth
    assert "stays as a layer without a name: delete web@two was cancelled." in outcome.remarks[0]
    assert list(vm.snapshots) == ["one"]
    assert vm.lab.state.strays == ()

    vm.snapshots.take("four").delete("four")  # whoever deletes next merges what was left
    assert _content(vm) == content
    assert _depth(vm) == 2
    assert vm.lab.history[-1].remarks == ()


def test_a_frozen_image_whose_merge_was_broken_off_is_as_good_as_before(vm: Machine) -> None:
    tries = 0
    while True:
        tries += 1
        vm.snapshots.take("three")
        content = _content(vm)
        del content["two"]
        outcome, _heard = _cancelled_in_the_middle(vm, vm.snapshots.delete.plan("two"))
        if outcome.remarks or tries == TRIES:
            break
        vm.snapshots.delete("three")  # it was done before we could stop it
        _fill(vm)
    assert "cancelled" in outcome.remarks[0]
    assert _content(vm) == content
    assert not Path(vm.snapshots["three"].disks[1].path).stat().st_mode & 0o222
    vm.snapshots.restore("three")  # its seal holds
    vm.start().kill()
    assert _content(vm) == content


def test_what_lies_below_a_layer_that_stayed_stays_too(vm: Machine) -> None:
    vm.snapshots.take("three")
    content, depth = _content(vm), _depth(vm)
    now, _three, two, one, *_below = (image.path for image in chain(vm.lab.state.images, vm.facts.spec.disks[1].path))
    step = MergeLayer(layer=two, child=now, onto=one, onto_format=Format.QCOW2, bytes=0)
    remark = layer.merge(step, vm.lab.session.executor._context(lambda _done, _total: None, NO_LIMIT))
    assert remark is not None
    assert "above it stays" in remark
    assert _content(vm) == content
    assert _depth(vm) == depth


def test_a_layer_with_two_children_is_merged_into_both_if_asked_for(vm: Machine) -> None:
    vm.snapshots.take("three").restore("two").take("other")
    content = _content(vm)
    del content["two"]
    plan = vm.snapshots.delete.plan("two")
    assert any('merge="always" does it' in note for note in plan.notes)
    vm.snapshots.delete("two", merge="always")
    assert _content(vm) == content
    assert {len(read_chain(Path(node.disks[1].path), node.disks[1].format)) for node in vm.snapshots.values()} == {1, 2}
    assert vm.lab.state.strays == ()
    vm.snapshots.restore("three").restore("other")
    vm.start().kill()


def _end_guest(vm: Machine) -> None:
    """End its QEMU without any notice, as a failing host does."""
    pid = find_pid(vm.id)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    vm.wait_for("off")


def test_what_was_merged_under_a_guest_is_in_the_file_whatever_becomes_of_its_process(vm: Machine) -> None:
    vm.start()
    content = _content(vm)
    vm.snapshots.delete("two")
    _end_guest(vm)
    assert _content(vm)["now"] == content["now"]


def test_a_guest_that_is_paused_stays_paused_when_a_layer_is_merged_under_it(vm: Machine) -> None:
    vm.start().pause()
    content = _content(vm)
    vm.snapshots.delete("two")
    assert vm.state == "paused"
    _end_guest(vm)
    assert _content(vm)["now"] == content["now"]


def test_what_qemu_has_merged_while_its_daemon_was_killed_is_told_to_the_next_one(vm: Machine) -> None:
    vm.start()
    content, depth = _content(vm), _depth(vm)
    plan = vm.snapshots.delete.plan("two")
    _number, merge = _merge_of(plan)
    record = Record(vm.lab.home / "journal", plan)
    connection = libvirt.open("qemu:///session")
    try:
        snapshot = connection.lookupByUUIDString(vm.id).snapshotLookupByName("two")
        snapshot.delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)
    finally:
        connection.close()
    record.step_done(0)
    pull_unheard(vm, str(merge.disk_target), merge.onto)
    with Lab.open(vm.lab.name) as lab:
        assert lab.recovered == ("delete web@two was interrupted and has been completed.",)
    assert not Path(merge.layer).exists()
    assert vm.lab.state.strays == ()
    assert set(vm.lab.state.images) == vm.lab.state.alive
    assert _depth(vm) == depth - 1
    assert _content(vm)["now"] == content["now"]
    vm.snapshots.take("three").delete("three")  # QEMU and its daemon agree on what there is
    assert vm.lab.history[-1].remarks == ()
    vm.kill()
    assert _content(vm)["now"] == content["now"]


def test_kernel_and_guest_that_end_when_data_has_just_moved_lose_nothing(vm: Machine) -> None:
    """The image depends on the lower layer already, and its tables, which QEMU still held, are lost."""
    vm.start()
    content = _content(vm)
    plan = vm.snapshots.delete.plan("two")
    merges = [step for step in plan.steps if isinstance(step, MergeLayer)]
    (large,) = [step for step in merges if step.bytes > LARGE * MIB // 2]
    record = Record(vm.lab.home / "journal", plan)
    connection = libvirt.open("qemu:///session")
    try:
        domain = connection.lookupByUUIDString(vm.id)
        domain.snapshotLookupByName("two").delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)
        record.step_done(0)
        domain.blockRebase(large.disk_target, large.onto, 0, libvirt.VIR_DOMAIN_BLOCK_REBASE_RELATIVE)
        while domain.blockJobInfo(large.disk_target, 0):
            pass
        is_lost = connection.getVersion() < QEMU_HOLDS_NOTHING_BACK
    finally:
        connection.close()
    _end_guest(vm)
    assert (_content(vm)["now"] != content["now"]) is is_lost  # seen as the file is
    with Lab.open(vm.lab.name) as lab:
        assert "has been completed" in lab.recovered[0]
    assert _content(vm)["now"] == content["now"]
    assert vm.lab.state.strays == ()
