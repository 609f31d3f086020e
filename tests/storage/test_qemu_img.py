"""Images made, converted and grown: right as qemu-img judges them, whole under their name or not there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from labkit.errors import AlreadyExists, BadInput, Cancelled, HostTrouble, NoSpace, TimedOut
from labkit.limits import Limit
from labkit.model.image import Allocation, Format
from labkit.storage.checking import check, compare, info
from labkit.storage.headers import read_chain, read_folder, read_image
from labkit.storage.qemu_img import convert, create, resize
from labkit.units import GIB, MIB
from tests.storage.tools import EVERY, is_filled, longest_file, make_image, names, qemu_info, qemu_io, write_data


class Progress:
    """What was told of bytes done and in all."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def hear(self, done: int, every: int) -> None:
        self.told.append((done, every))

    @property
    def is_steady(self) -> bool:
        """Whether it only rose and ended with all done."""
        told = self.told
        return told == sorted(told) and all(done <= every for done, every in told) and told[-1][0] == told[-1][1]


@pytest.mark.parametrize(("format", "allocation"), EVERY)
def test_create(tmp_path: Path, format: Format, allocation: Allocation) -> None:
    path, told = tmp_path / f"data.0.{format}", Progress()
    create(path, format, 8 * MIB, allocation, on_bytes=told.hear)

    facts = read_image(path, format)
    assert facts.capacity == qemu_info(path, format)["virtual-size"]
    assert facts.allocation is allocation
    assert is_filled(facts) is (allocation is Allocation.FIXED)
    assert check(path, format).errors == 0
    assert names(tmp_path) == sorted(Path(file).name for file in facts.files)
    assert told.is_steady if allocation is Allocation.FIXED else not told.told


@pytest.mark.parametrize("format", list(Format))
def test_a_fixed_image_does_not_grow_when_written(tmp_path: Path, format: Format) -> None:
    path = tmp_path / f"data.0.{format}"
    create(path, format, 8 * MIB, Allocation.FIXED)
    empty = read_image(path, format)
    qemu_io(path, format, "write -P 7 0 8M")
    full = read_image(path, format)
    assert full.allocated == empty.allocated
    assert full.length - empty.length < 512  # QEMU fills up a VMDK's descriptor


def test_a_difference_names_its_backing_file_and_its_format(tmp_path: Path) -> None:
    base = make_image(tmp_path / "web.vda.0.vdi", Format.VDI)
    qemu_io(base, Format.VDI, "write -P 7 1M 64k")
    (tmp_path / "other").mkdir()
    for top in (tmp_path / "web.vda.1.qcow2", tmp_path / "other" / "web.vda.1.qcow2"):
        create(top, Format.QCOW2, 8 * MIB, Allocation.DYNAMIC, backing=base, backing_format=Format.VDI)
        assert [layer.path for layer in read_chain(top, Format.QCOW2)] == [str(top), str(base)]
        assert qemu_info(top, Format.QCOW2)["backing-filename"] == os.path.relpath(base, top.parent)
        assert compare(top, Format.QCOW2, base, Format.VDI)


def test_clusters_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "data.0.qcow2"
    create(path, Format.QCOW2, 8 * MIB, Allocation.FIXED, cluster_size=128 * 1024, extended_l2=True)
    told = qemu_info(path, Format.QCOW2)
    assert told["cluster-size"] == 128 * 1024
    assert told["format-specific"]["data"]["extended-l2"]
    assert is_filled(read_image(path, Format.QCOW2))


def test_options_that_a_format_lacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        create(tmp_path / "data.0.vdi", Format.VDI, MIB, Allocation.DYNAMIC, cluster_size=65536)
    with pytest.raises(BadInput):
        create(
            tmp_path / "data.0.qcow2", Format.QCOW2, MIB, Allocation.FIXED, backing=tmp_path, backing_format=Format.RAW
        )
    assert names(tmp_path) == []


@pytest.mark.parametrize(("format", "allocation"), EVERY)
def test_conversion_to_every_format_is_identical(tmp_path: Path, format: Format, allocation: Allocation) -> None:
    source = tmp_path / f"source.0.{format}"
    create(source, format, 8 * MIB, allocation)
    qemu_io(source, format, "write -P 7 3M 100k", "write -P 9 7M 1M")
    before = [Path(file).read_bytes() for file in read_image(source, format).files]
    for other, wanted in EVERY:
        target, told = tmp_path / f"target.0.{other}", Progress()
        convert(source, format, target, other, wanted, on_bytes=told.hear)
        facts = read_image(target, other)
        assert compare(source, format, target, other)
        assert facts.allocation is wanted
        assert is_filled(facts) or wanted is Allocation.DYNAMIC
        assert told.is_steady
        for file in facts.files:
            Path(file).unlink()
    assert [Path(file).read_bytes() for file in read_image(source, format).files] == before


@pytest.mark.parametrize(("format", "allocation"), EVERY)
def test_conversion_into_a_larger_image(tmp_path: Path, format: Format, allocation: Allocation) -> None:
    source, target, told = tmp_path / "source.0.vmdk", tmp_path / f"target.0.{format}", Progress()
    create(source, Format.VMDK, 4 * MIB, Allocation.DYNAMIC)
    qemu_io(source, Format.VMDK, "write -P 7 3M 1M")
    convert(
        source,
        Format.VMDK,
        target,
        format,
        allocation,
        capacity=16 * MIB,
        on_bytes=told.hear,
    )
    facts = read_image(target, format)
    assert compare(source, Format.VMDK, target, format)
    assert facts.capacity >= 16 * MIB
    assert is_filled(facts) is (allocation is Allocation.FIXED)
    assert told.is_steady


def test_conversion_takes_all_layers(tmp_path: Path) -> None:
    base, top = tmp_path / "web.0.raw", tmp_path / "web.1.qcow2"
    create(base, Format.RAW, 8 * MIB, Allocation.DYNAMIC)
    qemu_io(base, Format.RAW, "write -P 7 0 4M")
    create(top, Format.QCOW2, 8 * MIB, Allocation.DYNAMIC, backing=base, backing_format=Format.RAW)
    qemu_io(top, Format.QCOW2, "write -P 9 2M 4M")
    convert(top, Format.QCOW2, tmp_path / "flat.0.vdi", Format.VDI, Allocation.DYNAMIC)
    assert compare(top, Format.QCOW2, tmp_path / "flat.0.vdi", Format.VDI)
    assert read_image(tmp_path / "flat.0.vdi", Format.VDI).backing is None


def test_zeros_take_no_space_after_conversion(tmp_path: Path) -> None:
    path = tmp_path / "data.0.qcow2"
    create(path, Format.QCOW2, 64 * MIB, Allocation.DYNAMIC)
    qemu_io(path, Format.QCOW2, "write -P 0 0 64M")
    convert(path, Format.QCOW2, tmp_path / "data.1.qcow2", Format.QCOW2, Allocation.DYNAMIC)
    assert read_image(path, Format.QCOW2).allocated > 64 * MIB
    assert read_image(tmp_path / "data.1.qcow2", Format.QCOW2).allocated < MIB


def test_a_smaller_capacity_is_refused(tmp_path: Path) -> None:
    path = make_image(tmp_path / "data.0.raw", Format.RAW)
    with pytest.raises(BadInput, match="would not fit"):
        convert(path, Format.RAW, tmp_path / "data.1.raw", Format.RAW, Allocation.DYNAMIC, capacity=MIB)
    with pytest.raises(BadInput, match="cannot shrink"):
        resize(path, Format.RAW, MIB)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path = make_image(tmp_path / "data.0.raw", Format.RAW)
    with pytest.raises(AlreadyExists):
        create(path, Format.RAW, MIB, Allocation.DYNAMIC)
    with pytest.raises(AlreadyExists):
        convert(path, Format.RAW, path, Format.RAW, Allocation.DYNAMIC)
    assert path.stat().st_size == 8 * MIB


@pytest.mark.parametrize("format", [Format.RAW, Format.QCOW2])
@pytest.mark.parametrize("allocation", list(Allocation))
def test_resize_keeps_content_and_allocation(tmp_path: Path, format: Format, allocation: Allocation) -> None:
    path, copy = tmp_path / f"data.0.{format}", tmp_path / "copy.raw"
    create(path, format, 8 * MIB, allocation)
    qemu_io(path, format, "write -P 7 7M 1M")
    convert(path, format, copy, Format.RAW, Allocation.DYNAMIC)
    resize(path, format, 64 * MIB)
    facts = read_image(path, format)
    assert facts.capacity == 64 * MIB
    assert facts.allocation is allocation
    assert is_filled(facts) is (allocation is Allocation.FIXED)
    assert compare(path, format, copy, Format.RAW)


def test_growth_cut_short_by_a_crash_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "data.0.qcow2"
    create(path, Format.QCOW2, 8 * MIB, Allocation.FIXED)
    resize(path, Format.QCOW2, 64 * MIB, allocation=Allocation.DYNAMIC)
    assert read_image(path, Format.QCOW2).allocation is Allocation.DYNAMIC
    resize(path, Format.QCOW2, 64 * MIB, allocation=Allocation.FIXED)
    assert is_filled(read_image(path, Format.QCOW2))


@pytest.mark.parametrize("format", [Format.VDI, Format.VMDK, Format.VHD, Format.VHDX])
def test_other_formats_do_not_grow_in_place(tmp_path: Path, format: Format) -> None:
    path = make_image(tmp_path / f"data.0.{format}", format)
    with pytest.raises(BadInput, match="cannot grow in its place"):
        resize(path, format, 64 * MIB)


@pytest.mark.parametrize("format", [Format.RAW, Format.QCOW2])
def test_a_growth_that_fails_leaves_the_old_capacity(tmp_path: Path, format: Format) -> None:
    path = tmp_path / f"data.0.{format}"
    create(path, format, 8 * MIB, Allocation.FIXED)
    qemu_io(path, format, "write -P 7 7M 1M")
    before = read_image(path, format)
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        resize(path, format, 64 * MIB, on_bytes=lambda _done, _every: cancel.set(), limit=Limit(cancel=cancel))
    with longest_file(32 * MIB), pytest.raises(HostTrouble):
        resize(path, format, 64 * MIB)
    assert read_image(path, format).capacity == before.capacity
    assert check(path, format).errors == 0
    qemu_io(path, format, "read -P 7 7M 1M")


@pytest.mark.parametrize("format", list(Format))
def test_cancelling_creation_leaves_nothing(tmp_path: Path, format: Format) -> None:
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        create(
            tmp_path / f"data.0.{format}",
            format,
            32 * MIB,
            Allocation.FIXED,
            on_bytes=lambda _done, _every: cancel.set(),
            limit=Limit(cancel=cancel),
        )
    assert names(tmp_path) == []


@pytest.fixture
def source(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image whose conversion takes two seconds, and tells its progress in many steps: qemu-img is held back."""
    folder = tmp_path_factory.mktemp("held-back")
    (folder / "qemu-img").write_text(f"""#!/bin/sh
[ "$1" = convert ] && shift && exec {shutil.which("qemu-img")} convert -r 16M "$@"
exec {shutil.which("qemu-img")} "$@"
""")
    (folder / "qemu-img").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return write_data(tmp_path / "source.0.raw", 32 * MIB)


def the_child() -> psutil.Process:
    return next(child for child in psutil.Process().children() if child.name() == "qemu-img")


@pytest.mark.parametrize(
    ("format", "allocation"), [(Format.VMDK, Allocation.FIXED), (Format.QCOW2, Allocation.DYNAMIC)]
)
def test_cancelling_a_conversion_leaves_nothing(
    tmp_path: Path, source: Path, format: Format, allocation: Allocation
) -> None:
    cancel = threading.Event()
    children: list[psutil.Process] = []

    def stop(done: int, every: int) -> None:
        if 0 < done < every and not cancel.is_set():
            children.append(the_child())
            cancel.set()

    with pytest.raises(Cancelled):
        convert(
            source,
            Format.RAW,
            tmp_path / f"data.0.{format}",
            format,
            allocation,
            on_bytes=stop,
            limit=Limit(cancel=cancel),
        )
    assert names(tmp_path) == [source.name]
    assert [child.is_running() for child in children] == [False]


def test_a_child_that_is_killed_leaves_nothing(tmp_path: Path, source: Path) -> None:
    def kill(done: int, every: int) -> None:
        if 0 < done < every:
            the_child().kill()

    with pytest.raises(HostTrouble, match="SIGKILL") as told:
        convert(source, Format.RAW, tmp_path / "data.0.vdi", Format.VDI, Allocation.DYNAMIC, on_bytes=kill)
    assert told.value.details.startswith("$ qemu-img convert -p -f raw -O vdi ")
    assert names(tmp_path) == [source.name]


def test_a_child_keeps_the_locks_it_is_given(tmp_path: Path, source: Path) -> None:
    kept: set[str] = set()
    with (tmp_path / "lock").open("w") as lock:

        def look(done: int, every: int) -> None:
            if 0 < done < every and not kept:
                kept.update(os.readlink(link) for link in Path(f"/proc/{the_child().pid}/fd").iterdir())

        convert(
            source,
            Format.RAW,
            tmp_path / "data.0.vdi",
            Format.VDI,
            Allocation.DYNAMIC,
            on_bytes=look,
            inherit=[lock.fileno()],
        )
    assert str(tmp_path / "lock") in kept


DIE = """
import os, signal, sys
from pathlib import Path
from labkit.model.image import Allocation, Format
from labkit.storage.qemu_img import create
create(Path(sys.argv[1]), Format(sys.argv[2]), 32 * 2**20, Allocation.FIXED,
       on_bytes=lambda done, every: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.parametrize("format", list(Format))
def test_a_process_that_is_killed_leaves_no_image_and_the_next_try_tidies_up(tmp_path: Path, format: Format) -> None:
    path = tmp_path / f"data.0.{format}"
    died = subprocess.run([sys.executable, "-c", DIE, path, format], check=False)
    assert died.returncode == -signal.SIGKILL
    assert read_folder(tmp_path) == {}
    assert all(name.startswith(".making-") for name in names(tmp_path))
    create(path, format, 32 * MIB, Allocation.FIXED)
    assert names(tmp_path) == sorted(Path(file).name for file in read_image(path, format).files)


@pytest.mark.parametrize("format", [Format.RAW, Format.QCOW2, Format.VMDK])
@pytest.mark.parametrize("room", [64 * 1024, 4 * MIB])
def test_files_that_cannot_grow_are_no_space(tmp_path: Path, format: Format, room: int) -> None:
    source = make_image(tmp_path / "source.0.raw", Format.RAW)
    qemu_io(source, Format.RAW, "write -P 7 0 8M")
    with longest_file(room), pytest.raises(NoSpace):
        convert(source, Format.RAW, tmp_path / f"data.0.{format}", format, Allocation.DYNAMIC)
    assert names(tmp_path) == [source.name]


FILL = """
import sys
from pathlib import Path
from labkit.errors import NoSpace
from labkit.model.image import Allocation, Format
from labkit.storage.qemu_img import convert, create, resize
full, source = Path(sys.argv[1]), Path(sys.argv[2])
def refused(act, *arguments, **more):
    try:
        act(*arguments, **more)
    except NoSpace:
        assert not list(full.glob("data*")), list(full.iterdir())
    else:
        raise AssertionError(arguments)
for format in Format:
    path = full / f"data.0.{format}"
    refused(create, path, format, 64 * 2**20, Allocation.FIXED)
    for allocation in Allocation:
        refused(convert, source, Format.RAW, path, format, allocation)
        refused(convert, source, Format.RAW, path, format, allocation, capacity=128 * 2**20)
small = full / "small.0.raw"
create(small, Format.RAW, 2**20, Allocation.FIXED)
refused(resize, small, Format.RAW, 64 * 2**20)
assert small.stat().st_size == 2**20
assert list(full.iterdir()) == [small]
"""


def test_a_full_disk_leaves_nothing_at_any_stage(tmp_path: Path) -> None:
    source = write_data(tmp_path / "source.0.raw", 64 * MIB)
    (tmp_path / "full").mkdir()
    script = 'mount -t tmpfs -o size=24m full "$1" && exec "$2" -c "$3" "$1" "$4"'
    done = subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"),
            *(tmp_path / "full", sys.executable, FILL, source),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_time_limit_ends_the_work(tmp_path: Path) -> None:
    with pytest.raises(TimedOut):
        create(tmp_path / "data.0.raw", Format.RAW, 64 * MIB, Allocation.FIXED, limit=Limit(0.0))
    assert names(tmp_path) == []


def test_a_failure_is_a_line_to_paste(tmp_path: Path) -> None:
    path = tmp_path / "it's not.vdi"
    path.write_bytes(b"nothing")
    with pytest.raises(HostTrouble) as told:
        info(path, Format.VDI)
    line = told.value.details.splitlines()[0].removeprefix("$ ")
    again = subprocess.run(["sh", "-c", line], check=False, capture_output=True, text=True)
    assert again.returncode != 0
    assert again.stderr.strip() in told.value.details


def test_damage_is_found(tmp_path: Path) -> None:
    path = make_image(tmp_path / "data.0.qcow2", Format.QCOW2)
    qemu_io(path, Format.QCOW2, "write -P 7 0 1M")
    with path.open("r+b") as file:
        file.seek(65536 * 2)
        file.write(bytes(16))
    assert check(path, Format.QCOW2).errors > 0
    assert not check(make_image(tmp_path / "data.0.raw", Format.RAW), Format.RAW).known


def test_progress_is_within_five_percent_of_the_truth(tmp_path: Path) -> None:
    source, target = write_data(tmp_path / "source.0.raw", GIB), tmp_path / "target.0.vdi"
    apart: list[float] = []

    def measure(done: int, every: int) -> None:
        written = sum(part.stat().st_blocks * 512 for part in tmp_path.glob(".making-*/*"))
        if written:
            apart.append(abs(done - written) / every)

    convert(source, Format.RAW, target, Format.VDI, Allocation.DYNAMIC, on_bytes=measure)
    assert len(apart) > 20
    assert sorted(apart)[len(apart) * 9 // 10] < 0.05
