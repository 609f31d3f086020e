"""Who has an image open is seen from its locks alone: a server's process, every layer, every format."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit.errors import HostTrouble
from labkit.model.image import Allocation, Format
from labkit.storage.image_locks import is_held
from labkit.storage.nbd import start_server, stop_server
from labkit.storage.qemu_img import create
from labkit.units import MIB
from tests.storage.tools import make_image


@contextmanager
def opened(image: Path, format: Format) -> Iterator[None]:
    """A process of QEMU's that has an image, and all below it, open."""
    with tempfile.TemporaryDirectory(prefix="lk-", dir="/tmp") as folder:
        socket = Path(folder) / "s"
        start_server(image, format, socket)
        try:
            yield
        finally:
            stop_server(socket)


@pytest.mark.parametrize("format", [Format.RAW, Format.QCOW2, Format.VDI, Format.VMDK, Format.VHD])
def test_an_image_is_held_while_a_process_has_it_open(tmp_path: Path, format: Format) -> None:
    image = tmp_path / "data.0"
    create(image, format, 8 * MIB, Allocation.DYNAMIC)
    assert not is_held(image)
    with opened(image, format):
        assert is_held(image)
    assert not is_held(image)


def test_every_layer_below_is_held_too_frozen_ones_included(tmp_path: Path) -> None:
    base, top = tmp_path / "data.0", tmp_path / "data.1"
    create(base, Format.QCOW2, 8 * MIB, Allocation.DYNAMIC)
    base.chmod(0o444)
    make_image(top, Format.QCOW2, 8 * MIB, f"backing_file={base.name}", "backing_fmt=qcow2")
    with opened(top, Format.QCOW2):
        assert is_held(base)
    assert not is_held(base)


def test_both_files_of_a_fixed_vmdk_are_held(tmp_path: Path) -> None:
    image = tmp_path / "data.0.vmdk"
    create(image, Format.VMDK, 4 * MIB, Allocation.FIXED)
    with opened(image, Format.VMDK):
        assert all(is_held(file) for file in tmp_path.iterdir())


def test_what_is_no_image_in_a_file_is_not_held(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert not is_held(tmp_path / "fifo")
    assert not is_held(tmp_path)
    assert not is_held(tmp_path / "nothing")


def test_what_cannot_be_looked_into_is_said_and_not_taken_for_free(tmp_path: Path) -> None:
    image = tmp_path / "data.0"
    create(image, Format.QCOW2, 8 * MIB, Allocation.DYNAMIC)
    image.chmod(0)
    with pytest.raises(HostTrouble, match=r"data\.0"):
        is_held(image)
