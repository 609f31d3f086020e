"""Why images that a plan would read cannot be used: a frozen image is gone, cannot be read, or is not what it was.

One function for every plan that reads, copies, merges or builds on frozen images, whatever their file mode.
Knows: the model. Must not know: how a change is found, which steps an act has, who asks.
"""

from __future__ import annotations

import posixpath
from collections.abc import Container, Iterable
from dataclasses import replace

from labkit.language import _
from labkit.model.disk import DiskFacts, chain, disk_name, name_of
from labkit.model.image import Format, ImageFacts
from labkit.model.machine import DiskSpec
from labkit.model.replaced import Replaced, say_what_stands
from labkit.model.state import LabState
from labkit.plans.refusal import Offer, OfferKind, Refusal
from labkit.printing import quote


def find_frozen(state: LabState) -> frozenset[str]:
    """Return the images whose content must never change: those that snapshots keep, and those that others stand on."""
    below = {image.backing for image in state.images.values() if image.backing}
    return frozenset((below | state.kept) & state.images.keys())


def find_unsealed(state: LabState) -> frozenset[str]:
    """Return the frozen images that cannot be checked since all seals are gone: all of them then, else none."""
    return frozenset() if state.sealed else find_frozen(state)


def find_frozen_of(state: LabState, machine: str) -> frozenset[str]:
    """Return the frozen images that a machine and its snapshots read, including those of other machines.

    Its active image is among them where another program has made it go on in one that must never change.
    """
    active = {disk.path for disk in state.machines[machine].spec.disks}
    kept = {disk.path for node in state.snapshots.get(machine, {}).values() for disk in node.disks}
    read = {image.path for path in active | kept for image in chain(state.images, path)}
    return frozenset(read - (active - find_frozen(state)))


def why_broken(
    state: LabState,
    machine: str | None,
    disks: Iterable[DiskSpec],
    changed: Container[str],
    *,
    may_lie_outside: bool = False,
) -> Refusal | None:
    """Return why disks cannot be used: one of their images is gone, damaged, or was written to by another program.

    Args:
        machine: whose disks they are; None: they are free. changed: the frozen images that are no longer what they
            were. may_lie_outside: whether an image may lie outside the lab's folder, since it is only read.
    """
    readable = state.readable
    for disk in (replace(disk, name=name_of(readable, disk)) for disk in disks if not disk.served):
        layers = chain(readable, disk.path)
        lost = disk.path if not layers else layers[-1].backing
        if lost is not None and lost not in readable:
            return _lost(state, machine, disk, lost)
        away = next((layer.path for layer in layers if layer.path in state.outside), None)
        if away is not None and not may_lie_outside:
            return _away(state, disk, away)
        bad = next((layer.path for layer in layers if layer.path in changed), None)
        if bad is not None:
            return _altered(state, machine, disk, bad)
    return None


def why_broken_disk(
    state: LabState, disk: DiskFacts, changed: Container[str], *, may_lie_outside: bool = False
) -> Refusal | None:
    """Return why a disk of the lab cannot be used, as `why_broken` does."""
    specs = [_spec(disk.active, disk.name, disk.target)]
    return why_broken(state, disk.machine, specs, changed, may_lie_outside=may_lie_outside)


def why_read_only(state: LabState, disks: Iterable[DiskSpec]) -> Refusal | None:
    """Return why a guest could not write to its disks: an image that nobody stands on is read-only all the same."""
    frozen = find_frozen(state)
    for disk in disks:
        image = state.images.get(disk.path)
        if image is not None and image.frozen and image.path not in frozen:
            return Refusal(
                why=_(
                    "The image {file} of {disk} is read-only, and nobody stands on it: its guest could not write."
                ).format(file=posixpath.basename(disk.path), disk=disk.name),
                ways_out=(_("Give yourself the right: {command}.").format(command=f"chmod u+w {quote(disk.path)}"),),
            )
    return None


def why_unread(state: LabState, disk: str) -> Refusal | None:
    """Return why nothing can be done with a disk of which there is a file that cannot be read as an image."""
    path = None if disk in state.disks else find_damaged(state, disk)
    if path is None:
        return None
    named = ((name, spec) for name, facts in state.everywhere.items() for spec in facts.spec.disks)
    owner, spec = next(
        ((name, spec) for name, spec in named if spec.path == path),
        (None, DiskSpec(name=disk, target="", path=path, format=Format.QCOW2)),
    )
    return _lost(state, owner, spec, path)


def why_broken_image(state: LabState, machine: str, image: ImageFacts, changed: Container[str]) -> Refusal | None:
    """Return why an image of a machine, or one that it stands on, cannot be used, as `why_broken` does."""
    return why_broken(state, machine, [_spec(image, disk_name(image.path), None)], changed)


def notes_of_outside(state: LabState, paths: Iterable[str]) -> list[str]:
    """Return the notes about images outside the lab's folder that the machine will no longer have after the act."""
    said = _("{file} lies outside of the lab's folder: it stays there, and is no disk of the lab from then on.")
    return [said.format(file=path) for path in paths if path in state.outside]


def find_damaged(state: LabState, disk: str) -> str | None:
    """Return the path of a file that has the name of a disk's image but cannot be read as one, or None."""
    return next((path for path in sorted(state.damaged) if disk_name(path) == disk), None)


def _spec(image: ImageFacts, name: str, target: str | None) -> DiskSpec:
    return DiskSpec(name=name, target=target or "", path=image.path, format=image.format)


def _away(state: LabState, disk: DiskSpec, path: str) -> Refusal:
    now = state.disks.get(disk.name)
    if now is not None and any(layer.path == path for layer in now.layers):
        call = f'lab.disks["{disk.name}"].convert("…")'
        way = _("Copy it in: {call}. Then detach {disk} and attach the copy.").format(call=call, disk=disk.name)
    else:
        command = f"qemu-img convert -O qcow2 {quote(path)} copy.qcow2"
        call = 'lab.disks.import_file("copy.qcow2", "…")'
        way = _("Copy it in as a disk of its own: {command}, then {call}.").format(command=command, call=call)
    return Refusal(
        why=_("The image {file} of {disk} lies outside of the lab's folder, where nobody looks after it.").format(
            file=path, disk=disk.name
        ),
        ways_out=(way,),
    )


def _lost(state: LabState, machine: str | None, disk: DiskSpec, path: str) -> Refusal:
    inside = posixpath.join(state.home, "")
    file = posixpath.basename(path) if path.startswith(inside) else path  # elsewhere the name alone would not be found
    back = (
        _("Bring the file back, or say where it is now: {call}.").format(call=_relink(machine, disk))
        if machine
        else _("Bring the file back into its place.")
    )
    if state.replaced.get(path) is Replaced.LOCKED:
        return Refusal(
            why=_("The image {file} of {disk} is there but cannot be read: {why}.").format(
                file=file, disk=disk.name, why=say_what_stands(Replaced.LOCKED)
            ),
            ways_out=(_("Give yourself the right: {command}.").format(command=f"chmod u+rw {quote(path)}"),),
        )
    if path in state.damaged:
        return Refusal(
            why=_("The image {file} of {disk} is there but cannot be read: {why}.").format(
                file=file, disk=disk.name, why=say_what_stands(state.replaced.get(path))
            ),
            ways_out=(back, _("Type ./lab doctor: it says what is wrong with the file.")),
        )
    if path == disk.path:
        return Refusal(
            why=_("The image {file} of {disk} is gone.").format(file=file, disk=disk.name),
            ways_out=(back, _("Without it the content of {disk} is lost.").format(disk=disk.name)),
        )
    return Refusal(
        why=_("The image {file} below {disk} is gone.").format(file=file, disk=disk.name),
        ways_out=(back, _("Without it the content of {disk} is lost.").format(disk=disk.name)),
    )


def _altered(state: LabState, machine: str | None, disk: DiskSpec, path: str) -> Refusal:
    ways = []
    if machine:
        ways.append(_("Bring the file back from a copy: {call}.").format(call=_relink(machine, disk)))
    offers = [Offer(kind=OfferKind.ACCEPT, machine=machine or "", disk=disk.name)]
    now = state.disks.get(disk.name)
    if now is not None and any(layer.path == path for layer in now.layers):
        ways.append(
            _("Or save what can be read now into another disk: {call}.").format(
                call=f'lab.disks["{disk.name}"].convert("…", as_is=True)'
            )
        )
        offers.append(Offer(kind=OfferKind.COPY, machine=machine or "", disk=disk.name))
    accept = f'lab.machines["{machine}"].snapshots' if machine else f'lab.disks["{disk.name}"]'
    ways.append(_("Or take it as it is now: {call}.").format(call=f"{accept}.accept_changes()"))
    return Refusal(
        why=_("The frozen image {file} of {disk} was changed by another program.").format(
            file=posixpath.basename(path), disk=disk.name
        ),
        ways_out=tuple(ways),
        offers=tuple(offers),
    )


def _relink(machine: str | None, disk: DiskSpec) -> str:
    return f'lab.machines["{machine}"].relink("{disk.name}", "…")'
