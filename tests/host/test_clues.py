"""What on a host tells of its hypervisor, from traces."""

from __future__ import annotations

from pathlib import Path

from labkit.hypervisor.clues import build_clues
from labkit.hypervisor.floors import Traces, read_traces
from labkit.model.host import AcceleratorFacts
from labkit.model.machine import Accelerator


def says(traces: Traces, accelerator: Accelerator) -> dict[str, str]:
    found = AcceleratorFacts(accelerator=accelerator, why="", probed=True, seconds=1.0)
    return {clue.source: clue.says for clue in build_clues(traces, found)}


def test_host_with_kvm_shows_mode_module_and_device() -> None:
    traces = Traces(flags=frozenset({"vmx"}), modules=("kvm", "kvm_intel"), kvm_device=True)
    clues = says(traces, Accelerator.KVM)
    assert list(clues) == ["/proc/cpuinfo", "/sys/module", "/dev/kvm", "a probe"]
    assert "vmx" in clues["/proc/cpuinfo"]
    assert "kvm, kvm_intel" in clues["/sys/module"]
    assert "It is there" in clues["/dev/kvm"]
    assert "The CPU runs" in clues["a probe"]


def test_host_without_says_so_and_files_prove_no_running_guest() -> None:
    clues = says(Traces(), Accelerator.TCG)
    assert "neither vmx nor svm" in clues["/proc/cpuinfo"]
    assert "kvm is not loaded" in clues["/sys/module"]
    assert "not there" in clues["/dev/kvm"]
    assert "translated" in says(Traces(kvm_device=True), Accelerator.TCG)["a probe"]


def test_modules_and_device_are_read_from_the_hosts_files(tmp_path: Path) -> None:
    for name in ("sys/module/kvm", "sys/module/kvm_amd", "dev"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "dev/kvm").touch()
    traces = read_traces(tmp_path, detected={})
    assert (traces.modules, traces.kvm_device) == (("kvm", "kvm_amd"), True)
