"""A machine as a value: what it is defined to be (`MachineSpec`) and its state now (`MachineFacts`).

Knows: the words of the course. Must not know: libvirt, XML, files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from labkit.model.architecture import X86_64
from labkit.model.image import Format

_PUNYCODE = "xn--"
_FOLDER_BYTES = 20
_KEEP = "labkit.identity=keep"

DEFAULT_CPU = X86_64.cpu_model
"""The CPU model that a machine gets when no other is asked for."""


class Accelerator(StrEnum):
    """Who runs the guest's instructions: the CPU itself (`KVM`) or a translator (`TCG`)."""

    KVM = "kvm"
    TCG = "tcg"


class Chipset(StrEnum):
    """Which PC a machine imitates: a PC of 2007 (`Q35`: PCI Express), or a PC of 1996 (`PC`: PCI, IDE disks)."""

    Q35 = "q35"
    PC = "pc"


class MachineState(StrEnum):
    """The four states of a machine."""

    OFF = "off"
    RUNNING = "running"
    PAUSED = "paused"
    SAVED = "saved"


class Reason(StrEnum):
    """Why a machine is in its state, where the hypervisor says so."""

    UNKNOWN = "unknown"
    BOOTED = "booted"
    SHUT_DOWN = "shut down"
    KILLED = "killed"
    CRASHED = "crashed"
    PANICKED = "panicked"
    FAILED = "failed"
    MIGRATED = "migrated"
    SAVED = "saved"
    RESTORED = "restored"
    BY_USER = "by user"
    IO_ERROR = "input/output error"
    NO_SPACE = "no space left"
    SHUTTING_DOWN = "shutting down"
    OUT_OF_REACH = "out of reach"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpec:
    """A disk attached to a machine.

    Attributes:
        name: the disk's name in the lab, e.g. "web.vda".
        target: what the guest calls it: "vda", "vdb", ….
        path: the active image, absolute.
        format: its format; never probed.
        served: whether `path` is the UNIX socket of a server that has the image (blocks over NBD).
    """

    name: str
    target: str
    path: str
    format: Format
    served: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """How the machine starts: a kernel given directly, or the firmware from the first disk.

    Attributes:
        kernel, initramfs: absolute paths; None: the firmware (BIOS) boots the first disk.
        command_line: the kernel's command line, without the identity that labkit appends.
    """

    kernel: str | None = None
    initramfs: str | None = None
    command_line: str = ""

    @property
    def keeps_identity(self) -> bool:
        """Whether the guest keeps the identity on its disk, instead of taking a new one."""
        return _KEEP in self.command_line.split(" ")

    def keeping_identity(self, *, keep: bool) -> Boot:
        """Return the same, with or without the order to the guest to keep the identity on its disk."""
        words = [word for word in self.command_line.split(" ") if word != _KEEP]
        return replace(self, command_line=" ".join([*words, _KEEP] if keep and self.kernel else words))


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec:
    """What a machine is defined to be; `hypervisor.domain_xml` writes and reads it.

    Attributes:
        name: the machine's name in its lab.
        lab, lab_id: its lab's name and id.
        id: the machine's UUID, text with dashes.
        memory: bytes. vcpus: number of virtual CPUs.
        image: the guest image it was made from, e.g. "tiny".
        disks: in the order of their targets.
        accelerator: who runs its instructions.
        cpu_model: a CPU model name of QEMU.
        panic_device: whether the hypervisor hears of a panic of the guest's kernel.
        agent: whether a guest agent is expected to answer.
        pinned_to: the host CPU all its vCPUs are bound to, or None.
        genid: the generation id (UUID); a new one tells the guest that it is another copy.
        chipset: which PC it imitates. architecture: the name of its kind of computer (a key of `ARCHITECTURES`).
    """

    name: str
    lab: str
    lab_id: str
    id: str
    memory: int
    vcpus: int
    image: str
    boot: Boot
    disks: tuple[DiskSpec, ...]
    accelerator: Accelerator
    cpu_model: str = DEFAULT_CPU
    panic_device: bool = True
    agent: bool = True
    pinned_to: int | None = None
    genid: str | None = None
    console_log: str | None = None
    chipset: Chipset = Chipset.Q35
    architecture: str = X86_64.name

    @property
    def domain_name(self) -> str:
        """The name the hypervisor knows: the machine's own in lab `default`, else `lab.machine`."""
        return domain_name(self.lab, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineChanges:
    """What `configure` changes; None leaves a value as it is.

    Attributes:
        memory: bytes. vcpus: number. cpu_model: a CPU model name of QEMU.
    """

    memory: int | None = None
    vcpus: int | None = None
    cpu_model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """A machine as it is now.

    Attributes:
        spec: its (persistent) definition.
        live: the definition the running guest was started with; None when off or saved.
        state, reason: its state and why. *Out of reach*: it runs, but this hypervisor has lost it or never had it.
        process: for a guest out of reach, its process id, if this host can see it.
        host: for a guest out of reach, the other computer that it runs on; "" for this one.
        apart: its images whose names lead to other files now, or to none, each with the place where the file is that
            its guest has open; the images that it writes to come first.
    """

    spec: MachineSpec
    live: MachineSpec | None
    state: MachineState
    reason: Reason
    process: int | None = None
    host: str = ""
    apart: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The machine's name in its lab."""
        return self.spec.name

    @property
    def id(self) -> str:
        """The machine's UUID."""
        return self.spec.id

    @property
    def is_active(self) -> bool:
        """Whether a QEMU process exists for it (running or paused)."""
        return self.state in (MachineState.RUNNING, MachineState.PAUSED)

    @property
    def is_out_of_reach(self) -> bool:
        """Whether it runs where this hypervisor cannot reach it: all that can be done then is to cut its power."""
        return self.reason is Reason.OUT_OF_REACH

    @property
    def waits_for_restart(self) -> bool:
        """Whether its definition was changed since it was started."""
        return self.live is not None and (
            (self.live.memory, self.live.vcpus, self.live.cpu_model)
            != (self.spec.memory, self.spec.vcpus, self.spec.cpu_model)
        )


def domain_name(lab: str, machine: str) -> str:
    """Return the name of a machine's domain: domain names are global to a hypervisor, machine names only to a lab.

    libvirt names a folder by the first 20 bytes of a domain's name, and cannot start the guest when they end within a
    letter (seen in 9.0 to 11.3, whose session daemons do not know UTF-8). Such a name is written in ASCII, as Punycode.
    """
    name = machine if lab == "default" else f"{lab}.{machine}"
    return name if _can_be_cut(name) else _PUNYCODE + name.encode("punycode").decode()


def machine_name(lab: str, domain: str) -> str:
    """Return a machine's name in its lab; inverse of `domain_name`."""
    name = domain.removeprefix(_PUNYCODE).encode().decode("punycode") if domain.startswith(_PUNYCODE) else domain
    return name if lab == "default" else name.removeprefix(f"{lab}.")


def _can_be_cut(name: str) -> bool:
    try:
        name.encode()[:_FOLDER_BYTES].decode()
    except UnicodeDecodeError:
        return False
    return not name.startswith(_PUNYCODE)
