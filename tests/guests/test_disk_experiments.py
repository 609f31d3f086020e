"""Experiments with disks on real guests: growth sampled, formats measured and booted from, cost of first writes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import NotFound, Refused
from labkit.experiments import measure_cost, measure_cost_inside, measure_formats
from labkit.machine import Machine
from labkit.model.image import Allocation, Format
from labkit.units import KIB, MIB


def test_growth_is_sampled_while_the_guest_writes(guest: Machine) -> None:
    disk = guest.lab.disks.create("data", capacity="32 MiB")
    guest.attach(disk)
    with disk.sampling(interval=0.05) as samples:
        guest.run("dd if=/dev/urandom of=/dev/vdb bs=64k oflag=direct")
    assert samples[0].allocated < MIB
    assert samples[-1].allocated > 32 * MIB
    assert samples[-1].writes == 32 * MIB // (64 * KIB)
    assert samples[-1].written_bytes == 32 * MIB
    assert len(samples) > 3
    assert list(samples) == sorted(samples, key=lambda sample: sample.seconds)
    assert [sample.allocated for sample in samples] == sorted(sample.allocated for sample in samples)


def test_sampling_a_free_disk_counts_no_writes(lab: Lab) -> None:
    disk = lab.disks.create("data", capacity="8 MiB")
    with disk.sampling() as samples:
        pass
    assert {sample.writes for sample in samples} == {0}


def test_disk_that_goes_away_while_it_is_sampled_is_told_at_the_end(lab: Lab) -> None:
    disk = lab.disks.create("data", capacity="8 MiB")
    samples = disk.sampling(interval=0.01).__enter__()
    disk.delete()
    assert samples._thread is not None
    samples._thread.join(10)
    with pytest.raises(NotFound):
        samples.__exit__(None)


def test_error_of_the_block_is_not_hidden_by_the_sampling(lab: Lab) -> None:
    disk = lab.disks.create("data", capacity="8 MiB")
    samples = disk.sampling().__enter__()
    disk.delete()
    samples.__exit__(ZeroDivisionError)


def test_every_format_is_measured_and_the_attachable_ones_boot(lab: Lab) -> None:
    rows = measure_formats(lab, capacity="4 MiB")
    assert [(row.format, row.allocation) for row in rows] == [(f, a) for f in Format for a in Allocation]
    for row in rows:
        assert row.boots is (True if row.format.attachable else None), row
        assert row.capacity >= 4 * MIB
        if row.allocation is Allocation.FIXED:
            assert row.allocated >= row.capacity
    assert not lab.disks
    assert not lab.machines


@pytest.mark.parametrize("allocation", Allocation)
def test_machine_is_made_with_a_disk_of_another_format_and_its_message(lab: Lab, allocation: Allocation) -> None:
    machine = lab.create("s", image="sector", memory="16 MiB", message="hola", disk_format="vhd", allocation=allocation)
    facts = lab.disks["s.vda"].facts
    assert (facts.format, facts.allocation) == (Format.VHD, allocation)
    assert [path.name for path in (lab.home / "disks").iterdir()] == [Path(facts.active.path).name]
    machine.start().wait_ready()
    assert machine.console.expect("hola", timeout=90)


def test_machine_of_the_tiny_image_starts_from_a_fixed_vmdk(lab: Lab) -> None:
    machine = lab.create("web", disk_format="vmdk", allocation="fixed").start().wait_ready()
    assert machine.run("cat /proc/mounts").stdout.startswith("/dev/vda / ext4")
    assert lab.disks["web.vda"].allocated >= lab.disks["web.vda"].capacity


def test_format_no_machine_can_use_is_refused_before_anything_is_written(lab: Lab) -> None:
    plan = lab.create.plan("s", image="sector", disk_format="vhdx")
    assert plan.refusal is not None
    with pytest.raises(Refused):
        lab.create("s", image="sector", disk_format="vhdx")
    assert not list((lab.home / "disks").iterdir())


def test_cost_is_measured_for_each_kind_and_leaves_nothing(lab: Lab) -> None:
    before = set(lab.home.iterdir())
    timings = measure_cost(lab, writes=64, rounds=2)
    assert [timing.slug for timing in timings] == ["fixed", "dynamic", "on-base"]
    assert all(len(timing.first) == len(timing.again) == 2 for timing in timings)
    assert set(lab.home.iterdir()) == before


def test_image_in_use_is_not_disturbed_by_sampling(guest: Machine) -> None:
    disk = guest.lab.disks["web.vda"]
    with disk.sampling(interval=0.01):
        guest.run("dd if=/dev/urandom of=/root/data bs=64k count=64; sync")
    guest.stop()
    subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", disk.path], check=True)


def test_first_writes_are_measured_inside_a_guest_and_nothing_of_it_stays(lab: Lab) -> None:
    timings = measure_cost_inside(lab, writes=20, rounds=1)
    assert [timing.slug for timing in timings] == ["fixed", "dynamic", "on-base"]
    assert all(seconds > 0 for timing in timings for seconds in (*timing.first, *timing.again))
    assert (list(lab.machines), list(lab.disks)) == ([], [])
