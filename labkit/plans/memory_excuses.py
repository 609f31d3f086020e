"""Why a guest cannot go on from the memory that a snapshot keeps: what it needs is gone, or this host differs.

Each refusal offers to restore the disks alone. Knows: the model. Must not know: which steps an act has.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

from labkit.language import _
from labkit.model.machine import Accelerator, MachineFacts
from labkit.model.snapshot import SnapshotFacts
from labkit.model.state import LabState
from labkit.plans.refusal import Refusal
from labkit.plans.snapshot_survey import MemoryFault, SnapshotSurvey


def why_not_from_memory(state: LabState, survey: SnapshotSurvey, snapshot: SnapshotFacts) -> Refusal | None:
    """Return why a guest cannot go on from a snapshot's memory; None also if the snapshot keeps none."""
    if snapshot.memory is None:
        return None
    disks_only = _disks_only(snapshot)
    if snapshot.memory not in state.memories:
        why = _("The memory file {file} of {name} is gone.").format(
            file=posixpath.basename(snapshot.memory), name=snapshot.name
        )
        return Refusal(why=why, ways_out=(disks_only,))
    if fault := survey.bad_memories.get(snapshot.memory):
        return Refusal(why=describe_fault(fault, snapshot.memory, snapshot.name), ways_out=(disks_only,))
    boot = snapshot.spec.boot
    lost = [path for path in (boot.kernel, boot.initramfs) if path and path in survey.lost]
    if lost:
        why = _("The file {file} that {name} was running from is gone.").format(
            file=posixpath.basename(lost[0]), name=snapshot.name
        )
        return Refusal(why=why, ways_out=(_("Build it again: ./lab setup."), disks_only))
    other = _why_other_host(survey, snapshot)
    return Refusal(why=other, ways_out=(disks_only,)) if other else None


def why_renamed(facts: MachineFacts, snapshot: SnapshotFacts) -> Refusal | None:
    """Return why a machine cannot go on from a snapshot's memory: libvirt restores it only under its old name."""
    then = snapshot.spec
    if snapshot.memory is None or then.domain_name == facts.spec.domain_name:
        return None
    return Refusal(
        why=_(
            "{snapshot} was taken when {machine} was called {name}: its memory goes on under that name alone."
        ).format(snapshot=snapshot.name, machine=facts.name, name=then.name),
        ways_out=(
            _disks_only(snapshot),
            _("Or give it that name again, for as long: vm.rename({name!r}).").format(name=then.name),
        ),
    )


def _disks_only(snapshot: SnapshotFacts) -> str:
    return _("Restore its disks only: restore({name!r}, memory=False).").format(name=snapshot.name)


def why_bad_memory(snapshots: Iterable[SnapshotFacts], faults: Mapping[str, MemoryFault]) -> Refusal | None:
    """Return why snapshots cannot be carried elsewhere with their memory: a memory file cannot be used."""
    for snapshot in snapshots:
        if snapshot.memory is not None and (fault := faults.get(snapshot.memory)):
            return Refusal(
                why=describe_fault(fault, snapshot.memory, snapshot.name),
                ways_out=(_("Bring the file back from a copy."), _("Or delete the snapshot.")),
            )
    return None


def describe_fault(fault: MemoryFault, memory: str, snapshot: str) -> str:
    """Return what is wrong with the memory file of a snapshot, in a sentence."""
    sentence = {
        MemoryFault.CUT: _("The memory file {file} of {name} is cut short."),
        MemoryFault.DAMAGED: _("The memory file {file} of {name} is damaged: it does not begin as one."),
        MemoryFault.CHANGED: _("The memory file {file} of {name} was changed by another program."),
        MemoryFault.FOREIGN: _("The memory file {file} of {name} belongs to other disk images."),
        MemoryFault.STRANGE: _(
            "The memory file {file} of {name} names files, devices or arguments that are not the lab's: somebody else "
            "has written it, and the hypervisor would use them."
        ),
    }[fault]
    return sentence.format(file=posixpath.basename(memory), name=snapshot)


def is_foreign_accelerator(survey: SnapshotSurvey, snapshot: SnapshotFacts) -> bool:
    """Whether a snapshot's guest ran on hardware virtualization that this host lacks; translation runs everywhere."""
    return snapshot.spec.accelerator is Accelerator.KVM and survey.accelerator is Accelerator.TCG


def _why_other_host(survey: SnapshotSurvey, snapshot: SnapshotFacts) -> str | None:
    if is_foreign_accelerator(survey, snapshot):
        return _("{name} was taken with {then}, this host runs {now}: its memory does not fit.").format(
            name=snapshot.name, then=snapshot.spec.accelerator.upper(), now=Accelerator.TCG.upper()
        )
    model = snapshot.spec.cpu_model
    if survey.cpu_models is not None and model not in survey.cpu_models:
        return _("{name} was taken on a CPU {model}, which this host does not offer: its memory does not fit.").format(
            name=snapshot.name, model=model
        )
    if survey.qemu and snapshot.qemu and _series(snapshot.qemu) != _series(survey.qemu):
        return _("{name} was taken with QEMU {then}, this host has {now}: its memory may not fit.").format(
            name=snapshot.name, then=snapshot.qemu, now=survey.qemu
        )
    return None


def _series(version: str) -> list[str]:
    """The part of a version that decides what QEMU writes and reads: bug-fix releases change only the rest."""
    return version.split(".")[:2]
