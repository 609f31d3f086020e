"""Why an act on a machine is refused: one pure function for each reason, None where there is none.

Knows: the model. Must not know: which acts ask.
"""

from __future__ import annotations

from labkit.language import _
from labkit.model.image import GuestImage
from labkit.model.machine import MachineFacts, domain_name
from labkit.model.state import LabState
from labkit.plans.disk_excuses import SPACE_MARGIN
from labkit.plans.refusal import Refusal
from labkit.units import format_size

LONGEST_DOMAIN = 240
"""The most bytes of a domain's name: libvirt makes file names of it, which may have 255."""

_SHORT_NAME = 20  # bytes of a domain's name that libvirt uses in the names of its folders


def why_not_name(state: LabState, name: str, *, allow: MachineFacts | None = None) -> Refusal | None:
    """Return why a machine cannot have a name; the machine in `allow` may have it already."""
    domain = domain_name(state.lab, name)
    if len(domain.encode()) > LONGEST_DOMAIN:
        return Refusal(
            why=_("{name!r} is too long: with its lab's name it takes more than {limit} bytes.").format(
                name=name, limit=LONGEST_DOMAIN
            ),
            ways_out=(_("Choose a shorter name."),),
        )
    if name in state.machines and state.machines[name] != allow:
        return Refusal(
            why=_("There is already a machine {name!r}.").format(name=name),
            ways_out=(_("Choose another name, or delete {name} first.").format(name=name),),
        )
    if name in state.elsewhere:
        return Refusal(
            why=_("There is already a machine {name!r}, on the other side of the lab: {place}.").format(
                name=name, place=state.places[name] or _("where it was opened")
            ),
            ways_out=(_("Choose another name."),),
        )
    if domain in state.taken_names:
        return Refusal(
            why=_("The hypervisor already has a machine {name!r} that is not of this lab.").format(name=domain),
            ways_out=(_("Choose another name; labkit leaves machines of others alone."),),
        )
    return None


def why_not_named_here(state: LabState, name: str, *, room: int, folder: str) -> Refusal | None:
    """Return why a machine of this name could never start on this host: the path of its monitor's socket is too long.

    Args:
        room: how many bytes of a domain's name fit in. folder: the folder whose long name leaves no more.
    """
    if len(domain_name(state.lab, name).encode()[:_SHORT_NAME]) <= room:
        return None
    way = _("The folder {folder} has a long name. Type ./lab doctor: it says how to give it a short one.")
    shorter = _("Or choose a name of at most {room} bytes, with its lab's.").format(room=room)
    return Refusal(
        why=_("{name} could not start here: there is no room for the path of its monitor's socket.").format(name=name),
        ways_out=(way.format(folder=folder), *([shorter] if room > 0 else [])),
    )


def why_not_sized(*, memory: int, vcpus: int, host_memory: int, host_cpus: int, minimum: int = 0) -> Refusal | None:
    """Return why a machine cannot have this size: the host cannot give so much, or the guest needs more.

    Args:
        memory, host_memory, minimum: bytes; `minimum` is what the guest needs.
    """
    if memory > host_memory:
        return Refusal(
            why=_("{memory} of memory is more than this host has ({host}).").format(
                memory=format_size(memory), host=format_size(host_memory)
            ),
            ways_out=(_("Ask for less memory."),),
        )
    if memory < minimum:
        return Refusal(
            why=_("{memory} of memory is too little: this guest needs {minimum}.").format(
                memory=format_size(memory), minimum=format_size(minimum)
            ),
            ways_out=(_("Ask for more memory."),),
        )
    most = max(8, 4 * host_cpus)
    if vcpus > most:
        return Refusal(
            why=_("{vcpus} vCPUs are too many for a host with {cpus} CPUs.").format(vcpus=vcpus, cpus=host_cpus),
            ways_out=(_("Ask for at most {most}.").format(most=most),),
        )
    return None


def why_not_image(state: LabState, name: str) -> Refusal | None:
    """Return why no machine can be made from a guest image: there is none of this name."""
    if name in state.guest_images:
        return None
    names = ", ".join(sorted(state.guest_images)) or _("none")
    return Refusal(
        why=_("There is no guest image {image!r}; there are: {names}.").format(image=name, names=names),
        ways_out=(_("Type ./lab setup, which builds the guest images."),),
    )


def why_not_message(image: GuestImage, message: str | None) -> Refusal | None:
    """Return why a guest image cannot greet with a message."""
    if message is None:
        return None
    if image.message is None:
        return Refusal(
            why=_("The guest image {image!r} has no message to change.").format(image=image.name),
            ways_out=(_('Use image="sector".'),),
        )
    if len(message.encode()) >= image.message.length:
        return Refusal(
            why=_("The message takes {bytes} bytes; there is room for {room}.").format(
                bytes=len(message.encode()), room=image.message.length - 1
            ),
            ways_out=(_("Write a shorter message."),),
        )
    return None


def why_no_room_for_machine(free: int, needed: int) -> Refusal | None:
    """Return why the `needed` bytes of a machine's disks do not fit into the `free` ones of the host's disk."""
    if needed + SPACE_MARGIN <= free:
        return None
    return Refusal(
        why=_("The host's disk has {free} free; this needs {needed} and leaves {margin} as a margin.").format(
            free=format_size(free),
            needed=format_size(needed),
            margin=format_size(SPACE_MARGIN),
        ),
        ways_out=(_("Delete machines you no longer need, or free space on the host."),),
    )
