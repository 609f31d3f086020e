"""Plans of acts on existing machines: configure, rename, delete, clean. `creation` plans a new one.

Each is a pure function of the lab's state, a survey and a request.
Knows: the model, steps. Must not know: libvirt, files.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from labkit.language import _, ngettext
from labkit.model.machine import (
    Accelerator,
    MachineChanges,
    domain_name,
)
from labkit.model.orphan import find_orphans
from labkit.model.state import LabState, alive_among
from labkit.model.ways import ways_off
from labkit.model.words import state_word
from labkit.plans.guard import why_not_delete_machine, why_not_reached
from labkit.plans.machine_excuses import (
    why_not_name,
    why_not_sized,
)
from labkit.plans.plan import Plan
from labkit.plans.planning import make_plan
from labkit.plans.refusal import Refusal
from labkit.plans.removal import allocated_by, files_of, removal_steps
from labkit.plans.steps import (
    ConfigureMachine,
    DeleteFiles,
    EndInstance,
    RenameMachine,
    Step,
    StopServing,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What had to be measured for a plan.

    Attributes:
        host_memory: bytes of memory this host has. host_cpus: its logical CPUs.
        free_bytes: free on the file system of the lab's folder.
        accelerator: who will run the instructions of new machines.
        name_room: how many bytes of a domain's name fit into the path of its monitor's socket; libvirt uses at most 20.
        config: the configuration folder, whose long name leaves so little room.
    """

    host_memory: int
    host_cpus: int
    free_bytes: int
    accelerator: Accelerator
    name_room: int = 20
    config: str = ""


def plan_configure(state: LabState, survey: Survey, name: str, changes: MachineChanges) -> Plan:
    """Plan new memory, vCPUs or CPU model; a running guest sees them at its next start."""
    machine = state.machines[name]
    spec = machine.spec
    minimum = state.guest_images[spec.image].minimum_memory if spec.image in state.guest_images else 0
    refusal = why_not_sized_here(survey, changes.memory or spec.memory, changes.vcpus or spec.vcpus, minimum=minimum)
    if machine.state == "saved":
        refusal = Refusal(
            why=_("{name} is saved: its saved memory fits only the definition it has.").format(name=name),
            ways_out=(_("Start it and stop it, then configure it."),),
        )
    if refusal:
        return machine_plan("configure", state, name, refusal=refusal)
    effective = MachineChanges(
        memory=_changed(changes.memory, spec.memory),
        vcpus=_changed(changes.vcpus, spec.vcpus),
        cpu_model=_changed(changes.cpu_model, spec.cpu_model),
    )
    if effective == MachineChanges():
        return machine_plan("configure", state, name)
    pinned = spec.pinned_to is not None
    step = ConfigureMachine(machine_id=spec.id, domain=spec.domain_name, changes=effective, pinned=pinned)
    notes = [_("{name} sees it when it next starts.").format(name=name)] if machine.is_active else []
    return machine_plan("configure", state, name, steps=[step], notes=notes)


def plan_rename(state: LabState, name: str, new: str) -> Plan:
    """Plan another name for a machine; its images keep the names they have."""
    machine = state.machines[name]
    refusal = None if new == name else why_not_name(state, new)
    if machine.is_active or machine.state == "saved":
        refusal = Refusal(
            why=_("{name} is {state}; a machine is renamed while it is off.").format(
                name=name, state=state_word(machine.state)
            ),
            ways_out=(ways_off(machine),),
        )
    if refusal or new == name:
        return machine_plan("rename", state, name, refusal=refusal)
    step = RenameMachine(
        machine_id=machine.id,
        old=name,
        new=new,
        old_domain=machine.spec.domain_name,
        new_domain=domain_name(state.lab, new),
    )
    return machine_plan("rename", state, name, steps=[step], names=(name, new))


def plan_delete(state: LabState, name: str) -> Plan:
    """Plan to delete a machine with its disks."""
    machine = state.machines[name]
    if unreached := why_not_reached(state, [name]):
        return machine_plan("delete", state, name, refusal=unreached)
    if machine.is_active:
        refusal = Refusal(
            why=_("{name} is {state}; only a machine that is off is deleted.").format(
                name=name, state=state_word(machine.state)
            ),
            ways_out=(ways_off(machine),),
        )
        return machine_plan("delete", state, name, refusal=refusal)
    clones = why_not_delete_machine(state, name)
    return machine_plan("delete", state, name, steps=removal_steps(state, [machine]), refusal=clones)


def plan_clean(state: LabState) -> Plan:
    """Plan to remove every machine and file of the lab, whatever state they are in."""
    if state.instance:
        refusal = Refusal(
            why=_("This is only one side of the lab {name}.").format(name=state.lab),
            ways_out=(_("Clean the lab where you opened it: its other sides go with it."),),
        )
        return make_plan("clean", state, state.lab, refusal=refusal, whole_lab=True)
    machines = list(state.machines.values())
    removal = removal_steps(state, machines)
    removal += [EndInstance(instance=name, folder=folder) for name, folder in state.instances.items()]
    named = {path for step in removal if isinstance(step, DeleteFiles) for path in step.paths}
    others = alive_among(state.images, state.claimed)
    orphans = {path for orphan in find_orphans(state).values() if not orphan.in_use for path in orphan.files}
    free = [path for path in state.images if path not in named | others | orphans]
    begun = sorted(path for path in state.pending - state.claimed - named if path not in state.images)
    rest = (*files_of(state, free), *_kept_elsewhere(state), *begun)
    removal += [StopServing(disk=disk, socket=socket) for disk, socket in state.served.items()]
    if orphans:  # first, since what they stand on would stay for their sake
        removal.append(DeleteFiles(paths=tuple(sorted(orphans)), bytes=allocated_by(state, orphans)))
    if rest:
        removal.append(DeleteFiles(paths=rest, bytes=allocated_by(state, free)))
    order = sorted(removal, key=lambda step: isinstance(step, DeleteFiles))
    return make_plan(
        "clean",
        state,
        state.lab,
        names=state.everywhere,
        disks=state.disks,
        steps=order,
        notes=_notes_of_clean(others, orphans),
        whole_lab=True,
    )


def _notes_of_clean(others: Iterable[str], orphans: Iterable[str]) -> Iterator[str]:
    if names := sorted(map(posixpath.basename, orphans)):
        yield ngettext(
            "A file that nobody needs goes too: {names}.", "Files that nobody needs go too: {names}.", len(names)
        ).format(names=", ".join(names))
    if names := sorted(map(posixpath.basename, others)):
        yield ngettext(
            "This stays, since a machine that is not of this lab needs it: {names}.",
            "These stay, since machines that are not of this lab need them: {names}.",
            len(names),
        ).format(names=", ".join(names))


def _kept_elsewhere(state: LabState) -> tuple[str, ...]:
    """The files, beside images, of machines on the lab's other instances."""
    logs = (machine.spec.console_log for machine in state.elsewhere.values())
    nodes = (node for tree in state.elsewhere_snapshots.values() for node in tree.values())
    memories = [node.memory for node in nodes]
    files = (*logs, *memories, *state.beside(memories))
    return tuple(path for path in files if path and path.startswith(f"{state.home}/"))


def machine_plan(
    act: str,
    state: LabState,
    subject: str,
    *,
    steps: Iterable[Step] = (),
    refusal: Refusal | None = None,
    notes: Iterable[str] = (),
    names: tuple[str, ...] = (),
) -> Plan:
    """Return the plan of an act on one machine; `names`: all machines it is about, if that is more than the subject."""
    return make_plan(act, state, subject, names=names or [subject], steps=steps, refusal=refusal, notes=notes)


def why_not_sized_here(survey: Survey, memory: int, vcpus: int, *, minimum: int = 0) -> Refusal | None:
    """Return why a machine of this size cannot be on the host that was surveyed."""
    return why_not_sized(
        memory=memory, vcpus=vcpus, host_memory=survey.host_memory, host_cpus=survey.host_cpus, minimum=minimum
    )


def _changed(asked: T | None, now: T) -> T | None:
    return None if asked == now else asked
