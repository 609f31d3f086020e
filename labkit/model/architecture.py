"""The kind of computer that a guest sees, as one value: every command or definition that depends on it asks this value.

To add an architecture, add a value here and build a guest image for it.
Source: https://www.qemu.org/docs/master/system/targets.html, https://libvirt.org/formatdomain.html.
Knows: names. Must not know: libvirt, QEMU's command line.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A kind of computer.

    Attributes:
        name: as the kernel (`uname -m`), QEMU and libvirt call it. title: as people call it.
        machine_type: the machine type that QEMU imitates when no other is asked for.
        cpu_model: its CPU when no other is asked for.
        console: the serial device that a Linux guest prints to, without /dev/.
        features: those that libvirt must be asked for (`<features>`).
        package: Debian's package with QEMU for it.
    """

    name: str
    title: str
    machine_type: str
    cpu_model: str
    console: str
    features: tuple[str, ...]
    package: str

    @property
    def emulator(self) -> str:
        """The name of QEMU's program for it."""
        return f"qemu-system-{self.name}"


X86_64 = Architecture(
    name="x86_64",
    title="x86-64",
    machine_type="q35",
    cpu_model="qemu64",
    console="ttyS0",
    features=("acpi", "apic"),
    package="qemu-system-x86",
)

ARCHITECTURES = {each.name: each for each in (X86_64,)}
"""The architectures that guests can have, by name."""
