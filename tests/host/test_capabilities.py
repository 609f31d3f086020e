"""What a hypervisor says of itself, understood."""

from __future__ import annotations

from labkit.hypervisor.capabilities import format_version, parse_capabilities, parse_cpu_models
from labkit.model.machine import Accelerator

DOCUMENT = """
<capabilities>
  <host><uuid>8cfba702-d7f9-4942-ab53-c6ba62f83164</uuid></host>
  <guest>
    <os_type>hvm</os_type>
    <arch name='i686'><emulator>/usr/bin/qemu-system-i386</emulator><domain type='qemu'/></arch>
  </guest>
  <guest>
    <os_type>hvm</os_type>
    <arch name='x86_64'>
      <wordsize>64</wordsize>
      <emulator>/usr/bin/qemu-system-x86_64</emulator>
      <machine maxCpus='288'>pc-q35-7.2</machine>
      <machine canonical='pc-q35-7.2' maxCpus='288'>q35</machine>
      <machine maxCpus='255'>pc-i440fx-7.2</machine>
      <domain type='qemu'/>
      <domain type='kvm'/>
    </arch>
    <features><acpi default='on' toggle='yes'/>{feature}</features>
  </guest>
</capabilities>
"""


def test_the_part_about_our_architecture_is_found() -> None:
    found = parse_capabilities(DOCUMENT.format(feature=""))
    assert found.emulator == "/usr/bin/qemu-system-x86_64"
    assert found.machine_types == ("pc-i440fx-7.2", "pc-q35-7.2", "q35")
    assert found.accelerators == (Accelerator.KVM, Accelerator.TCG)
    assert not found.reverts_external_snapshots


def test_a_libvirt_that_reverts_external_snapshots_says_so() -> None:
    assert parse_capabilities(DOCUMENT.format(feature="<externalSnapshot/>")).reverts_external_snapshots


def test_a_host_without_an_emulator_offers_nothing() -> None:
    found = parse_capabilities("<capabilities><host/></capabilities>")
    assert (found.emulator, found.machine_types, found.accelerators) == ("", (), ())


def test_only_usable_cpu_models_are_listed() -> None:
    document = """
    <domainCapabilities><cpu>
      <mode name='host-model' supported='yes'><model fallback='forbid'>EPYC</model></mode>
      <mode name='custom' supported='yes'>
        <model usable='yes'>qemu64</model><model usable='no'>EPYC-Rome</model><model usable='unknown'>n270</model>
      </mode>
    </cpu></domainCapabilities>"""
    assert parse_cpu_models(document) == ("n270", "qemu64")


def test_a_version_number_reads_as_people_write_it() -> None:
    assert format_version(9_000_000) == "9.0.0"
    assert format_version(7_002_022) == "7.2.22"
