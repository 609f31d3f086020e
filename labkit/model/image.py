"""Disk images and guest images as values.

An *image* is a set of files, usually one. Three sizes, always named: *capacity* (what the guest
sees), *file length*, *allocated* (what the host really gave).

Knows: the words of the course. Must not know: how images are read.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """A disk image as it lies on the host.

    Attributes:
        path: its (first) file, absolute. format: as recorded, e.g. "qcow2".
        capacity, length, allocated: bytes; see the module.
        backing: absolute path of the image it is a difference to, or None: it is a base.
        frozen: whether it is closed for writing (mode 0444).
    """

    path: str
    format: str
    capacity: int
    length: int
    allocated: int
    backing: str | None = None
    frozen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Where a guest image keeps the message it greets with: bytes `offset` … `offset + length`."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestImage:
    """A guest image built by `images/build.py`: what a new machine is made of.

    Attributes:
        name: "tiny", "sector", ….
        kernel, initramfs: absolute paths of content-addressed files, or None: boots through the BIOS.
        command_line: the base part of the kernel's command line.
        disk: absolute path of the disk image that a machine gets a copy of; format, capacity: of it.
        disk_bytes: bytes its file takes: what a copy copies.
        minimum_memory: bytes below which it does not boot.
        agent: whether it runs a guest agent.
        message: where its greeting is, or None.
    """

    name: str
    kernel: str | None
    initramfs: str | None
    command_line: str
    disk: str
    format: str
    capacity: int
    disk_bytes: int
    minimum_memory: int
    agent: bool
    message: Message | None = None
