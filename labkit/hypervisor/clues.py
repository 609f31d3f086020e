"""Clues to this host's hypervisor: the CPU's flags, the kernel's modules, its device, a probe.

Conclusions are left to the reader; see `host.judge_hypervisor` for the reasons.
Knows: traces, the accelerator found. Must not know: how either was read.
"""

from __future__ import annotations

from labkit.hypervisor.floors import Traces
from labkit.language import _
from labkit.model.host import AcceleratorFacts, Clue
from labkit.model.machine import Accelerator

_GUEST_MODES = ("vmx", "svm")
"""The CPU flags for hardware virtualization: Intel's, AMD's."""


def build_clues(traces: Traces, accelerator: AcceleratorFacts) -> tuple[Clue, ...]:
    """Return the clues, from the CPU up."""
    return (
        Clue(source="/proc/cpuinfo", says=_about_cpu(traces)),
        Clue(source="/sys/module", says=_about_modules(traces)),
        Clue(source="/dev/kvm", says=_about_device(traces)),
        Clue(source=_("a probe"), says=_about_probe(accelerator)),
    )


def _about_cpu(traces: Traces) -> str:
    modes = [flag for flag in _GUEST_MODES if flag in traces.flags]
    if modes:
        return _("The CPU has a mode of its own for guests: {flag}.").format(flag=modes[0])
    return _("The CPU shows no mode for guests: neither {one} nor {other}.").format(one="vmx", other="svm")


def _about_modules(traces: Traces) -> str:
    if traces.modules:
        return _("The kernel has a hypervisor in it: {names}.").format(names=", ".join(traces.modules))
    return _("The kernel has no hypervisor in it: kvm is not loaded.")


def _about_device(traces: Traces) -> str:
    if traces.kvm_device:
        return _("It is there: programs can ask the kernel to run a guest.")
    return _("It is not there: no program can ask the kernel to run a guest.")


def _about_probe(accelerator: AcceleratorFacts) -> str:
    if accelerator.accelerator is Accelerator.KVM:
        return _("The CPU runs the guests' instructions.")
    return _("The guests' instructions are translated by QEMU, a program.")
