"""A map leads to the bytes: what a guest wrote at an address is read at the place the map names."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import BadInput, HostTrouble, WrongState
from labkit.model.image import Allocation, Format
from labkit.model.regions import Region, RegionKind, find_region, join_regions, locate
from labkit.storage.headers import read_chain
from labkit.storage.maps import read_map
from labkit.storage.qemu_img import convert, create
from labkit.units import GIB, KIB, MIB, TIB
from tests.storage.tools import EVERY, qemu_io

BASES = [pair for pair in EVERY if pair[0] is not Format.VHDX]


def read_place(place: tuple[str, int], length: int) -> bytes:
    with Path(place[0]).open("rb") as file:
        file.seek(place[1])
        return file.read(length)


def is_whole(regions: tuple[Region, ...], capacity: int) -> bool:
    """Whether regions cover a disk from its first byte to its last, without gaps."""
    ends = [0, *(region.end for region in regions)]
    return [region.start for region in regions] == ends[:-1] and ends[-1] == capacity


@pytest.mark.parametrize(("format", "allocation"), EVERY)
def test_written_bytes_are_where_the_map_says(tmp_path: Path, format: Format, allocation: Allocation) -> None:
    path = tmp_path / f"data.0.{format}"
    create(path, format, 64 * MIB, allocation)
    qemu_io(path, format, "write -P 7 3M 4k", "write -P 9 40M 8k")
    layers = read_chain(path, format)
    regions = read_map(layers)
    assert is_whole(regions, layers[0].capacity)
    for offset, pattern in ((3 * MIB, 7), (40 * MIB, 9), (40 * MIB + 4096, 9)):
        assert read_place(locate(regions, offset), 4096) == bytes([pattern]) * 4096
    assert (locate(regions, 3 * MIB)[1] == 3 * MIB) is (
        format is Format.RAW or (allocation is Allocation.FIXED and format in (Format.VMDK, Format.VHD))
    )


@pytest.mark.parametrize(("format", "allocation"), EVERY)
def test_a_fixed_image_is_all_data_and_an_empty_dynamic_one_has_none(
    tmp_path: Path, format: Format, allocation: Allocation
) -> None:
    path = tmp_path / f"data.0.{format}"
    create(path, format, 8 * MIB, allocation)
    layers = read_chain(path, format)
    regions = read_map(layers)
    data = sum(region.length for region in regions if region.kind is RegionKind.DATA)
    if allocation is Allocation.FIXED:
        assert data == layers[0].capacity
    else:
        assert data <= 4 * KIB  # the first block of a raw file on some file systems


@pytest.mark.parametrize(("format", "allocation"), BASES)
def test_the_layer_that_serves_each_region(tmp_path: Path, format: Format, allocation: Allocation) -> None:
    base, middle, top = tmp_path / f"web.0.{format}", tmp_path / "web.1.qcow2", tmp_path / "web.2.qcow2"
    create(base, format, 64 * MIB, allocation)
    qemu_io(base, format, "write -P 1 0 1M", "write -P 1 40M 1M")
    capacity = read_chain(base, format)[0].capacity
    create(middle, Format.QCOW2, capacity, Allocation.DYNAMIC, backing=base, backing_format=format)
    qemu_io(middle, Format.QCOW2, "write -P 2 10M 1M", "write -P 2 40M 64k")
    create(top, Format.QCOW2, capacity, Allocation.DYNAMIC, backing=middle, backing_format=Format.QCOW2)
    qemu_io(top, Format.QCOW2, "write -P 3 20M 1M", "write -z 10M 64k")

    regions = read_map(read_chain(top, Format.QCOW2))
    assert is_whole(regions, capacity)
    for offset, layer, path in (
        (0, 2, base),
        (40 * MIB, 1, middle),
        (41 * MIB - 1, 2, base),
        (11 * MIB - 1, 1, middle),
        (20 * MIB, 0, top),
    ):
        region = find_region(regions, offset)
        assert region is not None
        assert region.layer == layer
        assert read_place(locate(regions, offset), 1) == bytes([3 - layer])
        assert locate(regions, offset)[0] in read_chain(path, format if layer == 2 else Format.QCOW2)[0].files
    zero = find_region(regions, 10 * MIB)
    assert zero is not None
    assert (zero.kind, zero.layer, zero.path) == (RegionKind.ZERO, 0, None)


def test_a_place_that_is_not_there_is_told_plainly(tmp_path: Path) -> None:
    path = tmp_path / "data.0.qcow2"
    create(path, Format.QCOW2, MIB, Allocation.DYNAMIC)
    regions = read_map(read_chain(path, Format.QCOW2))
    with pytest.raises(WrongState, match="holds nothing yet"):
        locate(regions, 0)
    for outside in (-1, MIB):
        with pytest.raises(BadInput, match="has no byte"):
            locate(regions, outside)


def test_compressed_bytes_have_no_place(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.raw", tmp_path / "packed.qcow2"
    create(plain, Format.RAW, MIB, Allocation.DYNAMIC)
    qemu_io(plain, Format.RAW, "write -P 7 0 1M")
    subprocess.run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", plain, packed], check=True)
    with pytest.raises(WrongState, match="compressed"):
        locate(read_map(read_chain(packed, Format.QCOW2)), 0)


def test_an_image_in_use_can_be_mapped(tmp_path: Path) -> None:
    path = tmp_path / "data.0.qcow2"
    create(path, Format.QCOW2, MIB, Allocation.DYNAMIC)
    user = subprocess.Popen(
        ["qemu-io", "-f", "qcow2", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert user.stdin is not None
        assert user.stdout is not None
        user.stdin.write("write -P 7 0 64k\nflush\n")
        user.stdin.flush()
        while "ops" not in user.stdout.readline():
            pass
        assert read_map(read_chain(path, Format.QCOW2))
    finally:
        user.communicate("quit\n")


def test_the_place_in_a_vhdx_of_terabytes(tmp_path: Path) -> None:
    path = tmp_path / "data.0.vhdx"
    create(path, Format.VHDX, 4 * TIB, Allocation.DYNAMIC)
    qemu_io(path, Format.VHDX, "write -P 7 3T 4k", "write -P 9 4398046507008 4k")
    regions = read_map(read_chain(path, Format.VHDX))
    assert is_whole(regions, 4 * TIB)
    assert read_place(locate(regions, 3 * TIB), 1) == b"\x07"
    assert read_place(locate(regions, 4 * TIB - 1), 1) == b"\x09"


def test_layers_that_have_changed_are_told(tmp_path: Path) -> None:
    base, top = tmp_path / "web.0.qcow2", tmp_path / "web.1.qcow2"
    create(base, Format.QCOW2, MIB, Allocation.DYNAMIC)
    qemu_io(base, Format.QCOW2, "write -P 7 0 64k")
    create(top, Format.QCOW2, MIB, Allocation.DYNAMIC, backing=base, backing_format=Format.QCOW2)
    layers = read_chain(top, Format.QCOW2)
    with pytest.raises(HostTrouble, match="is gone"):
        read_map(layers[:1])
    with pytest.raises(HostTrouble, match="other layers"):
        read_map([replace(layers[0], backing=None)])


def test_a_gibibyte_in_16_384_pieces_is_mapped_as_qemu_img_tells_it(tmp_path: Path) -> None:
    plain, path = tmp_path / "plain.raw", tmp_path / "data.0.qcow2"
    with plain.open("xb") as file:
        file.truncate(GIB)
        for at in range(0, GIB, 128 * KIB):
            os.pwrite(file.fileno(), b"x" * 4 * KIB, at)
    convert(plain, Format.RAW, path, Format.QCOW2, Allocation.DYNAMIC)
    told = subprocess.run(
        ["qemu-img", "map", "-f", "qcow2", "--output=json", path], check=True, capture_output=True
    ).stdout
    regions = read_map(read_chain(path, Format.QCOW2))
    assert len(regions) >= GIB // (64 * KIB)
    assert _data((region.start, region.length) for region in regions if region.kind is RegionKind.DATA) == _data(
        (region["start"], region["length"]) for region in json.loads(told) if region["data"]
    )


def _data(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where data lie, whatever they are cut into."""
    joined: list[tuple[int, int]] = []
    for start, length in pieces:
        if joined and sum(joined[-1]) == start:
            joined[-1] = (joined[-1][0], joined[-1][1] + length)
        else:
            joined.append((start, length))
    return joined


def test_neighbours_become_one() -> None:
    one = Region(start=0, length=10, kind=RegionKind.DATA, layer=0, path="a", offset=100)
    two = Region(start=10, length=5, kind=RegionKind.DATA, layer=0, path="a", offset=110)
    apart = Region(start=15, length=5, kind=RegionKind.DATA, layer=0, path="a", offset=200)
    gap = Region(start=20, length=5, kind=RegionKind.ABSENT)
    rest = Region(start=25, length=5, kind=RegionKind.ABSENT)
    assert [region.length for region in join_regions([one, two, apart, gap, rest])] == [15, 5, 10]
