"""Headers read by labkit say what qemu-img says, and nothing that is not an image passes for one."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.errors import HostTrouble
from labkit.model.image import Allocation, Format
from labkit.storage.headers import read_chain, read_folder, read_image
from labkit.units import GIB, MIB, TIB
from tests.storage.tools import EVERY, make_image, qemu_info, qemu_io

OPTIONS = {
    Format.RAW: ("preallocation=full",),
    Format.QCOW2: ("preallocation=full",),
    Format.VDI: ("static=on",),
    Format.VMDK: ("subformat=monolithicFlat",),
    Format.VHD: ("subformat=fixed",),
    Format.VHDX: ("subformat=fixed",),
}


@pytest.mark.parametrize(("format", "allocation"), EVERY)
def test_facts_of_every_format(tmp_path: Path, format: Format, allocation: Allocation) -> None:
    options = OPTIONS[format] if allocation is Allocation.FIXED else ()
    path = make_image(tmp_path / f"data.0.{format}", format, 64 * MIB, *options)

    facts = read_image(path, format)

    told = qemu_info(path, format)
    assert facts.capacity == told["virtual-size"]
    assert facts.allocation is allocation
    assert facts.length == sum(Path(file).stat().st_size for file in facts.files)
    assert facts.allocated == sum(Path(file).stat().st_blocks * 512 for file in facts.files)
    two = format is Format.VMDK and allocation is Allocation.FIXED
    assert [Path(file).name for file in facts.files] == [path.name, *(["data.0-flat.vmdk"] if two else [])]
    assert (facts.backing, facts.frozen) == (None, False)


@pytest.mark.parametrize("format", list(Format))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sectors=st.integers(1, 4 * TIB // 512) | st.integers(1, GIB // 512) | st.sampled_from([1, 127 * GIB // 512]))
def test_capacity_is_what_qemu_counts(tmp_path: Path, format: Format, sectors: int) -> None:
    capacity = min(sectors * 512, 2040 * GIB) if format is Format.VHD else sectors * 512
    path = tmp_path / "image"
    path.unlink(missing_ok=True)
    make_image(path, format, capacity)
    assert read_image(path, format).capacity == qemu_info(path, format)["virtual-size"]


@pytest.mark.parametrize("creator", [b"vpc ", b"qemu", b"qem2", b"win ", b"d2v ", b"tap\0", b"CTXS", b"else"])
@pytest.mark.parametrize("option", ["subformat=fixed", "subformat=dynamic"])
def test_capacity_of_vhd_depends_on_who_made_it(tmp_path: Path, creator: bytes, option: str) -> None:
    path = make_image(tmp_path / "data.0.vhd", Format.VHD, 64 * MIB, option)
    data = path.read_bytes()
    footer = bytearray(data[-512:])
    footer[0x1C:0x20] = creator
    footer[0x30:0x38] = (64 * MIB).to_bytes(8, "big")
    footer[0x40:0x44] = bytes(4)
    footer[0x40:0x44] = (~sum(footer) & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes((footer if "dynamic" in option else data[:512]) + data[512:-512] + footer)
    assert read_image(path, Format.VHD).capacity == qemu_info(path, Format.VHD)["virtual-size"]


@pytest.mark.parametrize("length", [0, 1, 511, 512, 1000])
def test_raw_is_counted_in_whole_sectors(tmp_path: Path, length: int) -> None:
    path = tmp_path / "data.0.raw"
    path.write_bytes(bytes(length))
    assert read_image(path, Format.RAW).capacity == qemu_info(path, Format.RAW)["virtual-size"]


@pytest.mark.parametrize("option", ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"])
def test_vmdk_of_many_files(tmp_path: Path, option: str) -> None:
    path = make_image(tmp_path / "data.0.vmdk", Format.VMDK, 5 * GIB, f"subformat={option}")
    facts = read_image(path, Format.VMDK)
    assert facts.capacity == 5 * GIB
    assert {Path(file).name for file in facts.files} == {file.name for file in tmp_path.iterdir()}


def test_a_difference_names_what_is_below_it(tmp_path: Path) -> None:
    base = make_image(tmp_path / "web.vda.0.vdi", Format.VDI)
    top = tmp_path / "web.vda.1.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", base.name, "-F", "vdi", top.name], check=True, cwd=tmp_path
    )
    facts = read_image(top, Format.QCOW2)
    assert (facts.backing, facts.backing_format) == (str(base), Format.VDI)
    assert facts.allocation is Allocation.DYNAMIC
    assert [layer.path for layer in read_chain(top, Format.QCOW2)] == [str(top), str(base)]


def test_a_difference_without_the_format_below_it_is_told_but_not_followed(tmp_path: Path) -> None:
    top = make_image(tmp_path / "top.1.qcow2", Format.QCOW2)
    base = make_image(tmp_path / "base.0.raw", Format.RAW)
    subprocess.run(["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", base.name, "-F", "raw", top], check=True)
    data = top.read_bytes()
    at = data.index(bytes.fromhex("e2792aca"))
    top.write_bytes(data[:at] + b"\0\0\0\x01" + data[at + 4 :])  # an extension that nobody knows
    assert read_image(top, Format.QCOW2).backing == str(base)
    assert read_image(top, Format.QCOW2).backing_format is None
    with pytest.raises(HostTrouble, match="does not record the format"):
        read_chain(top, Format.QCOW2)


def test_a_ring_of_differences_is_an_error(tmp_path: Path) -> None:
    top = make_image(tmp_path / "top.1.qcow2", Format.QCOW2)
    subprocess.run(["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", top.name, "-F", "qcow2", top], check=True)
    with pytest.raises(HostTrouble, match="difference to itself"):
        read_chain(top, Format.QCOW2)


@pytest.mark.parametrize("name", ["json:{}", "nbd:localhost:10809", "file:base.raw"])
def test_a_backing_name_that_is_no_file_is_an_error(tmp_path: Path, name: str) -> None:
    top = make_image(tmp_path / "top.1.qcow2", Format.QCOW2)
    subprocess.run(["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", name, "-F", "raw", top], check=True)
    with pytest.raises(HostTrouble, match=r"top\.1\.qcow2"):
        read_image(top, Format.QCOW2)


def test_frozen_is_closed_for_writing(tmp_path: Path) -> None:
    path = make_image(tmp_path / "data.0.qcow2", Format.QCOW2)
    path.chmod(0o444)
    assert read_image(path, Format.QCOW2).frozen


def test_a_folder_lists_the_images_that_can_be_read(tmp_path: Path) -> None:
    good = make_image(tmp_path / "good.0.vmdk", Format.VMDK, 8 * MIB, "subformat=monolithicFlat")
    bad = tmp_path / "bad.0.qcow2"
    bad.write_bytes(b"nothing")
    orphan = make_image(tmp_path / "orphan.0.vmdk", Format.VMDK, 8 * MIB, "subformat=monolithicFlat")
    (tmp_path / "orphan.0-flat.vmdk").unlink()
    os.mkfifo(tmp_path / "pipe.0.raw")
    (tmp_path / "gone.0.raw").symlink_to("nowhere")
    (tmp_path / "notes.txt").touch()

    assert list(read_folder(tmp_path)) == [str(good)]
    with pytest.raises(HostTrouble, match=r"orphan\.0-flat\.vmdk"):
        read_image(orphan, Format.VMDK)


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_folder(tmp_path / "none") == {}
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.0.raw", Format.RAW)


@pytest.mark.parametrize(("format", "other"), [(one, two) for one in Format for two in Format if Format.RAW is not one])
def test_the_format_is_believed_only_if_it_is_true(tmp_path: Path, format: Format, other: Format) -> None:
    path = make_image(tmp_path / "image", other)
    if format is other:
        assert read_image(path, format).format is format
    else:
        with pytest.raises(HostTrouble, match="image"):
            read_image(path, format)


@pytest.mark.parametrize(("format", "allocation"), [pair for pair in EVERY if pair[0] is not Format.RAW])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_header_is_an_error_or_a_fact_never_a_crash(
    tmp_path: Path, format: Format, allocation: Allocation, data: st.DataObject
) -> None:
    path = tmp_path / f"data.0.{format}"
    if not path.exists():
        make_image(path, format, MIB, *(OPTIONS[format] if allocation is Allocation.FIXED else ()))
    whole = path.read_bytes()[: 3 * MIB]
    length = data.draw(st.integers(0, 600) | st.just(len(whole)))
    hurt = bytearray(whole[:length])
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.sampled_from([0, 0x40, 0x154, 65536, 196608, 2 * MIB]).map(lambda start: start + start % 7))
        at += data.draw(st.integers(0, 127))
        if at < len(hurt):
            hurt[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0xFF]))
    damaged = tmp_path / f"damaged.{format}"
    damaged.write_bytes(hurt)
    with suppress(HostTrouble):
        read_image(damaged, format)


def test_500_images_take_less_than_a_second(tmp_path: Path) -> None:
    for number, (format, allocation) in enumerate(EVERY):
        options = OPTIONS[format] if allocation is Allocation.FIXED else ()
        path = make_image(tmp_path / f"disk{number}.0.{format}", format, MIB, *options)
        for copy in range(42):
            for file in read_image(path, format).files:
                data = (
                    Path(file)
                    .read_bytes()
                    .replace(f"disk{number}.0-flat".encode(), f"disk{number}.{copy}-flat".encode())
                )
                (tmp_path / Path(file).name.replace(f"disk{number}.0", f"disk{number}.{copy}")).write_bytes(data)
    before = time.process_time()  # what others on this computer do costs none of it
    images = read_folder(tmp_path)
    seconds = time.process_time() - before
    assert len(images) == 42 * len(EVERY)
    assert seconds < 1


def test_what_a_guest_writes_shows_in_the_three_sizes(tmp_path: Path) -> None:
    path = make_image(tmp_path / "data.0.qcow2", Format.QCOW2)
    empty = read_image(path, Format.QCOW2)
    qemu_io(path, Format.QCOW2, "write -P 1 0 1M")
    full = read_image(path, Format.QCOW2)
    assert full.capacity == empty.capacity
    assert full.allocated - empty.allocated >= MIB
    assert full.length > empty.length


@pytest.mark.parametrize("settled", [False, True], ids=["at once", "after a while"])
def test_a_header_that_changes_in_its_place_is_read_anew(tmp_path: Path, settled: bool) -> None:
    for name in ("a.0.qcow2", "b.0.qcow2"):
        make_image(tmp_path / name, Format.QCOW2, MIB)
    path = make_image(tmp_path / "top.0.qcow2", Format.QCOW2, MIB)
    for below in ("a.0.qcow2", "b.0.qcow2", "a.0.qcow2"):
        argv = ["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", below, "-F", "qcow2", path]
        subprocess.run(argv, check=True)
        end = time.monotonic() + (0.2 if settled else 0)
        while True:
            assert read_image(path, Format.QCOW2).backing == str(tmp_path / below)
            if time.monotonic() >= end:
                break
    path.chmod(0o444)
    assert read_image(path, Format.QCOW2).frozen
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_image(path, Format.QCOW2)


def test_a_header_that_is_just_being_written_is_read_as_it_was_or_as_it_is(tmp_path: Path) -> None:
    below = {"a.qcow2": Format.QCOW2, "a-much-longer-name.raw": Format.RAW}
    for name, format in below.items():
        make_image(tmp_path / name, format)
    top = tmp_path / "top.qcow2"
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "a.qcow2", "-F", "qcow2", str(top)]
    subprocess.run(argv, check=True)
    seen = set()
    for _turn in range(60):
        for name, format in reversed(below.items()):
            argv = ["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", name, "-F", format.driver, str(top)]
            with subprocess.Popen(argv) as writing:
                while writing.poll() is None:
                    facts = read_image(top, Format.QCOW2)
                    seen.add((facts.backing, facts.backing_format))
            assert writing.returncode == 0
    assert seen == {(str(tmp_path / name), format) for name, format in below.items()}
