"""What the guests stand on, from captured traces laid out as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.hypervisor.floors import build_floors, read_traces
from labkit.hypervisor.host import judge_hypervisor
from labkit.model.host import Floor, FloorKind, HypervisorKind
from labkit.model.machine import Accelerator

FIRST = "pid:[4026531836]"
OTHER = "pid:[4026532621]"
WHOLE = "         0          0 4294967295\n"

BARE_CPU = "processor : 0\nmodel name : Some CPU\nflags\t\t: fpu vme lm vmx\n"
VIRTUAL_CPU = "processor : 0\nmodel name : Some CPU\nflags\t\t: fpu vme lm hypervisor\n"
ARM_CPU = "processor : 0\nBogoMIPS : 48.00\nFeatures : fp asimd\n"

DEBIAN = "Linux version 6.1.0-18-amd64 (debian-kernel@lists.debian.org) (gcc-12)"
WSL2 = "Linux version 5.15.146.1-microsoft-standard-WSL2 (root@65c757a075e2) (gcc)"
EXT4 = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
OVERLAY = "612 540 0:61 / / rw,relatime master:226 - overlay overlay rw,lowerdir=/var/lib\n"
ALMALINUX = 'NAME="AlmaLinux"\nPRETTY_NAME="AlmaLinux 9.4 (Seafoam Ocelot)"\n'

BASE = {
    "proc/cpuinfo": BARE_CPU,
    "proc/version": DEBIAN,
    "proc/self/uid_map": WHOLE,
    "proc/self/mountinfo": EXT4,
    "proc/1/cgroup": "0::/init.scope\n",
    "etc/os-release": ALMALINUX,
}

HARDWARE, KERNEL, QEMU = FloorKind.HARDWARE, FloorKind.KERNEL, FloorKind.HYPERVISOR
MACHINE, CONTAINER = FloorKind.VIRTUAL_MACHINE, FloorKind.CONTAINER


def floors_of(
    root: Path, files: dict[str, str], detected: dict[str, str], pid_namespace: str = FIRST
) -> tuple[Floor, ...]:
    for name, text in (BASE | files).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "proc/self/ns").mkdir(parents=True)
    (root / "proc/self/ns/pid").symlink_to(pid_namespace)
    return build_floors(read_traces(root, detected=detected), Accelerator.TCG)


CASES = {
    "a laptop": ({}, {"systemd-detect-virt": "none"}, FIRST, [HARDWARE, KERNEL, QEMU], ""),
    "a rented bare machine": (
        {"sys/class/dmi/id/sys_vendor": "Amazon EC2\n"},
        {"systemd-detect-virt": "none"},
        FIRST,
        [HARDWARE, KERNEL, QEMU],
        "",
    ),
    "a KVM machine": (
        {"proc/cpuinfo": VIRTUAL_CPU, "sys/class/dmi/id/sys_vendor": "QEMU\n"},
        {"lscpu": "KVM"},
        FIRST,
        [HARDWARE, MACHINE, KERNEL, QEMU],
        "(KVM)",
    ),
    "VirtualBox": (
        {"proc/cpuinfo": VIRTUAL_CPU, "sys/class/dmi/id/product_name": "VirtualBox\n"},
        {},
        FIRST,
        [HARDWARE, MACHINE, KERNEL, QEMU],
        "(VirtualBox)",
    ),
    "a machine without firmware names": (
        {"proc/cpuinfo": VIRTUAL_CPU},
        {},
        FIRST,
        [HARDWARE, MACHINE, KERNEL, QEMU],
        "a virtual machine",
    ),
    "an ARM machine": (
        {"proc/cpuinfo": ARM_CPU, "sys/class/dmi/id/sys_vendor": "QEMU\n"},
        {},
        FIRST,
        [HARDWARE, MACHINE, KERNEL, QEMU],
        "(QEMU)",
    ),
    "Xen": (
        {"sys/hypervisor/type": "xen\n"},
        {},
        FIRST,
        [HARDWARE, MACHINE, KERNEL, QEMU],
        "(Xen)",
    ),
    "WSL 2": (
        {"proc/cpuinfo": VIRTUAL_CPU, "proc/version": WSL2},
        {"systemd-detect-virt": "microsoft", "lscpu": "Microsoft"},
        FIRST,
        [HARDWARE, MACHINE, FloorKind.WSL, KERNEL, QEMU],
        "(Hyper-V)",
    ),
    "Docker on a cloud's machine": (
        {
            "proc/cpuinfo": VIRTUAL_CPU,
            "proc/self/mountinfo": OVERLAY,
            "proc/1/cgroup": "0::/\n",
            ".dockerenv": "",
            "sys/class/dmi/id/sys_vendor": "Google\n",
            "sys/class/dmi/id/product_name": "Google Compute Engine\n",
        },
        {"lscpu": "KVM"},
        OTHER,
        [HARDWARE, MACHINE, KERNEL, CONTAINER, QEMU],
        "(KVM)",
    ),
    "a file a container left on a machine's disk": (
        {"proc/cpuinfo": VIRTUAL_CPU, ".dockerenv": ""},
        {"lscpu": "KVM"},
        FIRST,
        [HARDWARE, MACHINE, KERNEL, QEMU],
        "(KVM)",
    ),
    "rootless Podman": (
        {
            "proc/self/mountinfo": OVERLAY,
            "run/.containerenv": "",
            "proc/self/uid_map": "0 1000 1\n1 100000 65536\n",
        },
        {"systemd-detect-virt": "none"},
        OTHER,
        [HARDWARE, KERNEL, CONTAINER, FloorKind.USER_NAMESPACE, QEMU],
        "",
    ),
    "root's user namespace": (
        {"proc/self/uid_map": "      1000          0          1\n"},
        {},
        FIRST,
        [HARDWARE, KERNEL, FloorKind.USER_NAMESPACE, QEMU],
        "",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_floors_follow_from_the_traces(case: str, tmp_path: Path) -> None:
    files, detected, namespace, kinds, name = CASES[case]
    floors = floors_of(tmp_path, files, detected, namespace)
    assert [floor.kind for floor in floors] == kinds
    assert all(floor.evidence for floor in floors)
    machine = next((floor.name for floor in floors if floor.kind is MACHINE), "")
    assert machine.endswith(name)


def test_a_host_that_says_nothing_has_hardware_a_kernel_and_qemu(tmp_path: Path) -> None:
    floors = build_floors(read_traces(tmp_path, detected={}), Accelerator.KVM)
    assert [floor.kind for floor in floors] == [HARDWARE, KERNEL, QEMU]


def test_this_host_has_floors() -> None:
    floors = build_floors(read_traces(), Accelerator.TCG)
    assert floors[0].kind is HARDWARE
    assert floors[-1].kind is QEMU


def test_the_distribution_is_part_of_the_evidence(tmp_path: Path) -> None:
    floors = floors_of(tmp_path, {}, {})
    kernel = next(floor for floor in floors if floor.kind is KERNEL)
    assert any("AlmaLinux 9.4 (Seafoam Ocelot)" in sentence for sentence in kernel.evidence)


def test_a_translated_guest_is_a_plain_process_and_kvm_is_argued_about() -> None:
    assert judge_hypervisor(Accelerator.TCG)[0] is HypervisorKind.TYPE_2
    kind, evidence = judge_hypervisor(Accelerator.KVM)
    assert kind is HypervisorKind.ARGUED
    assert len(evidence) == 2
