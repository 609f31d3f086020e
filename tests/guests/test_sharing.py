"""Two guests on one host: what each gets, what each finds in itself, and a container beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import HostTrouble
from labkit.experiments import (
    Container,
    is_writing,
    look_inside,
    measure_fsync,
    measure_sharing,
    measure_writes,
    read_devices,
    saturate,
)
from labkit.machine import Machine


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Machine, Machine]]:
    """Two running machines, the first with a second disk."""
    with Lab.open("sharing") as lab:
        a, b = (lab.create(name, memory="96 MiB", if_exists="replace") for name in ("a", "b"))
        a.attach(lab.disks.create("noise", capacity="16 MiB"))
        for machine in (a, b):
            machine.start()
        yield a.wait_ready(), b.wait_ready()
        lab.clean()


def test_busy_guest_believes_to_have_its_cpu(pair: tuple[Machine, Machine]) -> None:
    shares = measure_sharing(*pair, seconds=0.5, rounds=1)
    assert [share.name for share in shares] == ["a", "b"]
    for share in shares:
        assert share.part > 0
        assert 0.9 < share.busy + share.stolen <= 1.0


def test_neighbour_writes_until_the_block_ends(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    with saturate(a, "noise"):
        assert is_writing(a)
        assert all(wait > 0 for wait in measure_fsync(b, seconds=0.3, rounds=2))
    assert not is_writing(a)
    assert not a.run("pidof dd")


def test_limits_that_were_set_are_read_back(pair: tuple[Machine, Machine]) -> None:
    a, _b = pair
    a.throttle("noise", iops=30, bytes_per_second="1 MiB")
    assert (a.limits["noise"].iops, a.limits["noise"].bytes_per_second) == (30, 1 << 20)
    a.throttle("noise")
    assert (a.limits["noise"].iops, a.limits["a.vda"].iops) == (0, 0)


def test_writes_are_timed_on_each_disk(pair: tuple[Machine, Machine]) -> None:
    times = measure_writes(pair[0], ["vdb"], writes=20, rounds=2)
    assert [len(runs) for runs in times] == [2]
    assert all(milliseconds > 0 for milliseconds in times[0])


def test_guest_finds_imitations_and_inventions_on_its_bus(pair: tuple[Machine, Machine]) -> None:
    devices = read_devices(pair[1])
    assert "Intel ICH9, the SATA controller" in {device.words for device in devices if not device.is_invented}
    assert {"virtio disk", "virtio console"} < {device.words for device in devices if device.is_invented}
    assert {device.driver for device in devices if "virtio" in device.words} == {"virtio-pci"}


def test_guests_process_names_those_who_started_it(pair: tuple[Machine, Machine]) -> None:
    process = pair[0].process
    assert process is not None
    assert process.ancestors


def test_container_shares_the_hosts_kernel_and_nothing_else(pair: tuple[Machine, Machine]) -> None:
    with Container("box") as box:
        outside, inside, machine = look_inside(box.outside), look_inside(box), look_inside(pair[0])
        assert box.run("id -u; ls /").stdout.split() == ["0", "bin", "proc"]
    assert (inside.name, inside.boot_id) == ("box", outside.boot_id)
    assert inside.processes < outside.processes
    assert machine.boot_id != outside.boot_id
    with pytest.raises(HostTrouble, match="is gone"):
        box.run("true")


def test_where_the_host_makes_none_a_guest_takes_its_place(
    pair: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The host forbids it: its `unshare` says what the kernel answers there."""
    forbidding = tmp_path / "unshare"
    forbidding.write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    forbidding.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(HostTrouble, match="makes no container"):
        Container("box").__enter__()
    guest = pair[0]
    with Container("box", spare=guest) as box:
        outside, inside = look_inside(box.outside), look_inside(box)
    assert (outside.name, inside.name) == ("a", "box")
    assert inside.boot_id == outside.boot_id == look_inside(guest).boot_id
    assert inside.processes < outside.processes
    assert look_inside(guest).name == "a"
