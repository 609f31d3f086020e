"""Why an act on a disk is refused: one pure function for each reason, None where there is none.

Knows: the model. Must not know: which acts ask.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Collection, Iterable

from labkit.language import _, ngettext
from labkit.model.disk import Bus, DiskFacts, disk_name
from labkit.model.image import Format, ImageFacts
from labkit.model.machine import Chipset, MachineFacts, MachineState
from labkit.model.state import LabState
from labkit.model.words import state_word
from labkit.plans.refusal import Refusal
from labkit.units import GIB, MIB, TIB, format_size

SPACE_MARGIN = 64 * MIB
"""Bytes of the host's disk that every act must leave free."""

SECTOR = 512
"""Bytes of a sector: a capacity is a multiple of it."""

FIRST_TARGETS = ("vda", "sda", "hda")
"""The target of the disk that a guest starts from."""

LARGEST = {Format.VHD: 2040 * GIB, Format.VMDK: 2 * TIB - 64 * 1024}
"""The largest capacity of each format in bytes, if it is less than somebody may ask for."""


def why_not_name(state: LabState, name: str) -> Refusal | None:
    """Return why a new disk cannot have a name: it is taken."""
    if name not in state.disks and not any(disk_name(path) == name for path in state.images):
        return None
    return Refusal(why=_("There is already a disk {name!r}.").format(name=name), ways_out=(_("Choose another name."),))


def why_not_capacity(capacity: int, format: Format) -> Refusal | None:
    """Return why a format cannot have a capacity (bytes)."""
    if capacity % SECTOR:
        return Refusal(
            why=_("A capacity of {capacity} bytes is not a whole number of sectors of {sector} bytes.").format(
                capacity=capacity, sector=SECTOR
            ),
            ways_out=(_("Ask for {capacity}.").format(capacity=-(-capacity // SECTOR) * SECTOR),),
        )
    largest = LARGEST.get(format)
    if largest is not None and capacity > largest:
        return Refusal(
            why=_("{format} holds at most {largest}.").format(format=format, largest=format_size(largest)),
            ways_out=(_("Ask for less, or choose qcow2."),),
        )
    return None


def why_not_options(format: Format, cluster_size: int | None, extended_l2: bool) -> Refusal | None:
    """Return why a format cannot have these options."""
    if format is not Format.QCOW2 and (cluster_size or extended_l2):
        return Refusal(
            why=_("cluster_size and extended_l2 belong to qcow2, not to {format}.").format(format=format),
            ways_out=(_('Say format="qcow2".'),),
        )
    if cluster_size is not None and cluster_size not in (2**power for power in range(9, 22)):
        return Refusal(
            why=_("A cluster is a power of two from 512 B to 2 MiB, not {size} bytes.").format(size=cluster_size),
            ways_out=(_("64 KiB is the default."),),
        )
    return None


def why_no_room(free: int, needed: int) -> Refusal | None:
    """Return why `needed` bytes do not fit into the `free` ones of the host's disk."""
    if needed == 0 or needed + SPACE_MARGIN <= free:
        return None
    return Refusal(
        why=_("This needs {needed}, and the host's disk has {free} free ({margin} stay as a margin).").format(
            needed=format_size(needed), free=format_size(free), margin=format_size(SPACE_MARGIN)
        ),
        ways_out=(_("Ask for less or for a dynamic disk, or free space on the host."),),
    )


def why_not_attach(disk: DiskFacts, machine: MachineFacts) -> Refusal | None:
    """Return why a disk cannot be attached to a machine."""
    if disk.machine is not None:
        return Refusal(
            why=_("{disk} is already attached to {machine}: two guests that write one image destroy it.").format(
                disk=disk.name, machine=disk.machine
            ),
            ways_out=(_("Detach it there first, or attach a copy: disk.convert(…)."),),
        )
    strange = [image.format for image in disk.layers if not image.format.attachable]
    if strange:
        return Refusal(
            why=_(
                "{disk} has a layer in {format}, which libvirt does not know: "
                "the guest would read the container instead of the data."
            ).format(disk=disk.name, format=strange[0]),
            ways_out=(_('Convert it: disk.convert("…", format="qcow2").'),),
        )
    if disk.active.frozen:
        return Refusal(
            why=_("{disk} is frozen: something depends on its content.").format(disk=disk.name),
            ways_out=(_("Attach a copy: disk.convert(…)."),),
        )
    if machine.state is MachineState.SAVED:
        return Refusal(
            why=_("{machine} is saved: its saved memory fits only the disks it has.").format(machine=machine.name),
            ways_out=(_("Start it, then attach the disk."),),
        )
    return None


def why_no_system(state: LabState, machine: MachineFacts) -> Refusal | None:
    """Return why a machine cannot be started: the disk it starts from is not attached."""
    if any(disk.target in FIRST_TARGETS for disk in machine.spec.disks):
        return None
    names = [disk.name for disk in state.disks.values() if disk.machine is None]
    own = next((name for name in names if name.startswith(f"{machine.name}.")), None)
    ways = [_("Attach a disk with a system: vm.attach(…).")]
    if own:
        ways.insert(0, _("Attach it again: {call}.").format(call=f'lab.machines["{machine.name}"].attach("{own}")'))
    return Refusal(
        why=_("{machine} has no disk to start from: it was detached.").format(machine=machine.name),
        ways_out=tuple(ways),
    )


def why_not_from_here(state: LabState, disk: DiskFacts, machine: str) -> Refusal | None:
    """Return why a disk cannot be attached to a machine: another machine's snapshots keep what it stands on.

    A linked clone may get its own disk back, which is named after the clone.
    """
    layers = {image.path for image in disk.layers}
    keepers = sorted(
        name
        for name, tree in state.every_tree.items()
        if any(kept.path in layers for node in tree.nodes.values() for kept in node.disks)
    )
    if not keepers or machine in keepers or disk.name.startswith(f"{machine}."):
        return None
    return Refusal(
        why=_("{disk} stands on images that snapshots of {machines} keep: it can be attached only there.").format(
            disk=disk.name, machines=", ".join(keepers)
        ),
        ways_out=(_("Attach a copy that stands alone: disk.convert(…)."),),
    )


def why_not_bus(disk: DiskFacts, machine: MachineFacts, bus: Bus) -> Refusal | None:
    """Return why a disk cannot be attached to such a controller of a machine."""
    if bus is Bus.VIRTIO:
        return None
    if machine.spec.chipset is not Chipset.PC:
        return Refusal(
            why=_("{machine} imitates a PC without an IDE controller.").format(machine=machine.name),
            ways_out=(_('Create one that has it: lab.create(…, chipset="pc").'),),
        )
    if disk.socket is not None:
        return Refusal(
            why=_("{disk} is a network disk, and IDE has none.").format(disk=disk.name),
            ways_out=(_("Leave bus= away."),),
        )
    return why_ide_stays(machine) if machine.is_active else None


def why_ide_stays(machine: MachineFacts) -> Refusal:
    """Return why an IDE disk cannot be attached or detached: the machine is not off."""
    return Refusal(
        why=_("{machine} is {state}: an IDE disk is plugged in or pulled out with the power off.").format(
            machine=machine.name, state=state_word(machine.state)
        ),
        ways_out=(_("Stop the machine first."),),
    )


def why_elsewhere(state: LabState, disk: DiskFacts) -> Refusal | None:
    """Return why a disk cannot be changed from here: its machine is on another hypervisor instance of the lab."""
    if disk.machine is None or disk.machine in state.machines or disk.machine not in state.elsewhere:
        return None
    place = state.places[disk.machine]
    if why := state.unreachable.get(place):
        return Refusal(
            why=_("{disk} belongs to {machine}, on the side {place} of the lab, which does not answer: {why}").format(
                disk=disk.name, machine=disk.machine, place=place or _("where it was opened"), why=why
            ),
            ways_out=(_("Type ./lab doctor; lab.clean() removes that side with all that is on it."),),
        )
    return Refusal(
        why=_("{disk} belongs to {machine}, which is on the other side of the lab: {place}.").format(
            disk=disk.name, machine=disk.machine, place=place or _("where it was opened")
        ),
        ways_out=(_("Do it there, or let the machine come back: vm.migrate(lab)."),),
    )


def why_not_still(state: LabState, disk: DiskFacts) -> Refusal | None:
    """Return why a disk's content cannot be copied now: a guest may be writing to it."""
    holder = state.everywhere.get(disk.machine or "")
    if holder is None or holder.state is MachineState.OFF:
        return None
    return Refusal(
        why=_("{disk} is in use by {machine}, which is {state}.").format(
            disk=disk.name, machine=holder.name, state=state_word(holder.state)
        ),
        ways_out=(_("Stop {machine}, or detach the disk.").format(machine=holder.name),),
    )


def why_served(disk: DiskFacts) -> Refusal | None:
    """Return why a disk's images cannot be used: it is served as another machine's storage."""
    if disk.socket is None:
        return None
    return Refusal(
        why=_("{disk} is being served: its server has the image open.").format(disk=disk.name),
        ways_out=(_("End the server first: disk.stop_serving()."),),
    )


def why_held(disk: DiskFacts, held: Collection[str]) -> Refusal | None:
    """Return why a free disk cannot be used even so: a process has one of its files open.

    Args:
        held: those of its files that a process has open.
    """
    names = [posixpath.basename(path) for path in held]
    if not names:
        return None
    return Refusal(
        why=_("{disk} is in use: a process that the lab does not know has {files} open.").format(
            disk=disk.name, files=", ".join(names)
        ),
        ways_out=(_("End that process first: ./lab doctor looks for it."),),
    )


def why_not_serve(disk: DiskFacts) -> str | None:
    """Return why a disk cannot be served, or None."""
    if disk.machine is not None and disk.socket is None:
        return _("{disk} is attached to {machine} as a file.").format(disk=disk.name, machine=disk.machine)
    if disk.active.frozen:
        return _("{disk} is frozen: something depends on its content.").format(disk=disk.name)
    return None


def why_not_single(disk: DiskFacts) -> Refusal | None:
    """Return why a disk's image cannot be replaced by a copy: it has layers of snapshots."""
    if len(disk.layers) == 1 and not disk.active.frozen:
        return None
    return Refusal(
        why=ngettext(
            "{disk} has {count} layer, which belongs to snapshots.",
            "{disk} has {count} layers, and what is below belongs to snapshots.",
            len(disk.layers),
        ).format(disk=disk.name, count=len(disk.layers)),
        ways_out=(_("Make a disk that stands alone: disk.convert(…)."),),
    )


def why_internal(images: Iterable[ImageFacts]) -> Refusal | None:
    """Return why images cannot be frozen, deleted or rewritten: another tool keeps snapshots inside them."""
    image = next((image for image in images if image.internal), None)
    if image is None:
        return None
    file = posixpath.basename(image.path)
    return Refusal(
        why=ngettext(
            "{file} has {count} snapshot of another tool inside, which labkit can neither keep nor bring back.",
            "{file} has {count} snapshots of another tool inside, which labkit can neither keep nor bring back.",
            image.internal,
        ).format(file=file, count=image.internal),
        ways_out=(
            _("Look at them: {command}.").format(command=f"qemu-img snapshot -l {shlex.quote(image.path)}"),
            _("Delete those you no longer need, with qemu-img snapshot -d; then do this again."),
        ),
    )


def why_not_grow(disk: DiskFacts, capacity: int) -> Refusal | None:
    """Return why a disk cannot be given a capacity (bytes)."""
    if capacity > disk.capacity:
        return None
    return Refusal(
        why=_("{disk} has {capacity}; making it smaller would cut off what the guest put there.").format(
            disk=disk.name, capacity=format_size(disk.capacity)
        ),
        ways_out=(_("Create a smaller disk and copy the files inside the guest."),),
    )
