"""What the guests stand on: the floors from the hardware up to QEMU, by evidence only.

Reading (`read_traces`) is apart from concluding (`build_floors`). Nothing is concluded from a name alone: a file that a
container's tool leaves proves a container only if the kernel agrees.

Knows: /proc, /sys and two small programs. Must not know: libvirt, labs.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labkit.language import _
from labkit.model.host import Floor, FloorKind
from labkit.model.machine import Accelerator

_FIRST_PID_NAMESPACE = "pid:[4026531836]"
"""The PID namespace that the kernel itself starts with: PROC_PID_INIT_INO in Linux's include/linux/proc_ns.h."""

_DMI = ("sys_vendor", "product_name", "bios_vendor", "chassis_vendor", "board_vendor")
_MARKERS = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")

_KVM_MODULES = ("kvm", "kvm_intel", "kvm_amd")

_CONTAINER_WORDS = re.compile(r"docker|containerd|kubepods|libpod|lxc|podman|machine\.slice")

_VENDORS = {
    "kvm": "KVM",
    "amazon": "Amazon EC2",
    "google": "Google Compute Engine",
    "apple virtualization": "Apple Virtualization",
    "microsoft": "Hyper-V",
    "oracle": "VirtualBox",
    "innotek": "VirtualBox",
    "virtualbox": "VirtualBox",
    "vmware": "VMware",
    "xen": "Xen",
    "parallels": "Parallels",
    "bhyve": "bhyve",
    "firecracker": "Firecracker",
    "cloud-hypervisor": "Cloud Hypervisor",
    "qemu": "QEMU",
}

_NEVER_REAL = frozenset({"KVM", "QEMU", "VMware", "Xen", "Parallels", "bhyve", "Apple Virtualization"})
"""Names that only the firmware of virtual machines has; clouds rent real machines too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What this host's files and programs say, as text; empty where they say nothing.

    Attributes:
        flags: the first CPU's flags. version: /proc/version. uid_map: of this process.
        cgroup: of the first process. pid_namespace: ours. root_file_system: the type of "/".
        dmi: what the firmware calls the computer, by DMI field. xen: /sys/hypervisor/type.
        markers: files that container tools leave. distribution: its pretty name.
        modules: those of the kernel's hypervisor that are loaded or built in. kvm_device: whether /dev/kvm is there.
        detected: by program, its word for the virtual machine we are in ("none" if it says that we are in none).
    """

    flags: frozenset[str] = frozenset()
    version: str = ""
    uid_map: str = ""
    cgroup: str = ""
    pid_namespace: str = ""
    root_file_system: str = ""
    dmi: Mapping[str, str] = field(default_factory=dict)
    xen: str = ""
    markers: tuple[str, ...] = ()
    distribution: str = ""
    modules: tuple[str, ...] = ()
    kvm_device: bool = False
    detected: Mapping[str, str] = field(default_factory=dict)


def read_traces(root: Path = Path("/"), *, detected: Mapping[str, str] | None = None) -> Traces:
    """Return what the host's files say.

    Args:
        root: the folder that holds `proc` and `sys`.
        detected: what programs say of this host; None: ask them.
    """
    return Traces(
        flags=_flags(_read(root / "proc/cpuinfo")),
        version=_read(root / "proc/version"),
        uid_map=" ".join(_read(root / "proc/self/uid_map").split()),
        cgroup=_read(root / "proc/1/cgroup"),
        pid_namespace=_link(root / "proc/self/ns/pid"),
        root_file_system=_root_file_system(_read(root / "proc/self/mountinfo")),
        dmi={name: value for name in _DMI if (value := _read(root / "sys/class/dmi/id" / name))},
        xen=_read(root / "sys/hypervisor/type"),
        markers=tuple(marker for marker in _MARKERS if (root / marker.lstrip("/")).exists()),
        distribution=_distribution(_read(root / "etc/os-release")),
        modules=tuple(name for name in _KVM_MODULES if (root / "sys/module" / name).exists()),
        kvm_device=(root / "dev/kvm").exists(),
        detected=ask_programs() if detected is None else detected,
    )


def ask_programs() -> dict[str, str]:
    """Return what systemd-detect-virt and lscpu say of the virtual machine we are in, if they say anything."""
    answers = {}
    word = _output(["systemd-detect-virt", "--vm"])
    if word:
        answers["systemd-detect-virt"] = word
    match = re.search(r"^Hypervisor vendor:\s*(.+)$", _output(["lscpu"]), re.MULTILINE)
    if match:
        answers["lscpu"] = match[1].strip()
    return answers


def build_floors(traces: Traces, accelerator: Accelerator) -> tuple[Floor, ...]:
    """Return the floors, from the hardware up to the hypervisor of our guests."""
    floors = (
        _hardware(traces),
        _virtual_machine(traces),
        _wsl(traces),
        _kernel(traces),
        _container(traces),
        _user_namespace(traces),
        _hypervisor(accelerator),
    )
    return tuple(floor for floor in floors if floor is not None)


# --- one floor each ------------------------------------------------------------------------------


def _hardware(traces: Traces) -> Floor:
    if "hypervisor" in traces.flags:
        sentence = _("It is below a virtual machine, and /proc/cpuinfo shows what that one lets through.")
    else:
        sentence = _("It must be at the bottom of everything.")
    return Floor(kind=FloorKind.HARDWARE, name=_("the hardware"), evidence=(sentence,))


def _virtual_machine(traces: Traces) -> Floor | None:
    evidence = []
    if "hypervisor" in traces.flags:
        evidence.append(_("The CPU shows the flag 'hypervisor' in /proc/cpuinfo, which no bare CPU does."))
    if traces.xen:
        evidence.append(_("/sys/hypervisor/type says {word!r}.").format(word=traces.xen))
    answers = {program: word for program, word in traces.detected.items() if word != "none"}
    evidence += [
        _("{program} asks the CPU and says {word!r}.").format(program=program, word=word)
        for program, word in answers.items()
    ]
    firmware = {name: value for name, value in traces.dmi.items() if _vendor(value)}
    speaks_alone = not traces.flags and any(_vendor(value) in _NEVER_REAL for value in firmware.values())
    if not evidence and not speaks_alone:
        return None
    evidence += [
        _("The firmware calls the computer {value!r} ({field}).").format(value=value, field=name)
        for name, value in firmware.items()
    ]
    words = [*answers.values(), traces.xen, *firmware.values()]
    name = next((vendor for word in words if (vendor := _vendor(word))), "")
    title = _("a virtual machine ({name})").format(name=name) if name else _("a virtual machine")
    return Floor(kind=FloorKind.VIRTUAL_MACHINE, name=title, evidence=tuple(evidence))


def _wsl(traces: Traces) -> Floor | None:
    if "microsoft" not in traces.version.lower():
        return None
    return Floor(
        kind=FloorKind.WSL,
        name=_("the Windows Subsystem for Linux"),
        evidence=(_("/proc/version names Microsoft as the maker of the kernel."),),
    )


def _kernel(traces: Traces) -> Floor:
    evidence = [_("/proc/version begins with the words 'Linux version'.")]
    if traces.distribution:
        evidence.append(_("/etc/os-release names the distribution: {name}.").format(name=traces.distribution))
    return Floor(kind=FloorKind.KERNEL, name=_("the Linux kernel"), evidence=tuple(evidence))


def _container(traces: Traces) -> Floor | None:
    evidence = []
    if traces.pid_namespace and traces.pid_namespace != _FIRST_PID_NAMESPACE:
        evidence.append(_("/proc/self/ns/pid is not the kernel's first: we see only some of the host's processes."))
    if traces.root_file_system == "overlay":
        evidence.append(_('"/" is an overlay of layers, as container images are.'))
    if _CONTAINER_WORDS.search(traces.cgroup):
        evidence.append(_("/proc/1/cgroup puts the first process into a container's control group."))
    if not evidence and traces.pid_namespace:
        return None  # marker files alone may be left over from how this disk was made
    evidence += [_("The file {marker} is there.").format(marker=marker) for marker in traces.markers]
    if not evidence:
        return None
    return Floor(kind=FloorKind.CONTAINER, name=_("a container"), evidence=tuple(evidence))


def _user_namespace(traces: Traces) -> Floor | None:
    if traces.uid_map in ("", "0 0 4294967295"):
        return None
    sentence = _("/proc/self/uid_map is {map!r}: user ids here are not the host's.").format(map=traces.uid_map)
    return Floor(kind=FloorKind.USER_NAMESPACE, name=_("a user namespace"), evidence=(sentence,))


def _hypervisor(accelerator: Accelerator) -> Floor:
    if accelerator is Accelerator.KVM:
        sentence = _("QEMU makes the devices; KVM, in the kernel below, lets the CPU run the guest.")
    else:
        sentence = _("QEMU makes the devices and translates every instruction of the guest (TCG).")
    return Floor(kind=FloorKind.HYPERVISOR, name="QEMU", evidence=(sentence,))


# --- words ---------------------------------------------------------------------------------------


def _vendor(word: str) -> str:
    lower = word.lower()
    return next((name for part, name in _VENDORS.items() if part in lower), "")


def _flags(cpuinfo: str) -> frozenset[str]:
    match = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    return frozenset(match[1].split()) if match else frozenset()


def _root_file_system(mountinfo: str) -> str:
    kinds = [
        line.partition(" - ")[2].split()[0]
        for line in mountinfo.splitlines()
        if " - " in line and line.split()[4] == "/"
    ]
    return kinds[-1] if kinds else ""


def _distribution(os_release: str) -> str:
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)"?$', os_release, re.MULTILINE)
    return match[1] if match else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _output(argv: list[str]) -> str:
    """Return what a program prints, "" if it is missing or silent."""
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
