"""libvirt's snapshot XML as values, and back."""

from __future__ import annotations

import pytest
from lxml import etree

from labkit.hypervisor.domain_xml import build_domain_xml, parse_domain_xml
from labkit.hypervisor.snapshot_xml import (
    SAID_NAMESPACE,
    build_said_xml,
    build_snapshot_xml,
    definition_in_snapshot_xml,
    parse_snapshot_xml,
    rename_in_snapshot_xml,
    reparent_in_snapshot_xml,
)
from labkit.model.snapshot import SnapshotKind
from labkit.units import MIB
from tests.snapshots.world import disk, machine

DISKS = (disk("web.vda"), disk("data", target="vdb"))


def _xml(
    *,
    state: str = "shutoff",
    memory: str = "<memory snapshot='no'/>",
    kinds: tuple[str, ...] = ("external", "external"),
    inactive: int | None = None,
) -> str:
    domain = build_domain_xml(machine(*DISKS).spec)
    disks = "".join(f"<disk name='{spec.target}' snapshot='{kind}'/>" for spec, kind in zip(DISKS, kinds, strict=False))
    other = build_domain_xml(machine(*DISKS, memory=inactive).spec) if inactive else ""
    other = other.replace("<domain ", "<inactiveDomain ").replace("</domain>", "</inactiveDomain>")
    return (
        f"<domainsnapshot><name>clean</name><state>{state}</state><parent><name>first</name></parent>"
        f"<creationTime>1700000000</creationTime>{memory}<disks>{disks}</disks>{domain}{other}</domainsnapshot>"
    )


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("shutoff", SnapshotKind.OFF),
        ("running", SnapshotKind.RUNNING),
        ("paused", SnapshotKind.PAUSED),
        ("disk-snapshot", SnapshotKind.DISK_ONLY),
    ],
)
def test_a_snapshot_is_read_with_its_kind_parent_and_disks(state: str, kind: SnapshotKind) -> None:
    facts = parse_snapshot_xml(_xml(state=state))
    assert facts is not None
    assert (facts.name, facts.parent, facts.created, facts.kind) == ("clean", "first", 1700000000, kind)
    assert facts.disks == DISKS
    assert facts.excuse is None


def test_the_memory_file_is_read() -> None:
    facts = parse_snapshot_xml(_xml(state="running", memory="<memory snapshot='external' file='/lab/m.mem'/>"))
    assert facts is not None
    assert facts.memory == "/lab/m.mem"


def test_the_last_line_on_the_console_is_read_from_the_definition_the_guest_ran_with() -> None:
    said = build_said_xml("a <b> & c", "7.2.22")
    xml = _xml(state="running", inactive=256 * MIB).replace("</metadata>", f"{said}</metadata>", 1)
    facts = parse_snapshot_xml(
        xml.replace("<said", f"<l:said xmlns:l='{SAID_NAMESPACE}'").replace("</said", "</l:said")
    )
    assert facts is not None
    assert (facts.said, facts.qemu) == ("a <b> & c", "7.2.22")


def test_what_was_configured_while_it_ran_counts_not_what_it_ran_with() -> None:
    xml = _xml(inactive=256 * MIB)
    facts = parse_snapshot_xml(xml)
    assert facts is not None
    assert facts.spec.memory == 256 * MIB
    restored = parse_domain_xml(definition_in_snapshot_xml(xml))
    assert restored is not None
    assert restored.memory == 256 * MIB


def test_an_internal_snapshot_is_excused() -> None:
    for xml in (_xml(memory="<memory snapshot='internal'/>"), _xml(kinds=("internal", "external"))):
        facts = parse_snapshot_xml(xml)
        assert facts is not None
        assert "taken inside its image file" in (facts.excuse or "")


def test_a_snapshot_without_one_of_the_disks_is_excused_by_its_name() -> None:
    facts = parse_snapshot_xml(_xml(kinds=("external", "no")))
    assert facts is not None
    assert facts.excuse == "It was taken without vdb."


def test_a_machine_that_is_not_of_labkit_has_no_snapshots_for_us() -> None:
    xml = "<domainsnapshot><name>x</name><domain type='qemu'><name>other</name></domain></domainsnapshot>"
    assert parse_snapshot_xml(xml) is None


def test_to_take_names_every_disk_and_the_memory() -> None:
    xml = etree.fromstring(build_snapshot_xml("clean", "as <new>", "/lab/m.mem", DISKS))
    assert xml.findtext("name") == "clean"
    assert xml.findtext("description") == "as <new>"
    assert [(each.get("name"), each.get("snapshot")) for each in xml.iterfind("disks/disk")] == [
        ("vda", "external"),
        ("vdb", "external"),
    ]
    memory = xml.find("memory")
    assert memory is not None
    assert dict(memory.attrib) == {"snapshot": "external", "file": "/lab/m.mem"}


def test_renaming_and_another_parent_change_nothing_else() -> None:
    before = parse_snapshot_xml(_xml())
    after = parse_snapshot_xml(reparent_in_snapshot_xml(rename_in_snapshot_xml(_xml(), name="n", description="d"), "p"))
    assert before is not None
    assert after is not None
    assert (after.name, after.description, after.parent) == ("n", "d", "p")
    assert after.spec == before.spec
    root = parse_snapshot_xml(reparent_in_snapshot_xml(_xml(), None))
    assert root is not None
    assert root.parent is None
