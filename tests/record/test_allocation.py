"""A disk is called fixed or dynamic as it was made, also once it is full; where nobody knows it, it is called full."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from labkit import Lab
from labkit.disk import Disk
from labkit.engine.record_file import record_file
from labkit.figures import draw_sizes
from labkit.model.words import allocation_word
from labkit.units import MIB
from labkit.widgets.disk.parts import describe


def fill(disk: Disk) -> None:
    """Write all of it, from outside, as a guest would in the end."""
    write = f"write -q -P 7 0 {disk.capacity}"
    subprocess.run(["qemu-io", "-f", disk.facts.active.format.driver, "-c", write, disk.path], check=True)


def words(disk: Disk) -> set[str]:
    """All that is said of it: in a line, in the panel, in the drawing."""
    told = [repr(disk), describe(disk.facts), repr(draw_sizes([disk.facts]))]
    found = {word for text in told for word in ("fixed", "dynamic", "full") if f", {word}" in text}
    assert found == {allocation_word(disk.facts.base)}
    return found


@pytest.mark.parametrize("format", ["raw", "qcow2"])
@pytest.mark.parametrize("kind", ["fixed", "dynamic"])
def test_a_full_disk_is_called_as_it_was_made(lab: Lab, format: str, kind: str) -> None:
    disk = lab.disks.create("data", capacity="2 MiB", format=format, allocation=kind)
    fill(disk)
    assert disk.allocated >= disk.capacity
    assert words(disk) == {kind}
    disk.convert("other", format="raw" if format == "qcow2" else "qcow2", allocation="fixed")
    assert words(lab.disks["other"]) == {"fixed"}


def test_what_a_full_disk_becomes_keeps_the_word(lab: Lab) -> None:
    lab.create("web", image="sector").attach(lab.disks.create("data", capacity="2 MiB", format="raw"))
    fill(lab.disks["data"])
    lab.machines["web"].clone("copy", reflink=False)
    assert words(lab.disks["copy.data"]) == {"dynamic"}
    lab.disks["data"].resize("4 MiB")
    fill(lab.disks["data"])
    assert words(lab.disks["data"]) == {"dynamic"}
    with Lab.open(lab.name, home=lab.home.parent) as again:
        assert words(again.disks["data"]) == {"dynamic"}


def test_a_fixed_disk_that_is_compacted_is_dynamic_from_then_on(lab: Lab) -> None:
    disk = lab.disks.create("data", capacity="2 MiB", format="raw", allocation="fixed")
    disk.compact()
    fill(lab.disks["data"])
    assert words(lab.disks["data"]) == {"dynamic"}


def test_of_a_disk_that_no_record_tells_of_it_is_said_that_it_is_full(lab: Lab) -> None:
    lab.disks.create("data", capacity="2 MiB", format="raw")
    fill(lab.disks["data"])
    record_file(lab.home).unlink()
    assert words(lab.disks["data"]) == {"full"}
    Path(lab.home, "disks", "stray.0.raw").write_bytes(b"x" * MIB)
    assert words(lab.disks["stray"]) == {"full"}
