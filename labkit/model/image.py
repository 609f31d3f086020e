"""Disk images and guest images as values.

An *image* is a set of files, usually one. Three sizes, always named: *capacity* (what the guest
sees), *file length*, *allocated* (what the host really gave).

Knows: the words of the course. Must not know: how images are read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Format(StrEnum):
    """The disk image formats of the lab, by the name people use; files are named by it too."""

    RAW = "raw"
    QCOW2 = "qcow2"
    VDI = "vdi"
    VMDK = "vmdk"
    VHD = "vhd"
    VHDX = "vhdx"

    @property
    def driver(self) -> str:
        """What QEMU and libvirt call it."""
        return "vpc" if self is Format.VHD else str(self)

    @property
    def attachable(self) -> bool:
        """Whether a machine can use it: libvirt knows no VHDX."""
        return self is not Format.VHDX

    @property
    def can_be_saved(self) -> bool:
        """Whether a running machine's memory can be saved while a layer has this format."""
        return self in (Format.RAW, Format.QCOW2)


class Allocation(StrEnum):
    """Whether the host gave the whole capacity at once (fixed) or gives space as the guest writes (dynamic)."""

    FIXED = "fixed"
    DYNAMIC = "dynamic"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """A disk image as it lies on the host.

    Attributes:
        path: its (first) file, absolute. format: as its name records it; never probed.
        capacity, length, allocated: bytes, the latter two of all its files; see the module.
        allocation: as its header says, or for raw and qcow2, which have no such mark, as the lab's record says it was
            made; one without either is called fixed when the host has given at least the capacity.
        tells: whether header or record say so; else it is only full.
        files: all its files, absolute: one, but two for a fixed VMDK.
        backing: absolute path of the image below it, or None if it is a base.
        backing_format: the format of the image below, as recorded beside its name. None: it is a base; or the format is
            not recorded, and the image cannot be used, since formats are never probed.
        frozen: whether its file is read-only (mode 0444).
        internal: how many snapshots another tool keeps inside it (`qemu-img snapshot -l`).
    """

    path: str
    format: Format
    capacity: int
    length: int
    allocated: int
    allocation: Allocation
    files: tuple[str, ...]
    backing: str | None = None
    backing_format: Format | None = None
    frozen: bool = False
    internal: int = 0
    tells: bool = True

    def made(self, allocation: Allocation | None) -> ImageFacts:
        """Return it as the record says it was made, where that is known and it does not tell itself."""
        return self if self.tells or allocation is None else replace(self, allocation=allocation, tells=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """Where a guest image keeps its greeting: bytes `offset` to `offset + length`."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestImage:
    """A guest image built by `images/build.py`: what a new machine is made of.

    Attributes:
        name: "tiny", "sector", ….
        kernel, initramfs: absolute paths of content-addressed files, or None if it boots through the BIOS.
        command_line: the base part of the kernel's command line.
        disk: absolute path of the disk image that a machine gets a copy of; format, capacity: those of that image.
        disk_bytes: bytes that its file takes and a copy copies.
        minimum_memory: bytes below which it does not boot.
        agent: whether it runs a guest agent.
        prompt: what its console prints last when it is up and waits for its user, or None: it cannot be kept booted.
        message: where its greeting is, or None.
    """

    name: str
    kernel: str | None
    initramfs: str | None
    command_line: str
    disk: str
    format: Format
    capacity: int
    disk_bytes: int
    minimum_memory: int
    agent: bool
    prompt: str | None = None
    message: Greeting | None = None
