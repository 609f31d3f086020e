"""A clone's definition: what makes a machine itself is new, everything else is its original's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.hypervisor.clone_xml import clone_domain_xml
from labkit.hypervisor.domain_xml import build_domain_xml, parse_domain_xml
from labkit.model.machine import MachineSpec
from tests.plans.states import HOME, machine

BY_HAND = {
    "</devices>": "<interface type='user'><mac address='52:54:00:11:22:33'/></interface></devices>",
    'bus="virtio"/>': 'bus="virtio"/><iotune><total_iops_sec>7</total_iops_sec></iotune>',
    '<serial type="pty">': '<serial type="pty"><source path="/dev/pts/3"/>',
}
"""What a user or the hypervisor may have put into the original's definition."""


@pytest.fixture
def clone() -> MachineSpec:
    """Who the clone is."""
    spec = machine("web").spec
    disk = replace(spec.disks[0], name="copy.vda", path=f"{HOME}/disks/copy.vda.0.qcow2")
    return replace(
        spec,
        name="copy",
        id="9bdc4b71-4a3f-4b5b-9d3e-0d6d1d3f2a10",
        genid="9bdc4b71-4a3f-4b5b-9d3e-0d6d1d3f2a11",
        disks=(disk,),
        console_log=f"{HOME}/consoles/copy.0.log",
    )


def test_names_ids_addresses_and_files_are_new_and_the_rest_stays(clone: MachineSpec) -> None:
    xml = build_domain_xml(machine("web").spec)
    for before, after in BY_HAND.items():
        assert before in xml
        xml = xml.replace(before, after)
    made = clone_domain_xml(xml, clone)
    assert parse_domain_xml(made) == clone
    for old in ("web", "id-of-web", "genid-of-web", "52:54:00:11:22:33", "/dev/pts/3"):
        assert old not in made
    assert made.count(clone.id) == 2  # the domain's, and what the firmware tells
    assert "<total_iops_sec>7</total_iops_sec>" in made
    assert "<interface" in made


def test_a_twin_is_told_to_stay_who_its_disk_says(clone: MachineSpec) -> None:
    twin = replace(clone, boot=clone.boot.keeping_identity(keep=True))
    made = clone_domain_xml(build_domain_xml(machine("web").spec), twin)
    assert "labkit.identity=keep labkit.name=copy" in made
    assert parse_domain_xml(made) == twin
