"""A clone's guest ends in the instant in which its disk has come to stand alone: nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess

import libvirt
import psutil
import pytest

from labkit import Lab
from labkit.engine.journal import Record
from labkit.hypervisor.process import find_pid
from labkit.machine import Machine
from labkit.plans.steps import PullBases
from tests.snapshots.test_guests import hash_content
from tests.snapshots.test_merges import QEMU_HOLDS_NOTHING_BACK, pull_unheard


def _clone(lab: Lab) -> Machine:
    """A running linked clone whose second disk reads 32 MiB from its original's image."""
    web = lab.create("web", image="sector", memory="32 MiB", disk_format="qcow2")
    web.attach(lab.disks.create("data", capacity="32 MiB"))
    argv = ["qemu-io", "-f", "qcow2", "-c", "write -q -P 7 0 32M", web.facts.spec.disks[1].path]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    web.snapshots.take("base")
    web.clone("copy", kind="linked", snapshot="base")
    return lab.machines["copy"].start()


def _content(vm: Machine) -> list[str]:
    return [hash_content(disk.path, disk.format.driver) for disk in vm.facts.spec.disks]


def _end_guest(vm: Machine) -> None:
    """End its guest and hear of it from libvirt alone: labkit would end the act first."""
    pid = find_pid(vm.id)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    connection = libvirt.open("qemu:///session")
    try:
        while connection.lookupByUUIDString(vm.id).isActive():
            pass
    finally:
        connection.close()


def test_a_flattened_guest_that_is_killed_has_all_it_had(lab: Lab) -> None:
    copy = _clone(lab)
    content = _content(copy)
    copy.flatten()
    _end_guest(copy)
    assert _content(copy) == content
    lab.machines["web"].delete()
    assert _content(copy) == content


def test_killed_with_its_kernel_before_all_is_in_the_file_it_loses_nothing(lab: Lab) -> None:
    copy = _clone(lab)
    content = _content(copy)
    plan = copy.flatten.plan()
    (pull,) = [step for step in plan.steps if isinstance(step, PullBases)]
    Record(lab.home / "journal", plan)
    connection = libvirt.open("qemu:///session")
    try:
        domain = connection.lookupByUUIDString(copy.id)
        for disk in pull.disks:
            domain.blockRebase(disk.target, None, 0, 0)
            while domain.blockJobInfo(disk.target, 0):
                pass
        is_lost = connection.getVersion() < QEMU_HOLDS_NOTHING_BACK
    finally:
        connection.close()
    _end_guest(copy)
    assert (_content(copy) != content) is is_lost  # as the files are
    with Lab.open(lab.name) as again:
        told = (*lab.recovered, *again.recovered)
    assert len(told) == 1
    assert "flatten copy was interrupted" in told[0]
    assert _content(copy) == content
    copy.start().flatten()


@pytest.mark.parametrize(("pulled", "told"), [(1, "taken back: all is as before."), (2, "completed.")])
def test_a_pull_that_its_daemon_did_not_live_to_record_leaves_no_base_open(lab: Lab, pulled: int, told: str) -> None:
    copy = _clone(lab)
    content = _content(copy)
    plan = copy.flatten.plan()
    (pull,) = [step for step in plan.steps if isinstance(step, PullBases)]
    Record(lab.home / "journal", plan)
    for disk in pull.disks[:pulled]:
        pull_unheard(copy, disk.target, None)
    with Lab.open(lab.name) as again:
        (sentence,) = again.recovered
    assert sentence.startswith("flatten copy was interrupted and ")
    assert sentence.endswith(told)
    bases = {base.path for base in pull.bases[:pulled]}
    pid = find_pid(copy.id)
    assert pid is not None
    assert bases.isdisjoint(file.path for file in psutil.Process(pid).open_files())
    assert _content(copy) == content
    if pulled < len(pull.disks):
        copy.flatten()
    lab.machines["web"].delete()
    assert lab.history[-1].remarks == ()
    copy.snapshots.take("one")
    copy.kill()
    assert _content(copy) == content
