"""The acts that change a machine (its definition, its name, its disks) or delete it. `Machine` offers them as methods.

Each turns what a person wrote into a request and returns the plan.
Knows: plans, surveys. Must not know: the façade, how a plan is carried out.
"""

from __future__ import annotations

from labkit.acts.act import OfMachine
from labkit.acts.names import NamedDisk, find_disk, name_disk
from labkit.engine import inside
from labkit.engine.survey import find_broken, survey_host
from labkit.engine.survey_disks import survey_disks
from labkit.language import _
from labkit.model.disk import Bus
from labkit.model.machine import MachineChanges
from labkit.plans import disk as disk_plans
from labkit.plans import machine as machine_plans
from labkit.plans.plan import Plan
from labkit.units import check_choice, check_count, check_name, check_word, parse_memory


def configure(
    machine: OfMachine,
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
    state, name = machine.handle.find()
    return machine_plans.plan_configure(state, survey_host(machine.handle.workspace), name, changes)


def rename(machine: OfMachine, new: str, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Give it another name; its disk images keep theirs.

    Raises:
        BadInput: not a name. Refused: the name is taken, or the machine is not off.
    """
    new = check_name(new, what=_("machine"))
    return machine_plans.plan_rename(*machine.handle.find(), new)


def delete(machine: OfMachine, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Delete it with its disks.

    Raises:
        Refused: it is running or paused.
    """
    return machine_plans.plan_delete(*machine.handle.find())


def attach(
    machine: OfMachine,
    disk: NamedDisk | str,
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
    handle, name = machine.handle, name_disk(disk)
    state, owner = handle.find()
    changed = find_broken(handle.workspace, state)
    return disk_plans.plan_attach(state, find_disk(state, name), owner, kind, changed=changed)


def detach(machine: OfMachine, disk: NamedDisk | str, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Detach a disk from the machine, also while the guest runs; it stays in the lab with its content.

    Raises:
        NotFound: no such disk. Refused: it is not attached here, or mounted inside.
        TimedOut: the running guest does not release it.
    """
    handle, name = machine.handle, name_disk(disk)
    survey = survey_disks(handle.session, inside.find_mounted(handle))
    state, owner = handle.find()
    return disk_plans.plan_detach(state, survey, find_disk(state, name), owner)
