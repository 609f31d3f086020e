"""What can be seen inside a system: its PCI devices, and whose kernel it runs on.

Knows: the words of the course, the numbers of PCI. Must not know: how a guest is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from labkit.language import _

RED_HAT_VIRTIO: Final = 0x1AF4
"""The PCI vendor of virtio devices, a standard made for virtual machines."""

RED_HAT_QEMU: Final = 0x1B36
"""The PCI vendor of the devices that QEMU has invented."""

_VIRTIO_OLD: Final = {0x1000: 1, 0x1001: 2, 0x1002: 5, 0x1003: 3, 0x1004: 8, 0x1005: 4}
"""The device numbers of virtio devices that also speak the first version of the protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PciDevice:
    """A device on a guest's PCI bus, as its kernel lists it.

    Attributes:
        address: on the bus. vendor, device, kind: numbers; `kind` is the PCI class.
        driver: the kernel's driver for it, or "".
    """

    address: str
    vendor: int
    device: int
    kind: int
    driver: str = ""

    @property
    def is_invented(self) -> bool:
        """Whether it was made for virtual machines; else it imitates hardware that was once sold."""
        return self.vendor in (RED_HAT_VIRTIO, RED_HAT_QEMU)

    @property
    def numbers(self) -> str:
        """Vendor and device as `lspci -n` writes them."""
        return f"{self.vendor:04x}:{self.device:04x}"

    @property
    def words(self) -> str:
        """What it is, in the language in force."""
        if self.vendor == RED_HAT_VIRTIO:
            return _virtio_words(_VIRTIO_OLD.get(self.device, self.device - 0x1040))
        return _known().get((self.vendor, self.device)) or _kinds().get(self.kind >> 8) or _("another device")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A system as it looks from inside.

    Attributes:
        name: its host name. kernel: the release of the kernel it runs on.
        boot_id: a random id that the kernel draws when it boots: two systems with the same id share one kernel.
        processes: how many processes it sees.
    """

    name: str
    kernel: str
    boot_id: str
    processes: int


def _virtio_words(number: int) -> str:
    words = {
        1: _("virtio network card"),
        2: _("virtio disk"),
        3: _("virtio console"),
        4: _("virtio source of randomness"),
        5: _("virtio balloon"),
        8: _("virtio SCSI controller"),
    }
    return words.get(number, _("virtio device"))


def _known() -> dict[tuple[int, int], str]:
    return {
        (0x8086, 0x1237): _("Intel 440FX, the PC's hub of 1996"),
        (0x8086, 0x7000): _("Intel PIIX3, the bridge to ISA"),
        (0x8086, 0x7010): _("Intel PIIX3, the IDE controller"),
        (0x8086, 0x7113): _("Intel PIIX4, power management"),
        (0x8086, 0x29C0): _("Intel Q35, the PC's hub of 2007"),
        (0x8086, 0x2918): _("Intel ICH9, the bridge to LPC"),
        (0x8086, 0x2922): _("Intel ICH9, the SATA controller"),
        (0x8086, 0x2930): _("Intel ICH9, the SMBus"),
        (RED_HAT_QEMU, 0x000C): _("QEMU's own PCI Express port"),
    }


def _kinds() -> dict[int, str]:
    return {
        0x0101: _("IDE controller"),
        0x0106: _("SATA controller"),
        0x0200: _("network card"),
        0x0300: _("graphics card"),
        0x0600: _("hub"),
        0x0601: _("bridge to ISA"),
        0x0604: _("PCI bridge"),
        0x0C03: _("USB controller"),
        0x0C05: _("SMBus"),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """The result of a command inside the guest.

    Attributes:
        stdout, stderr: text (undecodable bytes replaced). exit_code: 0 is success; 128 + n: ended by signal n.
        cut: a sentence, if it printed more than is kept; else empty.
    """

    stdout: str
    stderr: str
    exit_code: int
    cut: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        """Whether it succeeded."""
        return self.exit_code == 0
