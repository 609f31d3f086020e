"""The acts that make a machine and that remove everything: create, clean. `Lab` offers them as methods.

Knows: plans. Must not know: how a plan is carried out, libvirt.
"""

from __future__ import annotations

import uuid

from labkit.acts.act import OfLab
from labkit.engine.survey import survey_host
from labkit.language import _
from labkit.model.architecture import X86_64
from labkit.model.image import Allocation, Format
from labkit.model.machine import DEFAULT_CPU, Chipset
from labkit.plans import creation
from labkit.plans.machine import plan_clean
from labkit.plans.plan import Plan
from labkit.units import check_choice, check_count, check_name, check_text, check_word, parse_memory


def create(
    lab: OfLab,
    name: str,
    *,
    memory: str | int = "128 MiB",
    vcpus: int = 1,
    image: str = "tiny",
    if_exists: str = "error",
    cpu_model: str = DEFAULT_CPU,
    panic_device: bool = True,
    message: str | None = None,
    disk_format: str | None = None,
    allocation: str = "dynamic",
    chipset: str = X86_64.machine_type,
    timeout: float | None = None,  # noqa: ARG001 — used by the call, not by the plan
) -> Plan:
    """Create a machine with its own copy of a guest image as its disk.

    Args:
        name: 1 to 60 characters.
        memory: a size such as "128 MiB". vcpus: number of virtual CPUs.
        image: a guest image, "tiny" or "sector".
        if_exists: "error"; "keep": use the one there is; "replace": delete it with its disks first.
        cpu_model: a CPU model of QEMU.
        panic_device: whether the hypervisor hears of a panic of the guest's kernel.
        message: what the `sector` image greets with.
        disk_format: of its disk: raw, qcow2, vdi, vmdk or vhd; None: the guest image's.
        allocation: of its disk, "fixed" or "dynamic".
        chipset: which PC it imitates: "q35", a PC of 2007, or "pc", a PC of 1996 with an IDE controller.
        timeout: seconds.

    Returns:
        The machine, off; one that was kept is as it was.

    Raises:
        BadInput: a name, size or number that cannot be used. Refused: see `.plan(...).refusal`.
    """
    request = creation.CreateRequest(
        name=check_name(name, what=_("machine")),
        id=str(uuid.uuid4()),
        genid=str(uuid.uuid4()),
        image=image,
        memory=parse_memory(memory),
        vcpus=check_count(vcpus, what="vcpus"),
        if_exists=check_choice(creation.IfExists, if_exists, what="if_exists"),
        cpu_model=check_word(cpu_model, what="cpu_model"),
        panic_device=panic_device,
        message=None if message is None else check_text(message, what="message"),
        disk_format=check_choice(Format, disk_format, what="disk_format") if disk_format else None,
        allocation=check_choice(Allocation, allocation, what="allocation"),
        chipset=check_choice(Chipset, chipset, what="chipset"),
    )
    session = lab.session
    return creation.plan_create(session.read(), survey_host(session.workspace, session.connection.uri), request)


def clean(lab: OfLab, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Remove every machine and every file of this lab, running guests included.

    Raises:
        HostTrouble: something is left; the message names it.
    """
    return plan_clean(lab.session.read())
