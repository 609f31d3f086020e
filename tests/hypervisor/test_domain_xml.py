"""A machine's definition as domain XML, both ways, and its edits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from labkit.hypervisor.domain_xml import (
    accelerate_in_domain_xml,
    build_domain_xml,
    change_domain_xml,
    host_name,
    identify,
    parse_domain_xml,
    rename_in_domain_xml,
)
from labkit.model.image import Format
from labkit.model.machine import (
    Accelerator,
    Boot,
    Chipset,
    DiskSpec,
    MachineChanges,
    MachineSpec,
    domain_name,
    machine_name,
)
from labkit.units import MIB
from tests.model.test_units import NAMES
from tests.plans.states import machine

PATHS = st.from_regex(r"/[a-zA-Z0-9 <>&'\"äñ机/._-]{1,40}", fullmatch=True)
WORDS = st.from_regex(r"[a-z][a-z0-9.=_-]{0,20}", fullmatch=True)
SPEC = machine("web").spec


@st.composite
def disks(draw: st.DrawFn) -> tuple[DiskSpec, ...]:
    formats = draw(st.lists(st.sampled_from([format for format in Format if format.attachable]), max_size=4))
    folder = draw(PATHS).rstrip("/") or "/disks"
    made = []
    for number, format in enumerate(formats):
        name = draw(NAMES)
        path = f"{folder}/{name}.0.{format}"
        target = f"{draw(st.sampled_from(('vd', 'sd')))}{'abcd'[number]}"
        made.append(DiskSpec(name=name, target=target, path=path, format=format))
    return tuple(made)


BOOTS = st.one_of(
    st.just(Boot()),
    st.builds(Boot, kernel=PATHS, initramfs=st.none() | PATHS, command_line=st.lists(WORDS).map(" ".join)),
)
SPECS = st.builds(
    MachineSpec,
    name=NAMES,
    lab=st.just("default") | NAMES,
    lab_id=st.uuids().map(str),
    id=st.uuids().map(str),
    memory=st.integers(1, 2**20).map(lambda count: count * MIB),
    vcpus=st.integers(1, 64),
    image=WORDS,
    boot=BOOTS,
    disks=disks(),
    accelerator=st.sampled_from(Accelerator),
    cpu_model=st.from_regex(r"[A-Za-z0-9._+-]{1,60}", fullmatch=True),
    panic_device=st.booleans(),
    agent=st.booleans(),
    pinned_to=st.none() | st.integers(0, 255),
    genid=st.none() | st.uuids().map(str),
    console_log=st.none() | PATHS,
    chipset=st.sampled_from(Chipset),
)


@given(SPECS)
def test_reading_a_definition_is_the_inverse_of_writing_it(spec: MachineSpec) -> None:
    assert parse_domain_xml(build_domain_xml(spec)) == spec


@given(SPECS, st.integers(1, 4096).map(lambda count: count * MIB), st.integers(1, 64))
def test_a_change_changes_what_it_names_and_nothing_else(spec: MachineSpec, memory: int, vcpus: int) -> None:
    changes = MachineChanges(memory=memory, vcpus=vcpus, cpu_model="max")
    changed = parse_domain_xml(change_domain_xml(build_domain_xml(spec), changes))
    assert changed == replace(spec, memory=memory, vcpus=vcpus, cpu_model="max")


@given(SPECS)
def test_no_change_is_no_change(spec: MachineSpec) -> None:
    assert parse_domain_xml(change_domain_xml(build_domain_xml(spec), MachineChanges())) == spec


@given(SPECS, NAMES)
def test_a_new_name_goes_to_the_guest_and_nowhere_else(spec: MachineSpec, name: str) -> None:
    renamed = rename_in_domain_xml(build_domain_xml(spec), name)
    assert parse_domain_xml(renamed) == spec
    line = etree.fromstring(renamed).findtext("os/cmdline")
    assert line == (identify(spec.boot, name) if spec.boot.kernel else None)


@given(NAMES, st.just("default") | NAMES)
def test_a_domains_name_tells_the_machine_and_the_lab(name: str, lab: str) -> None:
    assert machine_name(lab, domain_name(lab, name)) == name


@pytest.mark.parametrize(
    ("lab", "name", "domain"),
    [
        ("default", "web", "web"),
        ("course", "web", "course.web"),
        ("default", "máquina", "máquina"),
        ("default", "máquina-virtual-número-1", "máquina-virtual-número-1"),
        ("course", "máquina-virtú", "course.máquina-virtú"),
        ("course", "abcdefghijklñ", "xn--course.abcdefghijkl-e4b"),
        ("default", "机器机器机器机器", "xn--m7raaa046sbabb"),
        ("default", "xn--a", "xn--xn--a-"),
    ],
)
def test_a_domain_is_named_as_the_machine_unless_libvirt_would_cut_a_letter(lab: str, name: str, domain: str) -> None:
    assert domain_name(lab, name) == domain


@given(st.just("default") | NAMES, NAMES)
def test_libvirts_folder_of_a_domain_has_a_name_in_whole_letters(lab: str, name: str) -> None:
    assert domain_name(lab, name).encode()[:20].decode()


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("web", "web"),
        ("Web_1.a", "Web-1-a"),
        ("a" * 60, "a" * 60),
        ("a-", "a"),
        ("ñandú", "xn--and-6ma2c"),
        ("机器", "xn--m7r540b"),
    ],
)
def test_a_name_becomes_a_host_name(name: str, host: str) -> None:
    assert host_name(name) == host


@given(NAMES)
def test_any_name_becomes_a_host_name_that_linux_takes(name: str) -> None:
    host = host_name(name)
    assert 1 <= len(host) <= 63
    assert host.isascii()
    assert host.replace("-", "").isalnum()
    assert not host.startswith("-")
    assert not host.endswith("-")


def test_a_domain_without_our_mark_is_not_ours() -> None:
    document = etree.fromstring(build_domain_xml(SPEC))
    document.remove(next(document.iterchildren("metadata")))
    assert parse_domain_xml(etree.tostring(document, encoding="unicode")) is None


def test_vcpus_added_to_a_pinned_machine_are_pinned_too() -> None:
    changed = change_domain_xml(build_domain_xml(replace(SPEC, pinned_to=1)), MachineChanges(vcpus=3))
    pins = etree.fromstring(changed).findall("cputune/vcpupin")
    assert [(pin.get("vcpu"), pin.get("cpuset")) for pin in pins] == [("0", "1"), ("1", "1"), ("2", "1")]


GOLDEN = {
    "tiny": SPEC,
    "sector": replace(SPEC, boot=Boot(), agent=False, panic_device=False, image="sector"),
    "kvm": replace(SPEC, accelerator=Accelerator.KVM, vcpus=2, pinned_to=1, cpu_model="max"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_definition_is_this(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"{name}.xml", build_domain_xml(GOLDEN[name]))


@pytest.mark.parametrize(("then", "now"), [(Accelerator.KVM, Accelerator.TCG), (Accelerator.TCG, Accelerator.KVM)])
def test_another_accelerator_leaves_the_rest_as_it_was(then: Accelerator, now: Accelerator) -> None:
    spec = machine("web").spec
    xml = accelerate_in_domain_xml(build_domain_xml(replace(spec, accelerator=then)), now)
    assert parse_domain_xml(xml) == replace(parse_domain_xml(build_domain_xml(spec)) or spec, accelerator=now)
    for element in ("<tb-cache", "<qemu:capabilities"):
        assert xml.count(element) == (1 if now is Accelerator.TCG else 0)
