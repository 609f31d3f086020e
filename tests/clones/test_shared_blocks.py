"""Full clones on a file system that can share blocks, and on one that cannot: the temp folder's is asked what it can.

Either way a clone holds what its original held, also when that is gone. `--basetemp=…` tries another file system.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import Lab
from labkit.disk import Disk
from labkit.machine import Machine
from labkit.storage.files import can_share_blocks
from labkit.units import MIB
from tests.clones.test_guests import only
from tests.snapshots.test_guests import hash_content

_FIEMAP, _SYNC, _SHARED, _LAST = 0xC020660B, 0x1, 0x2000, 0x1
_HEAD, _EXTENT = "=QQIIII", "=QQQ2Q4I"
_MOST = 512


def count_shared(path: Path) -> int:
    """Return how many bytes of a file are in blocks that it shares with another one, as the file system says."""
    shared, at = 0, 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while True:
            head = struct.pack(_HEAD, at, 2**64 - 1 - at, _SYNC, 0, _MOST, 0)
            answer = bytearray(head + bytes(_MOST * struct.calcsize(_EXTENT)))
            try:
                fcntl.ioctl(descriptor, _FIEMAP, answer)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
                return 0  # a file system without a map of blocks, such as tmpfs, shares none
            extents = list(struct.iter_unpack(_EXTENT, answer[len(head) :]))[: struct.unpack_from(_HEAD, answer)[3]]
            for start, _physical, length, _reserved, _more, flags, *_rest in extents:
                shared += length if flags & _SHARED else 0
                at = start + length
            if not extents or extents[-1][5] & _LAST:
                return shared
    finally:
        os.close(descriptor)


def content(disk: Disk) -> str:
    """The hash of what a guest would read from a disk."""
    return hash_content(disk.layers[0].path, disk.layers[0].format.driver)


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[Machine]:
    """A machine that is off, with 32 MiB on its second disk, in a lab in the temp folder."""
    with Lab.open("shared", home=tmp_path) as lab:
        vm = lab.create("web", image="sector", memory="16 MiB")
        disk = lab.disks.create("data", capacity="64 MiB")
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 7 0 32M", disk.path], check=True)
        vm.attach(disk)
        yield vm
        lab.clean()


def test_blocks_are_shared_where_they_can_be_and_only_if_wanted(vm: Machine) -> None:
    lab = vm.lab
    can = can_share_blocks(lab.home)
    expected = content(lab.disks["data"])
    assert (vm.clone.plan("shared").bytes_copied == 0) is can
    assert vm.clone.plan("copied", reflink=False).bytes_copied >= 32 * MIB
    only(vm.clone("shared"))
    only(vm.clone("copied", reflink=False))
    shared, copied = (Path(lab.disks[f"{name}.data"].path) for name in ("shared", "copied"))
    assert count_shared(copied) == 0
    assert (count_shared(shared) >= 32 * MIB) is can
    assert shared.stat().st_blocks * 512 >= 32 * MIB
    vm.delete()
    assert [content(lab.disks[f"{name}.data"]) for name in ("shared", "copied")] == [expected] * 2


def test_what_one_writes_the_other_does_not_hold(vm: Machine) -> None:
    lab = vm.lab
    expected = content(lab.disks["data"])
    only(vm.clone("shared"))
    clone = lab.disks["shared.data"]
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 9 1M 1M", clone.path], check=True)
    assert content(lab.disks["data"]) == expected != content(clone)


def test_a_tree_of_snapshots_is_copied_the_same_way(vm: Machine) -> None:
    lab = vm.lab
    can = can_share_blocks(lab.home)
    vm.snapshots.take("one")
    expected = content(lab.disks["data"])
    only(vm.clone("tree", snapshots=True))
    vm.delete()
    clone = lab.disks["tree.data"]
    assert len(clone.layers) == 2
    assert content(clone) == expected
    only(lab.machines["tree"].clone("again", snapshots=True))
    assert (count_shared(Path(lab.disks["again.data"].layers[-1].path)) >= 32 * MIB) is can
