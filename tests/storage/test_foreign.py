"""A file from outside is a whole image that depends on nothing else, or it is refused with one clear sentence."""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.errors import BadInput, Cancelled, HostTrouble, NoSpace, NotFound
from labkit.limits import Limit
from labkit.model.image import Allocation, Format
from labkit.storage.checking import compare
from labkit.storage.foreign import inspect
from labkit.storage.headers import read_chain
from labkit.storage.importing import bring_in
from labkit.storage.maps import read_map
from labkit.units import MIB, TIB
from tests.storage.tools import longest_file, make_image, names, qemu_io, write_data


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *words], check=True, capture_output=True)


@pytest.mark.parametrize("format", list(Format))
def test_a_good_image_is_seen_as_it_is_and_brought_in(tmp_path: Path, format: Format) -> None:
    path = make_image(tmp_path / f"brought.{format}", format)
    qemu_io(path, format, "write -P 7 3M 64k")
    lab = tmp_path / "disks"
    lab.mkdir()

    foreign = inspect(path)
    assert (foreign.format, foreign.allocation is Allocation.FIXED) == (format, False)
    assert 64 * 1024 <= foreign.data <= foreign.capacity

    told: list[tuple[int, int]] = []
    target = lab / "data.0.qcow2"
    bring_in(foreign, target, Format.QCOW2, Allocation.DYNAMIC, on_bytes=lambda done, every: told.append((done, every)))
    assert compare(path, format, target, Format.QCOW2)
    assert names(lab) == ["data.0.qcow2"]
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]


def test_a_fixed_vmdk_is_brought_in_with_both_files(tmp_path: Path) -> None:
    path = make_image(tmp_path / "brought.vmdk", Format.VMDK, 8 * MIB, "subformat=monolithicFlat")
    qemu_io(path, Format.VMDK, "write -P 7 3M 64k")
    (tmp_path / "disks").mkdir()
    target = tmp_path / "disks" / "data.0.vmdk"
    bring_in(inspect(path), target, Format.VMDK, Allocation.FIXED, on_bytes=print)
    assert compare(path, Format.VMDK, target, Format.VMDK)
    assert names(tmp_path / "disks") == ["data.0-flat.vmdk", "data.0.vmdk"]


@pytest.mark.parametrize(
    ("name", "true", "said"),
    [
        ("web.vdi", Format.VMDK, None),
        ("web.img", Format.QCOW2, None),
        ("web.vmdk", Format.VMDK, Format.VDI),
        ("web.vhd", Format.VHDX, None),
        ("web.qcow2", Format.QCOW2, Format.RAW),
    ],
)
def test_an_untrue_format_is_refused_with_the_true_one(
    tmp_path: Path, name: str, true: Format, said: Format | None
) -> None:
    path = make_image(tmp_path / name, true)
    with pytest.raises(BadInput, match=f"its content is {true}") as told:
        inspect(path, said)
    assert f'format="{true}"' in told.value.hint
    assert inspect(path, true).format is true


def test_a_name_without_an_ending_tells_nothing_and_raw_must_be_said(tmp_path: Path) -> None:
    assert inspect(make_image(tmp_path / "web", Format.VDI)).format is Format.VDI
    plain = make_image(tmp_path / "plain", Format.RAW)
    with pytest.raises(BadInput, match="does not tell what it is"):
        inspect(plain)
    assert inspect(plain, Format.RAW).format is Format.RAW


def with_backing(folder: Path) -> Path:
    path = make_image(folder / "hostile.qcow2", Format.QCOW2)
    qemu_img("rebase", "-u", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", path)
    return path


def with_json_name(folder: Path) -> Path:
    path = make_image(folder / "hostile.qcow2", Format.QCOW2)
    name = 'json:{"driver":"nbd","host":"localhost"}'
    qemu_img("rebase", "-u", "-f", "qcow2", "-b", name, "-F", "raw", path)
    return path


def with_network_name(folder: Path) -> Path:
    path = make_image(folder / "hostile.qcow2", Format.QCOW2)
    qemu_img("rebase", "-u", "-f", "qcow2", "-b", "nbd://localhost/x", "-F", "raw", path)
    return path


def with_data_file(folder: Path) -> Path:
    return make_image(folder / "hostile.qcow2", Format.QCOW2, MIB, f"data_file={folder}/data.bin")


def encrypted(folder: Path) -> Path:
    path = folder / "hostile.qcow2"
    options = ("-o", "encrypt.format=aes,encrypt.key-secret=s")
    qemu_img("create", "-f", "qcow2", "--object", "secret,id=s,data=abc", *options, path, "1M")
    return path


def marked_corrupt(folder: Path) -> Path:
    path = make_image(folder / "hostile.qcow2", Format.QCOW2)
    with path.open("r+b") as file:
        file.seek(72)
        file.write((2).to_bytes(8, "big"))
    return path


def cut_short(folder: Path) -> Path:
    path = make_image(folder / "hostile.qcow2", Format.QCOW2)
    os.truncate(path, 90)
    return path


def without_its_tables(folder: Path) -> Path:
    path = make_image(folder / "hostile.qcow2", Format.QCOW2)
    with path.open("r+b") as file:
        file.seek(48)
        file.write(struct.pack(">QI", 2**60, 2**20))  # the table of reference counts
    return path


def bomb(folder: Path) -> Path:
    return make_image(folder / "hostile.qcow2", Format.QCOW2, 64 * TIB)


def vmdk(folder: Path, lines: str) -> Path:
    path = folder / "hostile.vmdk"
    path.write_text(
        f'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n{lines}\n'
    )
    (folder / "flat.vmdk").write_bytes(bytes(MIB))
    return path


def vmdk_absolute(folder: Path) -> Path:
    return vmdk(folder, 'RW 4 FLAT "/etc/passwd" 0')


def vmdk_above(folder: Path) -> Path:
    return vmdk(folder, 'RW 4 FLAT "../flat.vmdk" 0')


def vmdk_json(folder: Path) -> Path:
    return vmdk(folder, 'RW 4 FLAT "json:{}" 0')


def vmdk_sign(folder: Path) -> Path:
    return vmdk(folder, 'RW 4 FLAT "flat.vmdk" 0\nRW +4 FLAT "/etc/passwd" 0')


def vmdk_open_quote(folder: Path) -> Path:
    return vmdk(folder, 'RW 4 FLAT "flat.vmdk" 0\nRW 4 FLAT "/etc/passwd')


def vmdk_link(folder: Path) -> Path:
    (folder / "link.vmdk").symlink_to("/etc/passwd")
    return vmdk(folder, 'RW 4 FLAT "link.vmdk" 0')


def vmdk_short(folder: Path) -> Path:
    return vmdk(folder, 'RW 4096000 FLAT "flat.vmdk" 0')


def vmdk_missing(folder: Path) -> Path:
    return vmdk(folder, 'RW 4 FLAT "none.vmdk" 0')


def vmdk_kind(folder: Path) -> Path:
    return vmdk(folder, 'RW 4 SESPARSE "flat.vmdk"')


def vmdk_without_size(folder: Path) -> Path:
    path = make_image(folder / "hostile.vmdk", Format.VMDK)
    data = bytearray(path.read_bytes())
    data[12:20] = bytes(8)  # then QEMU follows the descriptor inside
    path.write_bytes(data.replace(b'SPARSE "hostile.vmdk"', b'FLAT "/etc/passwd" 0 '))
    return path


def vmdk_parent(folder: Path) -> Path:
    return vmdk(folder, 'parentFileNameHint="/etc/passwd"\nRW 4 FLAT "flat.vmdk" 0')


def vdi_difference(folder: Path) -> Path:
    path = make_image(folder / "hostile.vdi", Format.VDI)
    with path.open("r+b") as file:
        file.seek(0x4C)
        file.write(b"\x04")
    return path


def vhd_without_footer(folder: Path) -> Path:
    path = make_image(folder / "hostile.vhd", Format.VHD, MIB, "subformat=fixed")
    os.truncate(path, path.stat().st_size - 512)
    return path


def a_folder(folder: Path) -> Path:
    (folder / "hostile.raw").mkdir()
    return folder / "hostile.raw"


def a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "hostile.raw")
    return folder / "hostile.raw"


def a_device(folder: Path) -> Path:
    (folder / "hostile.raw").symlink_to("/dev/null")
    return folder / "hostile.raw"


def a_ring_of_links(folder: Path) -> Path:
    (folder / "hostile.raw").symlink_to("hostile.raw")
    return folder / "hostile.raw"


def empty(folder: Path) -> Path:
    (folder / "hostile.raw").touch()
    return folder / "hostile.raw"


HOSTILE: list[tuple[Callable[[Path], Path], str]] = [
    (with_backing, "only the difference to /etc/passwd"),
    (with_json_name, "only the difference to json:"),
    (with_network_name, "only the difference to nbd:"),
    (with_data_file, "keeps its data in another file"),
    (encrypted, "encrypted"),
    (marked_corrupt, "marked as damaged"),
    (cut_short, "ends too early"),
    (without_its_tables, "qemu-img cannot read it"),
    (bomb, "claims a capacity"),
    (vmdk_absolute, "wants the file /etc/passwd"),
    (vmdk_above, r"wants the file \.\./flat"),
    (vmdk_json, "wants the file json:"),
    (vmdk_sign, "list of files is damaged"),
    (vmdk_open_quote, "unknown kind FLAT"),
    (vmdk_link, "missing or a link"),
    (vmdk_short, "part flat.vmdk is damaged"),
    (vmdk_missing, "missing or a link"),
    (vmdk_kind, "unknown kind SESPARSE"),
    (vmdk_without_size, "impossible values"),
    (vmdk_parent, "only the difference to /etc/passwd"),
    (vdi_difference, "only the difference to"),
    (vhd_without_footer, "does not begin as one"),
    (a_folder, "folder, a pipe or a device"),
    (a_pipe, "folder, a pipe or a device"),
    (a_device, "folder, a pipe or a device"),
    (a_ring_of_links, "symbolic links"),
    (empty, "claims a capacity of 0 bytes"),
]


@pytest.mark.parametrize(("make", "why"), HOSTILE, ids=[make.__name__ for make, _why in HOSTILE])
def test_a_hostile_file_is_refused(tmp_path: Path, make: Callable[[Path], Path], why: str) -> None:
    path = make(tmp_path)
    before = names(tmp_path)
    with pytest.raises(BadInput, match=why) as told:
        inspect(path)
    assert path.name in told.value.message
    assert told.value.hint
    assert names(tmp_path) == before


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        inspect(tmp_path / "none.vdi")


def test_compressed_data_count_unpacked(tmp_path: Path) -> None:
    path = write_data(tmp_path / "big.raw", 64 * MIB)
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", path, tmp_path / "bomb.qcow2")
    foreign = inspect(tmp_path / "bomb.qcow2")
    assert foreign.length < 2 * MIB
    assert foreign.data == 64 * MIB


def test_an_image_larger_than_the_host_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    foreign = inspect(make_image(tmp_path / "large.qcow2", Format.QCOW2, 2 * TIB))
    (tmp_path / "disks").mkdir()
    with pytest.raises(NoSpace, match="needs"):
        bring_in(foreign, tmp_path / "disks/data.0.raw", Format.RAW, Allocation.FIXED, on_bytes=print)
    assert names(tmp_path / "disks") == []


def test_a_file_that_changes_while_it_is_copied_is_refused(tmp_path: Path) -> None:
    path = make_image(tmp_path / "moving.raw", Format.RAW)
    foreign = inspect(path)
    qemu_io(path, Format.RAW, "write -P 1 0 64k")
    (tmp_path / "disks").mkdir()
    with pytest.raises(BadInput, match="has changed"):
        bring_in(foreign, tmp_path / "disks/data.0.raw", Format.RAW, Allocation.DYNAMIC, on_bytes=print)
    assert names(tmp_path / "disks") == []


def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    path = make_image(tmp_path / "brought.raw", Format.RAW, 16 * MIB)
    qemu_io(path, Format.RAW, "write -P 1 0 16M")
    (tmp_path / "disks").mkdir()
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        bring_in(
            inspect(path),
            tmp_path / "disks/data.0.vdi",
            Format.VDI,
            Allocation.FIXED,
            on_bytes=lambda _done, _every: cancel.set(),
            limit=Limit(cancel=cancel),
        )
    assert names(tmp_path / "disks") == []


@pytest.mark.parametrize("room", [MIB // 8, 9 * MIB], ids=["copying", "converting"])
def test_a_full_host_leaves_nothing(tmp_path: Path, room: int) -> None:
    plain = write_data(tmp_path / "plain.raw", 64 * MIB)
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", plain, tmp_path / "brought.qcow2")
    foreign = inspect(tmp_path / "brought.qcow2")
    (tmp_path / "disks").mkdir()
    with longest_file(room), pytest.raises(NoSpace):
        bring_in(foreign, tmp_path / "disks/data.0.qcow2", Format.QCOW2, Allocation.DYNAMIC, on_bytes=print)
    assert names(tmp_path / "disks") == []


def test_a_file_longer_than_any_disk_is_refused_at_once() -> None:
    """QEMU goes through all clusters of such a file, there or not: for four exbibytes that takes days."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:  # not every file system holds such files
        image = Path(folder, "long.qcow2")
        qemu_img("create", "-q", "-f", "qcow2", image, "1M")
        os.truncate(image, 1 << 62)
        with pytest.raises(BadInput, match="4611686018427387904 bytes long"):
            inspect(image)
        with pytest.raises(HostTrouble, match="4611686018427387904 bytes long"):
            read_map(read_chain(image, Format.QCOW2))
