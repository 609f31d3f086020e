"""The host as a value: what it shows, and what it keeps out of notebooks."""

from __future__ import annotations

from dataclasses import replace

from labkit.hypervisor.host import read_host
from labkit.model.host import AcceleratorFacts, HostFacts
from labkit.model.machine import Accelerator


def facts_with(accelerator: Accelerator) -> HostFacts:
    found = AcceleratorFacts(accelerator=accelerator, why="It was said so.", probed=False, seconds=0.0)
    return read_host(found, ("9.0.0", "11.3.0", "10.0.0"))


def test_the_host_has_a_cpu_memory_and_versions() -> None:
    facts = facts_with(Accelerator.TCG)
    assert facts.cpu
    assert facts.cpus >= 1
    assert 0 < facts.memory_available <= facts.memory
    assert (facts.versions.libvirt, facts.versions.libvirt_library) == ("11.3.0", "9.0.0")
    assert all(version for _name, version in facts.version_table)


def test_its_text_tells_all() -> None:
    text = facts_with(Accelerator.KVM).describe()
    assert "KVM. It was said so." in text
    assert "For type 1" in text
    assert "For type 2" in text
    assert "11.3.0" in text


def test_what_a_notebook_compares_is_the_same_on_every_host() -> None:
    one, other = facts_with(Accelerator.KVM), replace(facts_with(Accelerator.TCG), cpu="another", cpus=99)
    assert repr(one) == repr(other)
    assert one._repr_html_() == other._repr_html_()
