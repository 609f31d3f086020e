"""A lab's folder with other things than files in it, or that cannot be written to: it is read, or is one error."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import LabError
from labkit.limits import Limit
from labkit.model.image import Format
from labkit.storage.headers import read_image
from labkit.storage.maps import read_map
from tests.storage.test_plain import NOT_PLAIN
from tests.storage.tools import make_image

Make = Callable[[Path], None]


@pytest.mark.parametrize("format", [Format.RAW, Format.QCOW2, Format.VHDX])
@pytest.mark.parametrize("make", NOT_PLAIN, ids=lambda make: make.__name__)
def test_a_map_waits_for_nothing(tmp_path: Path, make: Make, format: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = make_image(tmp_path / f"web.0.{format}", format)
    image = read_image(path, format)
    path.unlink()
    make(Path(path.name))
    with pytest.raises(LabError, match="no plain file"):
        read_map([image], limit=Limit(5))


def test_a_map_follows_no_chain_that_leads_elsewhere(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "below")
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "below", "-F", "raw", "web.0.qcow2", "1M"]
    subprocess.run(argv, cwd=tmp_path, check=True)
    with pytest.raises(LabError, match="is gone"):
        read_map([read_image(tmp_path / "web.0.qcow2", Format.QCOW2)], limit=Limit(5))


@pytest.mark.parametrize("make", NOT_PLAIN, ids=lambda make: make.__name__)
def test_what_is_no_file_among_the_disks_harms_nobody(lab: Lab, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.disks.create("flat", capacity="1 MiB", format="vmdk", allocation="fixed")
    lab.disks.create("web", capacity="1 MiB")
    monkeypatch.chdir(lab.home / "disks")
    for name in ("odd.0.raw", "odd.0.qcow2", "odd.0.vhdx", "odd"):
        make(Path(name))
    Path("flat.0-flat.vmdk").unlink()
    make(Path("flat.0-flat.vmdk"))
    try:
        assert list(lab.disks) == ["web"]
        assert lab.disks["web"].map()
        with pytest.raises(LabError):
            lab.disks["flat"].map()
        for path in sorted(lab.home.glob("*.json")):
            path.rename(f"{path}.away")
            make(path)
            with suppress(LabError):
                list(lab.disks)
            _remove(path)
            Path(f"{path}.away").rename(path)
    finally:
        for path in sorted(Path().iterdir()):
            if not path.is_file() or path.is_symlink():
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder and all in it without the right to write."""
    before = {
        path: stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.rglob("*")) if not path.is_symlink()
    }
    for path, mode in before.items():
        path.chmod(mode & 0o555)
    try:
        yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)


def test_a_lab_that_cannot_be_written_to_is_read_all_the_same(lab: Lab) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB")
    vm.snapshots.take("one")
    lab.disks.create("data", capacity="1 MiB")
    with read_only(lab.home):
        assert list(lab.machines) == ["web"]
        assert "data" in lab.disks
        assert list(vm.snapshots) == ["one"]
        assert vm.state == "off"
        assert lab.lineage.graph()
        with Lab.open(lab.name) as again:
            assert list(again.machines) == ["web"]
        with pytest.raises(LabError):
            vm.snapshots.take("two")
        with pytest.raises(LabError):
            lab.disks.create("more", capacity="1 MiB")
    vm.snapshots.take("two")


def test_a_lab_that_cannot_be_read_is_one_error(lab: Lab) -> None:
    lab.create("web", image="sector", memory="16 MiB")
    for part in ("disks", "locks", "journal", "memory"):
        folder = lab.home / part
        folder.chmod(0)
        try:
            with suppress(LabError):
                list(lab.machines)
        finally:
            folder.chmod(0o700)
    assert list(lab.machines) == ["web"]
