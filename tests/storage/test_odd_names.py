"""Names of files that mean something to QEMU, and tools that do not stop talking."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import HostTrouble
from labkit.model.image import Allocation, Format
from labkit.storage import linking, process, qemu_img
from labkit.storage.headers import read_chain
from labkit.units import MIB
from tests.storage.tools import make_image, qemu_info, qemu_io

NAMES = ["nbd:127.0.0.1:10809.0.qcow2", "json:{}.0.qcow2", "ssh:x.0.qcow2", "fd:3", "a:b", "-x", "a b", "é'\"."]


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_before_a_colon_is_no_protocol(tmp_path: Path, name: str) -> None:
    base = make_image(tmp_path / name, Format.QCOW2, MIB)
    qemu_io(base, Format.QCOW2, "write -P 7 0 64k")
    top, link = tmp_path / "web.1.qcow2", tmp_path / "link.0.qcow2"
    qemu_img.create(
        top, Format.QCOW2, MIB, Allocation.DYNAMIC, backing=base, backing_format=Format.QCOW2, on_bytes=_unheard
    )
    linking.link([link], base, Format.QCOW2)
    for image in (top, link):
        assert qemu_info(image, Format.QCOW2)["full-backing-filename"].endswith(f"/{name}")
        assert [layer.path for layer in read_chain(image, Format.QCOW2)] == [str(image), str(base)]
        qemu_io(image, Format.QCOW2, "read -P 7 0 64k")
    linking.name_backing(top, base, Format.QCOW2)
    qemu_img.rebase(top, base, Format.QCOW2)
    qemu_io(top, Format.QCOW2, "read -P 7 0 64k")


def test_a_tool_that_does_not_stop_talking_is_ended() -> None:
    with pytest.raises(HostTrouble, match="says more than 16 MiB"):
        process.run(["cat", "/dev/zero"])


def _unheard(_done: int, _total: int) -> None:
    """Hear nothing."""
