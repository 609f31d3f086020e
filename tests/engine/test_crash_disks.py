"""A kernel killed while qemu-img works: nothing half made is left, and the source is as it was."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import Cancelled
from labkit.experiments import hash_file
from labkit.model.disk import DiskFacts

LAB = "crash-disks"
CONVERT = f"""
from labkit import Lab
lab = Lab.open("{LAB}")
lab.disks["source"].convert("copy", format="vmdk", allocation="fixed")
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A lab with a disk that takes seconds to convert: 1 GiB fixed."""
    with Lab.open(LAB) as opened:
        opened.clean()
        source = opened.disks.create("source", capacity="1 GiB")
        argv = ["qemu-io", "-f", "qcow2", "-c", "write -q -P 5 0 64M", str(source.path)]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        yield opened
        opened.clean()


def _wait_for_child(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Return when the conversion has begun to write."""
    end = time.monotonic() + 150
    while not any(folder.glob(".making-*/*")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_kernel_killed_while_it_converts_leaves_the_source_and_nothing_else(lab: Lab) -> None:
    before: DiskFacts = lab.disks["source"].facts
    digest = hash_file(Path(before.active.path))
    kernel = subprocess.Popen([sys.executable, "-c", CONVERT])
    _wait_for_child(kernel, lab.home / "disks")
    kernel.kill()
    kernel.wait()
    _recover(lab)
    assert list(lab.disks) == ["source"]
    assert _files(lab.home / "disks") == [Path(before.active.path).name]
    assert hash_file(Path(before.active.path)) == digest


def _recover(lab: Lab) -> None:
    """Open the lab until the act has ended: a qemu-img that outlived its kernel keeps the lock and is waited for."""
    end = time.monotonic() + 150
    while any((lab.home / "journal").iterdir()):
        with Lab.open(LAB):
            assert time.monotonic() < end


def test_a_cancelled_conversion_leaves_nothing(lab: Lab) -> None:
    cancel = threading.Event()
    plan = lab.disks["source"].convert.plan("copy", format="vdi", allocation="fixed")
    with pytest.raises(Cancelled):
        lab.carry_out(plan, on_progress=lambda progress: cancel.set() if progress.done else None, cancel=cancel)
    assert list(lab.disks) == ["source"]
    assert len(_files(lab.home / "disks")) == 1
