"""The host's facts, put together from the kernel, the floors below us and what the hypervisor says.

Knows: where each fact comes from. Must not know: labs, widgets.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

import psutil

from labkit.hypervisor.clues import build_clues
from labkit.hypervisor.floors import Traces, build_floors, read_traces
from labkit.language import _
from labkit.model.host import AcceleratorFacts, HostFacts, HypervisorKind, Versions
from labkit.model.machine import Accelerator


def read_host(accelerator: AcceleratorFacts, versions: tuple[str, str, str] = ("", "", "")) -> HostFacts:
    """Return this host's facts.

    Args:
        accelerator: as found by `find_accelerator`.
        versions: of libvirt's library, its daemon and QEMU, as `capabilities.read_versions` returns them.
    """
    traces = read_traces()
    memory = psutil.virtual_memory()
    kind, evidence = judge_hypervisor(accelerator.accelerator)
    return HostFacts(
        cpu=_cpu_model(),
        cpus=len(os.sched_getaffinity(0)),
        memory=int(memory.total),
        memory_available=int(memory.available),
        accelerator=accelerator.accelerator,
        why=accelerator.why,
        floors=build_floors(traces, accelerator.accelerator),
        hypervisor=kind,
        evidence=evidence,
        versions=_versions(traces, versions),
        clues=build_clues(traces, accelerator),
    )


def judge_hypervisor(accelerator: Accelerator) -> tuple[HypervisorKind, tuple[str, ...]]:
    """Return the hypervisor's kind, and sentences with the reasons for it."""
    if accelerator is Accelerator.KVM:
        return HypervisorKind.ARGUED, (
            _("For type 1: with KVM the kernel itself runs the guests, in a mode the CPU has for it."),
            _("For type 2: each guest is a process of an operating system that also runs other programs."),
        )
    return HypervisorKind.TYPE_2, (
        _("Each guest is one QEMU process, scheduled, measured and killed like any other."),
        _("With TCG no part of it runs in the kernel or in a mode of the CPU of its own."),
    )


def _versions(traces: Traces, versions: tuple[str, str, str]) -> Versions:
    library, daemon, qemu = versions
    return Versions(
        libvirt=daemon,
        libvirt_library=library,
        qemu=qemu,
        linux=platform.release(),
        distribution=traces.distribution,
        python=".".join(map(str, sys.version_info[:3])),
        labkit=version("labkit"),
    )


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    match = re.search(r"^(?:model name|Model|cpu model)\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else platform.machine()
