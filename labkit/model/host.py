"""The host as a value: what this computer is, who runs the guests on it, and how we know.

Knows: the words of the course. Must not know: how anything of it was found out.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from enum import StrEnum

from labkit.language import _
from labkit.model.machine import Accelerator
from labkit.units import format_size


class FloorKind(StrEnum):
    """What a floor of the tower below the guests is."""

    HARDWARE = "hardware"
    VIRTUAL_MACHINE = "virtual machine"
    WSL = "wsl"
    KERNEL = "kernel"
    CONTAINER = "container"
    USER_NAMESPACE = "user namespace"
    HYPERVISOR = "hypervisor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """A floor that the guests stand on.

    Attributes:
        kind: what it is. name: what it is called here, e.g. "KVM", "Debian GNU/Linux".
        evidence: how we know, a sentence each.
    """

    kind: FloorKind
    name: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clue:
    """Something on this host that says something about its hypervisor.

    Attributes:
        source: where it was found: a file, a program. says: what was found there, a sentence.
    """

    source: str
    says: str


class HypervisorKind(StrEnum):
    """The textbooks' two kinds of hypervisor, and the case they argue about.

    A *type 1* runs on the hardware, a *type 2* is a program of an operating system. With KVM the operating system's
    kernel is the hypervisor, so there are reasons for both: `ARGUED`.
    """

    TYPE_1 = "type 1"
    TYPE_2 = "type 2"
    ARGUED = "argued"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorFacts:
    """Who runs the guests' instructions, and how that was found out.

    Attributes:
        accelerator: the one to use. why: one sentence.
        probed: whether a guest was run just now to find it out (not earlier, and not set by a variable).
        seconds: what finding out took.
    """

    accelerator: Accelerator
    why: str
    probed: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Versions as text, "" where the thing is not installed.

    Attributes:
        libvirt: of the daemon; libvirt_library: of the client library, which may differ.
        linux: the kernel's release; distribution: its name and version.
    """

    libvirt: str = ""
    libvirt_library: str = ""
    qemu: str = ""
    linux: str = ""
    distribution: str = ""
    python: str = ""
    labkit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """This computer, as the lab sees it.

    Its `repr` and its HTML name the facts without their values, since these differ from computer to computer and
    notebooks must stay comparable. `describe()` has the values.

    Attributes:
        cpu: the CPU's model name. cpus: logical CPUs we may use.
        memory, memory_available: bytes; in all, and free for programs now.
        accelerator, why: who runs the guests' instructions, and how we know.
        floors: what the guests stand on, from the hardware up to the hypervisor.
        hypervisor, evidence: its kind, and the reasons for it, a sentence each.
        versions: of the parts.
        clues: what was found out about the hypervisor, from the CPU's flags, the kernel's modules, ….
    """

    cpu: str
    cpus: int
    memory: int
    memory_available: int
    accelerator: Accelerator
    why: str
    floors: tuple[Floor, ...]
    hypervisor: HypervisorKind
    evidence: tuple[str, ...]
    versions: Versions
    clues: tuple[Clue, ...] = ()

    def describe(self) -> str:
        """Return all facts as text of several lines; it differs from host to host."""
        lines = [
            _("CPU: {model}, logical CPUs: {count}").format(model=self.cpu, count=self.cpus),
            _("Memory: {all}, available {free}").format(
                all=format_size(self.memory), free=format_size(self.memory_available)
            ),
            _("Accelerator: {name}. {why}").format(name=self.accelerator.upper(), why=self.why),
            _("Hypervisor: {kind}").format(kind=self.hypervisor_words),
            *(f"  - {sentence}" for sentence in self.evidence),
            *(f"  - {clue.source}: {clue.says}" for clue in self.clues),
            _("What the guests stand on, from the top down:"),
        ]
        for floor in reversed(self.floors):
            lines += [f"  {floor.name}", *(f"    - {sentence}" for sentence in floor.evidence)]
        lines.append(_("Versions:"))
        missing = _("not there")
        lines += [f"  {name}: {version or missing}" for name, version in self.version_table]
        return "\n".join(lines)

    @property
    def hypervisor_words(self) -> str:
        """The hypervisor's kind in the language in force."""
        words = {
            HypervisorKind.TYPE_1: _("type 1 (it stands on the hardware)"),
            HypervisorKind.TYPE_2: _("type 2 (a program of an operating system)"),
            HypervisorKind.ARGUED: _("argued: type 1 or type 2, with reasons both ways"),
        }
        return words[self.hypervisor]

    @property
    def version_table(self) -> tuple[tuple[str, str], ...]:
        """Name and version of each part."""
        versions = self.versions
        return (
            (_("libvirt daemon"), versions.libvirt),
            (_("libvirt library"), versions.libvirt_library),
            ("QEMU", versions.qemu),
            ("Linux", versions.linux),
            (_("distribution"), versions.distribution),
            ("Python", versions.python),
            ("labkit", versions.labkit),
        )

    def __repr__(self) -> str:
        rows = "\n".join(f"  .{name:<12} {what}" for name, what in _contents())
        return _("This host. Its facts differ from computer to computer; describe() tells them all.") + f"\n{rows}"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td><code>.{name}</code></td><td>{html.escape(what)}</td></tr>" for name, what in _contents()
        )
        title = html.escape(_("This host. Its facts differ from computer to computer; describe() tells them all."))
        return f"<p>{title}</p><table>{rows}</table>"


def _contents() -> tuple[tuple[str, str], ...]:
    return (
        ("cpu", _("the CPU's model name; cpus: how many may be used")),
        ("memory", _("bytes of memory; memory_available: free for programs")),
        ("accelerator", _("who runs the guests' instructions: the CPU (kvm) or a translator (tcg)")),
        ("why", _("how that is known")),
        ("floors", _("what the guests stand on, from the hardware up, with evidence")),
        ("hypervisor", _("its kind; evidence: what speaks for it")),
        ("clues", _("what tells of the hypervisor: flags, modules, devices")),
        ("versions", _("of libvirt, QEMU, Linux, Python, labkit")),
    )
