"""What `sector` promises: it greets, answers, sleeps meanwhile, and starts from every disk format."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.images.bare import Guest, boot
from tests.images.conftest import Images

Start = Callable[..., Guest]


@pytest.fixture
def start_sector(images: Images, tmp_path: Path) -> Iterator[Start]:
    """Start `sector` from its disk with a message, converted into a format of `qemu-img`."""
    with ExitStack() as stack:

        def start(message: str | None = None, form: str = "raw") -> Guest:
            raw = images.disk("sector", tmp_path / "sector.raw")
            place = images.manifest("sector")["message"]
            if message is not None:
                with raw.open("r+b") as disk:
                    disk.seek(place["offset"])
                    disk.write(message.encode().ljust(place["length"], b"\0"))
            image = tmp_path / f"sector.{form}.image"
            subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", form, raw, image], check=True)
            drive = ["-drive", f"file={image},format={form},if=none,id=vda", "-device", "virtio-blk-pci,drive=vda"]
            return stack.enter_context(boot(tmp_path / "guest", drive, memory=16))

        yield start


def say(guest: Guest, line: bytes, answer: bytes) -> None:
    """Type a line; the answer must match."""
    guest.console.send(line + b"\r")
    guest.console.expect(answer)


def test_greets_with_the_message_it_was_built_with(start_sector: Start) -> None:
    start_sector().console.expect(rb"Hello! I am an operating system of 512 bytes.*\r\nsector> ")


def test_answers_what_is_typed(start_sector: Start) -> None:
    guest = start_sector()
    guest.console.expect(rb"sector> ")
    say(guest, b"good morning", rb"good morning\r\nyou said: good morning\r\nsector> ")
    say(guest, b"?", rb"\?\r\n\? help.*\r\nsector> ")
    say(guest, b"t", rb"t\r\n\d+ ticks since start\r\nsector> ")
    say(guest, b"ab\x7fc", rb"you said: ac\r\n")
    say(guest, b"x" * 200, rb"you said: x{72}\r\n")
    say(guest, b"", rb"sector> ")
    guest.console.send(b"o\r")
    guest.wait_end()


@pytest.mark.parametrize("message", ["", "¡Hola, mundo!", "m" * 109])
def test_the_message_can_be_changed_in_the_built_image(start_sector: Start, message: str) -> None:
    start_sector(message).console.expect(rb"^" + message.encode() + rb"\r\nsector> ")


@pytest.mark.parametrize("form", ["raw", "qcow2", "vdi", "vmdk", "vpc", "vhdx"])
def test_starts_from_every_disk_format(start_sector: Start, form: str) -> None:
    start_sector(f"from {form}", form).console.expect(rb"^from " + form.encode() + rb"\r\n")


def test_sleeps_while_nobody_types(start_sector: Start) -> None:
    guest = start_sector()
    guest.console.expect(rb"sector> ")
    status = Path(f"/proc/{guest.process.pid}/stat")

    def ticks() -> int:
        return sum(int(number) for number in status.read_text().rsplit(")", 1)[1].split()[11:13])

    before = ticks()
    time.sleep(1)  # the second that is measured
    assert ticks() - before < 20  # hundredths of it
