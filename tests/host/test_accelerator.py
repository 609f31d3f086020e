"""KVM is usable only if a guest ran. Real QEMU, real guests."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import psutil
import pytest

from labkit.engine.folders import data_folder
from labkit.errors import BadInput
from labkit.hypervisor.accelerator import TIME_LIMIT, find_accelerator, run_probe, why_not_device
from labkit.model.image import Format, GuestImage
from labkit.model.machine import Accelerator
from labkit.storage.guest_images import read_guest_images

GREETING = bytes.fromhex("31c08ed8be157cac08c07406baf803eeebf5f4ebfd") + b"hello\r\n\0"
"""xor ax,ax; mov ds,ax; mov si,text; next: lodsb; or al,al; jz end; mov dx,0x3f8; out dx,al; jmp next; end: hlt"""

SILENCE = bytes.fromhex("f4ebfd")
"""hlt, for ever"""


def make_guest(folder: Path, code: bytes) -> GuestImage:
    disk = folder / "guest.raw"
    disk.write_bytes((code.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
    return GuestImage(
        name="own",
        kernel=None,
        initramfs=None,
        command_line="",
        disk=str(disk),
        format=Format.RAW,
        capacity=1 << 20,
        disk_bytes=512,
        minimum_memory=1 << 20,
        agent=False,
    )


@pytest.fixture
def tiny() -> GuestImage:
    return read_guest_images(data_folder() / "images")["tiny"]


@pytest.fixture(autouse=True)
def _nobody_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABKIT_ACCEL", raising=False)


def children() -> list[psutil.Process]:
    """The emulators this process has started; other tests may have left helpers of Python's own."""
    return [child for child in psutil.Process().children(recursive=True) if child.name().startswith("qemu-")]


def test_a_translated_guest_greets_and_nothing_of_it_stays(tmp_path: Path) -> None:
    probe = run_probe(Accelerator.TCG, make_guest(tmp_path, GREETING), limit=60)
    assert probe.spoke
    assert children() == []


def test_a_silent_guest_is_ended_at_the_limit(tmp_path: Path) -> None:
    began = time.monotonic()
    probe = run_probe(Accelerator.TCG, make_guest(tmp_path, SILENCE), limit=0.5)
    assert not probe.spoke
    assert not probe.ended
    assert time.monotonic() - began < 30
    assert children() == []


def test_an_emulator_that_refuses_is_quoted(tmp_path: Path) -> None:
    guest = make_guest(tmp_path, GREETING)
    Path(guest.disk).unlink()
    probe = run_probe(Accelerator.TCG, guest, limit=60)
    assert probe.ended
    assert not probe.spoke
    assert "guest.raw" in probe.words


def test_an_emulator_that_is_missing_is_no_crash(tmp_path: Path) -> None:
    probe = run_probe(Accelerator.TCG, make_guest(tmp_path, GREETING), emulator=str(tmp_path / "none"))
    assert (probe.spoke, probe.ended) == (False, True)


def test_the_guest_of_the_course_decides_within_its_limit_and_says_why(tiny: GuestImage, tmp_path: Path) -> None:
    facts = find_accelerator(probe_image=tiny, cache=tmp_path / "accelerator.json")
    assert facts.seconds < TIME_LIMIT + 15  # what it takes to start and to end QEMU, on a busy host
    assert facts.why.endswith(".") or "QEMU says" in facts.why
    assert children() == []
    if facts.accelerator is Accelerator.KVM:
        assert run_probe(Accelerator.KVM, tiny).spoke


def test_the_answer_is_kept_for_this_boot_and_this_qemu(tiny: GuestImage, tmp_path: Path) -> None:
    cache = tmp_path / "data" / "accelerator.json"
    first = find_accelerator(probe_image=tiny, cache=cache)
    again = find_accelerator(probe_image=tiny, cache=cache)
    assert (again.accelerator, again.why) == (first.accelerator, first.why)
    assert not again.probed
    if first.probed:
        assert again.seconds < first.seconds
        kept = json.loads(cache.read_text())
        kept["key"][0] = "another boot"
        cache.write_text(json.dumps(kept))
        assert find_accelerator(probe_image=tiny, cache=cache).probed


def test_a_kept_answer_that_cannot_be_read_is_asked_again(tiny: GuestImage, tmp_path: Path) -> None:
    cache = tmp_path / "accelerator.json"
    cache.write_text("{")
    facts = find_accelerator(probe_image=tiny, cache=cache)
    assert facts.probed == (why_not_device(Path("/dev/kvm")) is None)


def test_without_a_guest_nothing_is_tried(tmp_path: Path) -> None:
    facts = find_accelerator(probe_image=None, cache=tmp_path / "accelerator.json")
    assert facts.accelerator is Accelerator.TCG
    assert not facts.probed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("said", ["kvm", "tcg", " KVM "])
def test_the_variable_overrides(said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LABKIT_ACCEL", said)
    facts = find_accelerator(probe_image=None, cache=tmp_path / "accelerator.json")
    assert facts.accelerator is Accelerator(said.strip().lower())
    assert "LABKIT_ACCEL" in facts.why


def test_a_wrong_variable_is_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LABKIT_ACCEL", "xen")
    with pytest.raises(BadInput, match="kvm or tcg") as caught:
        find_accelerator(probe_image=None, cache=tmp_path / "accelerator.json")
    assert "unset LABKIT_ACCEL" in caught.value.hint


def test_a_device_that_is_missing_or_forbidden_is_told(tmp_path: Path) -> None:
    missing = why_not_device(tmp_path / "kvm")
    assert missing is not None
    assert "There is no" in missing
    device = tmp_path / "closed"
    device.touch(mode=0o000)
    assert os.geteuid() != 0
    forbidden = why_not_device(device)
    assert forbidden is not None
    assert "may not open" in forbidden
