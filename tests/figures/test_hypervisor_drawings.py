"""Drawings of hypervisors, of guests that share a host, of what systems find in themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from labkit.figures import draw_devices, draw_evidence, draw_hypervisors, draw_kernels, draw_runs, draw_sharing
from labkit.figures.drawing import Drawing
from labkit.figures.hypervisors import arguments
from labkit.figures.sharing import runs_verdict, share_verdict
from labkit.language import set_language
from labkit.model.host import Clue, Floor, FloorKind, HostFacts, HypervisorKind, Versions
from labkit.model.inside import PciDevice, System
from labkit.model.machine import Accelerator
from labkit.model.measurement import Load, Share

FLOORS = (
    Floor(kind=FloorKind.HARDWARE, name="the hardware", evidence=()),
    Floor(kind=FloorKind.KERNEL, name="the Linux kernel", evidence=()),
    Floor(kind=FloorKind.HYPERVISOR, name="QEMU", evidence=()),
)
HOST = HostFacts(
    cpu="Some CPU",
    cpus=2,
    memory=0,
    memory_available=0,
    accelerator=Accelerator.TCG,
    why="",
    floors=FLOORS,
    hypervisor=HypervisorKind.TYPE_2,
    evidence=(),
    versions=Versions(),
    clues=(Clue(source="/dev/kvm", says="It is there."), Clue(source="/proc/cpuinfo", says="No mode.")),
)
ARGUED = replace(HOST, hypervisor=HypervisorKind.ARGUED, accelerator=Accelerator.KVM)


def share(alone: list[float], together: list[float], stolen: float = 0.0) -> Share:
    def loads(rates: list[float]) -> tuple[Load, ...]:
        return tuple(Load(rate=rate, busy=1.0 - stolen, stolen=stolen) for rate in rates)

    return Share(name="a", alone=loads(alone), together=loads(together))


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    set_language("en")
    yield
    set_language(None)


def words_in(drawing: Drawing) -> str:
    """All that is written in the picture."""
    return "\n".join(text.get_text() for text in drawing._ax.texts)


def test_both_types_stand_beside_this_hosts_own_floors() -> None:
    drawing = draw_hypervisors(HOST)
    assert drawing.to_png().startswith(b"\x89PNG")
    for word in ("type 1", "type 2", "this host", "the Linux kernel", "QEMU"):
        assert word in words_in(drawing)


def test_twin_is_the_same_whatever_the_host() -> None:
    tower = replace(ARGUED, floors=(*FLOORS, replace(FLOORS[1], name="another floor")))
    assert repr(draw_hypervisors(HOST)) == repr(draw_hypervisors(tower))
    assert repr(draw_evidence(HOST, ["init"])) == repr(draw_evidence(ARGUED, ["libvirtd", "systemd"]))


def test_kernel_with_kvm_is_drawn_as_a_hypervisor() -> None:
    assert "the Linux kernel with KVM" in words_in(draw_hypervisors(ARGUED)).replace("\n", " ")
    assert "KVM" not in words_in(draw_hypervisors(HOST))


@pytest.mark.parametrize("host", [HOST, ARGUED], ids=["translated", "with KVM"])
def test_both_sides_have_their_say(host: HostFacts) -> None:
    assert sorted(side for side, _says in arguments(host)) == [False, True]
    written = words_in(draw_evidence(host, ["libvirtd", "systemd"]))
    assert "for type 1" in written
    assert "for type 2" in written
    assert "QEMU ← libvirtd ← systemd" in written


def test_why_the_lab_uses_kvm_or_not_stands_among_the_clues() -> None:
    """Without it /dev/kvm, which is there, and a program that translates contradict each other."""
    reasoned = replace(HOST, why="KVM is there, but a guest with it did not answer.")
    assert "did not answer" in words_in(draw_evidence(reasoned)).replace("\n", " ")
    assert repr(draw_evidence(reasoned)) == repr(draw_evidence(HOST))


def test_less_work_is_stated_only_where_the_runs_do_not_overlap() -> None:
    assert share_verdict(share([100, 110], [40, 50])) == "together: 0.43 × the work"
    assert "not distinguishable" in share_verdict(share([100, 110], [40, 105]))


def test_what_a_guest_believes_is_in_the_picture() -> None:
    assert "believes: 75 % busy,\n25 % stolen" in words_in(draw_sharing([share([9], [5], stolen=0.25)]))


def test_each_case_is_compared_with_the_one_above() -> None:
    assert runs_verdict([20, 22], [9, 10]) == "2.2 × as long\nas above"
    assert runs_verdict([9, 10], [20, 22]) == "2.2 × as fast\nas above"
    assert "not distinguishable" in runs_verdict([9, 21], [10, 20])
    assert (
        repr(draw_runs({"alone": [1.5], "noisy": [2.5]}))
        == "Milliseconds for one write: alone, beside a noisy neighbour"
    )


def test_devices_are_told_apart_by_who_made_them() -> None:
    devices = [
        PciDevice(address="0", vendor=0x8086, device=0x7010, kind=0x010180, driver="ata_piix"),
        PciDevice(address="1", vendor=0x1AF4, device=0x1001, kind=0x010000, driver="virtio-pci"),
        PciDevice(address="2", vendor=0x1AF4, device=0x1042, kind=0x010000),
        PciDevice(address="3", vendor=0x10DE, device=0x1234, kind=0x030000),
    ]
    drawing = draw_devices(devices)
    assert repr(drawing).splitlines() == [
        "imitates hardware that was once sold: Intel PIIX3, the IDE controller; graphics card",
        "made for virtual machines: virtio disk",
    ]
    assert "8086:7010" in words_in(drawing)
    assert "driver: ata_piix" in words_in(drawing)


def test_systems_with_one_boot_share_a_kernel() -> None:
    host = System(name="host", kernel="6.1.0", boot_id="aaaaaaaa-1", processes=90)
    drawing = draw_kernels(
        {
            "outside": host,
            "container": replace(host, name="box", processes=2),
            "machine": replace(host, name="a", boot_id="bbbbbbbb-2"),
        }
    )
    assert repr(drawing).splitlines() == ["outside: kernel A", "in the container: kernel A", "in the machine: kernel B"]
    assert not re.search(r"6\.1", repr(drawing))
    assert words_in(drawing).count("6.1.0") == 3


def test_any_number_of_kernels_has_letters_of_their_own() -> None:
    systems = {f"m{n}": System(name=f"m{n}", kernel="6.1.0", boot_id=f"{n:08}", processes=2) for n in range(30)}
    letters = [line.rpartition(" ")[2] for line in repr(draw_kernels(systems)).splitlines()]
    assert letters[:5] == ["A", "B", "C", "D", "E"]
    assert len(set(letters)) == 30
