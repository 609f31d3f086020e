"""The guard: no act harms what others depend on. One pure function for each danger, None where there is none.

A linked clone stands on the frozen images of another machine's snapshot. The hypervisor knows nothing of that: it would
start, merge or delete a base that clones use. What depends on what is read from the image headers alone. Whether an
image is still what it was when it froze is the question of `broken`.

Knows: the lineage. Must not know: which steps an act has, who asks.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from labkit.language import _, ngettext
from labkit.model.disk import DiskFacts
from labkit.model.lineage import Lineage, LineageNode, NodeKind, read_lineage
from labkit.model.machine import DiskSpec, MachineFacts
from labkit.model.state import LabState
from labkit.model.switch_excuses import say_apart, say_out_of_reach
from labkit.model.ways import ways_to_reach
from labkit.model.words import state_word
from labkit.plans.plan import Plan
from labkit.plans.refusal import Refusal
from labkit.plans.steps import TakeSnapshot
from labkit.printing import quote


def why_not_reached(state: LabState, names: Iterable[str]) -> Refusal | None:
    """Return why nothing can be done with machines that run out of the hypervisor's reach, or None."""
    for name in names:
        facts = state.everywhere.get(name)
        if facts is not None and facts.is_out_of_reach:
            return Refusal(why=say_out_of_reach(facts), ways_out=(ways_to_reach(facts),))
    return None


def _why_apart(state: LabState, plan: Plan) -> Refusal | None:
    """Return why a plan is refused: a guest's files were exchanged while it runs, so what it writes is not in the lab.

    A snapshot would freeze the exchanged file under the guest's memory, and a migration would go on in it. Only the
    hypervisor can still copy what the guest has.
    """
    copies = plan.act == "clone" and not plan.refusal and not any(isinstance(each, TakeSnapshot) for each in plan.steps)
    if plan.whole_lab or copies:
        return None
    for name in plan.names:
        facts = state.everywhere.get(name)
        if facts is not None and facts.apart:
            return Refusal(why=say_apart(facts), ways_out=ways_back(state, facts))
    return None


def ways_back(state: LabState, facts: MachineFacts) -> tuple[str, ...]:
    """Return how to keep what a guest has that goes on in files which are no longer in the folder."""
    lost = [(path, where) for path, where in facts.apart if path not in state.images]
    moved = [f"mv {quote(where)} {quote(path)}" for path, where in lost if not where.startswith("/proc/")]
    deleted = [f"cp {quote(where)} {quote(path)}" for path, where in lost if where.startswith("/proc/")]
    if moved:
        return (_("Bring it back: {command}.").format(command="; ".join(moved)),)
    if deleted:
        return (
            _("Its process still has it. Pause it, then type: {command}.").format(command="; ".join(deleted)),
            _("Then cut its power, kill(): it starts again with what it had."),
        )
    return (
        _("To keep what it has, copy it while it runs: {call}.").format(
            call=f'lab.machines["{facts.name}"].clone("…")'
        ),
        _("Then cut its power, kill(): it starts again with the file that is in the folder now."),
    )


def why_shared(state: LabState, names: Iterable[str], *, freezes: bool = False) -> Refusal | None:
    """Return why nothing can be done with machines' disks: another machine was given one of them, and is on.

    Only another program does that. What the one writes, the other would take for its own.

    Args:
        freezes: whether the disks are frozen, which would keep also a machine that is off from ever writing to its own.
    """
    writers = {name: facts for name, facts in state.everywhere.items() if facts.is_active or freezes}
    for name in names:
        mine = _disks_of(state.everywhere.get(name))
        for other, facts in writers.items():
            theirs = _disks_of(facts)
            for path in mine.keys() & theirs.keys() if other != name else ():
                return _shared(state.everywhere[name], facts, path)
    return None


def _shared(machine: MachineFacts, other: MachineFacts, path: str) -> Refusal:
    from_mine, from_other = (
        f"virsh detach-disk {quote(each.spec.domain_name)} {_disks_of(each)[path].target} --config"
        for each in (machine, other)
    )
    first = (
        _("Stop {other} first.").format(other=other.name)
        if other.is_active
        else _("Take it away from {name}: {command}.").format(name=other.name, command=from_other)
    )
    return Refusal(
        why=_("Another program has given {file} to {other} and {name}, and {other} is {state}.").format(
            file=posixpath.basename(path), other=other.name, name=machine.name, state=state_word(other.state)
        ),
        ways_out=(first, _("Or take it away from {name}: {command}.").format(name=machine.name, command=from_mine)),
    )


def _disks_of(machine: MachineFacts | None) -> dict[str, DiskSpec]:
    """The disks that a machine writes to, by path: as it is defined, and as it runs."""
    specs = (machine.spec, machine.live) if machine else ()
    return {disk.path: disk for spec in specs if spec for disk in spec.disks if not disk.served}


def why_not_now(state: LabState, plan: Plan) -> Refusal | None:
    """Return why a plan is not carried out, whatever its act is, or None; its own refusal, if it has one.

    Asked when it is made and, since others act meanwhile, again when it is carried out. What does nothing harms nobody.
    """
    if not plan.steps and not plan.refusal:
        return None
    refusal = _why_apart(state, plan) or plan.refusal or why_not_reached(state, plan.names)
    if not refusal and not plan.whole_lab and any(plan.files.made + plan.files.rewritten + plan.files.deleted):
        freezes = any(isinstance(each, TakeSnapshot) for each in plan.steps)
        refusal = why_shared(state, plan.names, freezes=freezes)
    return refusal


def why_not_delete_machine(state: LabState, machine: str) -> Refusal | None:
    """Return why a machine cannot be deleted: linked clones stand on its images."""
    clones = read_lineage(state).clones(machine)
    if not clones:
        return None
    return Refusal(
        why=_("{clones} stand on the images of {machine}: without them they would have no disks.").format(
            clones=_listed(clones), machine=machine
        )
        if len(clones) > 1
        else _("{clone} stands on the images of {machine}: without them it would have no disks.").format(
            clone=clones[0], machine=machine
        ),
        ways_out=_ways_out(clones),
        dependants=clones,
    )


def why_not_delete_snapshots(state: LabState, machine: str, names: Iterable[str]) -> Refusal | None:
    """Return why snapshots cannot be deleted: linked clones stand directly on one of them.

    An ancestor of such a snapshot may be deleted: its image stays, as a layer without a name.
    """
    lineage = read_lineage(state)
    standing = {name: clones for name in names if (clones := lineage.direct_clones(machine, name))}
    if not standing:
        return None
    clones = tuple(sorted(set().union(*standing.values())))
    return Refusal(
        why=ngettext(
            "{names} is what these were cloned from and stand on: {clones}.",
            "{names} are what these were cloned from and stand on: {clones}.",
            len(standing),
        ).format(names=", ".join(standing), clones=_listed(clones)),
        ways_out=_ways_out(clones),
        dependants=clones,
    )


def why_not_write(state: LabState, disks: Iterable[DiskSpec]) -> Refusal | None:
    """Return why images cannot be written to, by a guest or by us: others depend on what they hold."""
    lineage = read_lineage(state)
    for disk in disks:
        needing = dependants_of_content(lineage, disk.path)
        if needing:
            names = tuple(str(node) for node in needing)
            clones = tuple(node.name for node in needing if node.kind is NodeKind.MACHINE)
            return Refusal(
                why=_("{file} is the base of {names}: writing to it would destroy them.").format(
                    file=posixpath.basename(disk.path), names=_listed(names)
                ),
                ways_out=(
                    *_ways_out(clones),
                    _("Or restore this machine to a snapshot: it goes on in an image of its own.")
                    if clones
                    else _("Restore this machine to a snapshot: it goes on in an image of its own."),
                ),
                dependants=names,
            )
    return None


def dependants_of_content(lineage: Lineage, path: str) -> tuple[LineageNode, ...]:
    """Return who would be harmed if a machine's active image were written to: all except that machine itself.

    A snapshot that only a record put aside knows counts too: somebody may go back to that record.
    """
    state = lineage.state
    snapshots = [
        LineageNode(NodeKind.SNAPSHOT, f"{name}@{point.name}")
        for name, tree in state.every_tree.items()
        for point in tree.nodes.values()
        if any(disk.path == path for disk in point.disks)
    ]
    if (aside := state.aside.get(path)) and aside.snapshot:
        snapshots.append(LineageNode(NodeKind.SNAPSHOT, f"{aside.machine}@{aside.snapshot}"))
    above = [image.path for image in state.images.values() if image.backing == path]
    return tuple(sorted({*snapshots, *(node for image in above for node in lineage.dependants(image))}))


def may_merge(lineage: Lineage, machine: str, *images: str) -> bool:
    """Whether a merge may rewrite or drop layers: whether only this machine needs them."""
    return all(lineage.users.get(path, frozenset()) <= {machine} for path in images)


def why_not_change_disk(state: LabState, disk: DiskFacts) -> Refusal | None:
    """Return why a disk cannot be grown, compacted or deleted: others depend on what its active image holds."""
    target = DiskSpec(name=disk.name, target=disk.target or "", path=disk.active.path, format=disk.active.format)
    return why_not_write(state, [target])


def _ways_out(clones: tuple[str, ...]) -> tuple[str, ...]:
    if not clones:
        return ()
    first = clones[0]
    return (
        _("Let each stand alone: {call}.").format(call=f'lab.machines["{first}"].flatten()'),
        _("Or delete them first: {call}.").format(call=f'lab.machines["{first}"].delete()'),
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
