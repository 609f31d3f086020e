"""The acts that change a machine: its definition, its name, its disks, its end. `Machine` hangs them up by name.

Each turns what a person wrote into a request and returns the plan; `acts.act` carries it out.
Knows: plans, the lab. Must not know: how a plan is carried out, libvirt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.acts.act import act
from labkit.engine import inside
from labkit.engine.survey import find_broken, survey_host
from labkit.language import _
from labkit.model.disk import Bus
from labkit.model.machine import MachineChanges
from labkit.plans import disk as disk_plans
from labkit.plans import machine as machine_plans
from labkit.plans.plan import Plan
from labkit.units import check_choice, check_count, check_name, check_word, parse_memory

if TYPE_CHECKING:
    from labkit.disk import Disk
    from labkit.machine import Machine


def _after(machine: Machine, plan: Plan, timeout: float | None) -> Machine:
    machine.lab.carry_out(plan, timeout=timeout)
    return machine


def _after_attach(machine: Machine, plan: Plan, timeout: float | None) -> Machine:
    machine.lab.carry_out(plan, timeout=timeout)
    inside.wait_for_device(machine._handle, plan.disks[0])
    return machine


def _after_delete(machine: Machine, plan: Plan, timeout: float | None) -> None:
    machine.lab.carry_out(plan, timeout=timeout)


@act(_after)
def configure(
    machine: Machine,
    *,
    memory: str | int | None = None,
    vcpus: int | None = None,
    cpu_model: str | None = None,
    timeout: float | None = None,  # noqa: ARG001 — used by the call, not by the plan
) -> Plan:
    """Change its definition; a running guest sees it when it next starts.

    Args:
        memory: a size such as "256 MiB". vcpus: number of virtual CPUs.
        cpu_model: a CPU model of QEMU. None leaves each as it is.

    Raises:
        BadInput: a size or number that cannot be used. Refused: see `.plan(...).refusal`.
    """
    changes = MachineChanges(
        memory=None if memory is None else parse_memory(memory),
        vcpus=None if vcpus is None else check_count(vcpus, what="vcpus"),
        cpu_model=None if cpu_model is None else check_word(cpu_model, what="cpu_model"),
    )
    state, name = machine._find()
    return machine_plans.plan_configure(state, survey_host(machine.lab._workspace), name, changes)


@act(_after)
def rename(machine: Machine, new: str, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Give it another name; its disk images keep theirs.

    Raises:
        BadInput: not a name. Refused: the name is taken, or the machine is not off.
    """
    new = check_name(new, what=_("machine"))
    return machine_plans.plan_rename(*machine._find(), new)


@act(_after_delete)
def delete(machine: Machine, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Delete it with its disks.

    Raises:
        Refused: it is running or paused.
    """
    return machine_plans.plan_delete(*machine._find())


@act(_after_attach)
def attach(
    machine: Machine,
    disk: Disk | str,
    *,
    bus: str = "virtio",
    timeout: float | None = None,  # noqa: ARG001 — used by the call, not by the plan
) -> Plan:
    """Attach a free disk as the guest's next (vdb, vdc …), also while the guest runs.

    Args:
        disk: a free disk of the lab.
        bus: "virtio", or "ide" (sda, sdb …): an imitation of a real controller, which machines with the
            chipset "pc" have; such a disk is attached while the machine is off.

    Raises:
        NotFound: no such disk. Refused: it is attached already, or cannot be attached; see the refusal.
    """
    kind = check_choice(Bus, bus, what="bus")
    name = _name_of(machine, disk)
    state = machine.lab.state
    changed = find_broken(machine.lab._workspace, state)
    return disk_plans.plan_attach(state, name, machine.name, kind, changed=changed)


@act(_after)
def detach(machine: Machine, disk: Disk | str, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Take a disk from the machine, also while the guest runs; it stays in the lab with its content.

    Raises:
        NotFound: no such disk. Refused: it is not attached here, or mounted inside.
        TimedOut: the running guest does not let go of it.
    """
    name = _name_of(machine, disk)
    survey = machine.lab.survey_disks(inside.find_mounted(machine._handle))
    return disk_plans.plan_detach(machine.lab.state, survey, name, machine.name)


def _name_of(machine: Machine, disk: Disk | str) -> str:
    """The name of a disk of the lab."""
    from labkit.disk import Disk

    return machine.lab.disks[Disk.name_of(disk)].name
