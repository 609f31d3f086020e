"""`Disk`: a disk of a lab, as students use it. It holds no state.

A disk is a named thing with one active image, which the guest writes, and the layers below it.
Knows: the session. Must not know: libvirt's calls, files, widgets.
"""

from __future__ import annotations

from pathlib import Path

from labkit.acts.act import act
from labkit.acts.names import NamedDisk, get_machine, name_disk
from labkit.arguments import checked
from labkit.engine import serving
from labkit.engine.sampling import Sampling
from labkit.engine.session import Session
from labkit.engine.survey_disks import find_used, read_map, survey_disks
from labkit.errors import NotFound, Refused, WrongState
from labkit.language import _
from labkit.model.disk import DiskFacts
from labkit.model.image import Allocation, Format, ImageFacts
from labkit.model.regions import Region, locate
from labkit.model.replaced import say_what_stands
from labkit.model.state import LabState
from labkit.model.usage import DiskUsage
from labkit.plans import disk as plans
from labkit.plans import disk_change
from labkit.plans.accepting import plan_accept_disk
from labkit.plans.broken import find_damaged, why_broken_disk
from labkit.plans.disk_excuses import why_not_serve
from labkit.plans.plan import Plan
from labkit.units import check_choice, check_name, format_size, parse_size


class Disk(NamedDisk):
    """A disk, as returned by `lab.disks.create(...)` or `lab.disks[name]`."""

    def __init__(self, session: Session, name: str) -> None:
        super().__init__(name)
        self.session = session

    # --- what it is -------------------------------------------------------------------------------

    @property
    def facts(self) -> DiskFacts:
        """Everything the disk is now, read afresh, as one value.

        Raises:
            NotFound: it was deleted.
        """
        state = self.session.read()
        disks = state.disks
        if self.name not in disks:
            if damaged := find_damaged(state, self.name):
                raise WrongState(
                    _("The disk {name!r} cannot be read: its image {file} is there, but damaged: {why}.").format(
                        name=self.name, file=Path(damaged).name, why=say_what_stands(state.replaced.get(damaged))
                    ),
                    _("Bring the file back from a copy."),
                )
            raise NotFound(
                _("The disk {name!r} is no longer there.").format(name=self.name),
                _("It was deleted. List what there is: lab.disks."),
            )
        return disks[self.name]

    @property
    def capacity(self) -> int:
        """Bytes the guest sees."""
        return self.facts.capacity

    @property
    def length(self) -> int:
        """Bytes its files are long, all layers together."""
        return self.facts.length

    @property
    def allocated(self) -> int:
        """Bytes the host really gave, all layers together."""
        return self.facts.allocated

    @property
    def format(self) -> Format:
        """Its base's format."""
        return self.facts.format

    @property
    def allocation(self) -> Allocation:
        """Its base's, as its header or the lab's record says; where neither does, a full one is fixed."""
        return self.facts.allocation

    @property
    def layers(self) -> tuple[ImageFacts, ...]:
        """Its images, top (active) → base."""
        return self.facts.layers

    @property
    def path(self) -> Path:
        """The active image's (first) file."""
        return Path(self.facts.active.path)

    @property
    def machine(self) -> str | None:
        """The name of the machine it is attached to, or None."""
        return self.facts.machine

    @property
    def target(self) -> str | None:
        """What that machine's guest calls it, e.g. "vdb", or None."""
        return self.facts.target

    @property
    def usage(self) -> DiskUsage | None:
        """What its running guest did with it since it started, as the hypervisor counts; None when not running."""
        facts = self.facts
        if facts.machine is None:
            return None
        machine = get_machine(self.session.read(), facts.machine)
        usage = self.session.usage().get(machine.id)
        return next((disk for disk in usage.disks if disk.target == facts.target), None) if usage else None

    def map(self) -> tuple[Region, ...]:
        """Return its regions in the guest's order: what each holds, and which layer's file serves it."""
        return read_map(self.facts.layers)

    @checked
    def locate(self, offset: int) -> tuple[Path, int]:
        """Return the host's file that holds a byte of the guest's disk, and the offset in that file.

        Args:
            offset: in bytes from the start of the disk, as the guest counts.

        Raises:
            BadInput: beyond the capacity. WrongState: the host holds nothing there yet.
        """
        path, place = locate(self.map(), offset)
        return Path(path), place

    @checked
    def sampling(self, interval: float = 0.1) -> Sampling:
        """Return a `with` block's samples of what the host gives it and what its guest writes.

        Args:
            interval: seconds from one look to the next.
        """
        return Sampling(self, interval)

    # --- as another machine's storage -------------------------------------------------------------

    @property
    def served(self) -> bool:
        """Whether a server offers it as blocks over the network block device protocol (NBD)."""
        return self.facts.socket is not None

    @checked
    def serve(self, *, room: str | int | None = None, timeout: float = 30) -> Disk:
        """Serve it over a UNIX socket, as a storage network gives blocks; attached then, it is a network disk.

        Args:
            room: how long its file may become on the server's side, e.g. "8 MiB": beyond that, the server's disk is
                full, and a guest that writes is paused. None: no limit. Calling `serve` again while it is served
                changes the room.

        Raises:
            BadInput: `room` is no size. WrongState: it is attached as a file, or frozen.
            HostTrouble: the server cannot start.
        """
        most = None if room is None else parse_size(room, what="room")
        facts = self.facts
        if excuse := why_not_serve(facts):
            raise WrongState(excuse, _("Detach it first, or serve a copy: disk.convert(…)."))
        state, survey = self._look()
        if broken := why_broken_disk(state, facts, survey.changed):
            raise Refused(broken.why, broken.hint, refusal=broken)
        serving.serve(self.session, facts, room=most, timeout=timeout)
        return self

    def stop_serving(self) -> Disk:
        """End its server. A guest that then asks for blocks is paused; `serve` and `vm.resume()` let it go on."""
        serving.stop_serving(self.session, self.name)
        return self

    # --- acts -------------------------------------------------------------------------------------

    def _after(self, plan: Plan, timeout: float | None) -> Disk:
        self.session.carry_out(plan, timeout=timeout)
        return self

    def _after_convert(self, plan: Plan, timeout: float | None) -> Disk:
        self.session.carry_out(plan, timeout=timeout)
        return Disk(self.session, plan.disks[1])

    def _after_delete(self, plan: Plan, timeout: float | None) -> None:
        self.session.carry_out(plan, timeout=timeout)

    @act(_after_convert)
    def convert(
        self,
        new: str,
        *,
        format: str | None = None,
        allocation: str = "dynamic",
        as_is: bool = False,
        timeout: float | None = None,  # noqa: ARG002 — used by the call, not by the plan
    ) -> Plan:
        """Make a new disk with the same content, standing alone; this one stays.

        Args:
            new: the new disk's name. format: raw, qcow2, vdi, vmdk, vhd or vhdx; None: the same.
            allocation: "fixed" or "dynamic". timeout: seconds.
            as_is: whether to save what can be read now, although another program has changed a frozen image below.

        Returns:
            The new disk.

        Raises:
            BadInput: a name, format or allocation that cannot be used. Refused: see `.plan(...).refusal`.
        """
        facts = self.facts  # says so if it is gone
        state, survey = self._look()
        return disk_change.plan_convert(
            state,
            survey,
            self.name,
            check_name(new, what=_("disk")),
            check_choice(Format, format, what="format") if format else facts.format,
            check_choice(Allocation, allocation, what="allocation"),
            as_is=as_is,
        )

    @act(_after)
    def resize(self, capacity: str | int, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Give it more capacity; raw and qcow2 also while their guest runs. It cannot shrink.

        Args:
            capacity: the new one, a size such as "128 MiB", a multiple of 512 bytes.
        """
        self.facts  # noqa: B018
        size = parse_size(capacity, what=_("capacity"))
        return disk_change.plan_resize(*self._look(), self.name, size)

    @act(_after)
    def compact(self, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Give back what it no longer uses; its machine must be off."""
        self.facts  # noqa: B018
        return disk_change.plan_compact(*self._look(), self.name)

    @act(_after_delete)
    def delete(self, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Delete it; it must be free."""
        files = [file for layer in self.facts.layers for file in layer.files]
        return plans.plan_delete(self.session.read(), self.name, find_used(files))

    @staticmethod
    def name_of(disk: Disk | str) -> str:
        """Return the name of a disk given as an object or by its name.

        Raises:
            BadInput: it is neither.
        """
        return name_disk(disk)

    @act(_after)
    def accept_changes(self, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Take the frozen images below it as they are now, although another program has changed some.

        Nothing is written to them: from now on what they hold counts. Whoever stands on them reads that.
        """
        facts = self.facts
        state, survey = self._look()
        return plan_accept_disk(state, survey.changed, facts)

    def _look(self) -> tuple[LabState, plans.DiskSurvey]:
        """The lab, and what was measured, from one reading."""
        state = self.session.read()
        return state, survey_disks(self.session, frozen_in=state)

    def __repr__(self) -> str:
        try:
            facts = self.facts
        except NotFound:
            return f"Disk {self.name!r} (" + _("deleted") + ")"
        except WrongState:
            return f"Disk {self.name!r} (" + _("damaged") + ")"
        place = f", {facts.target} of {facts.machine}" if facts.machine else ""
        kind = facts.allocation if facts.base.tells else "full"
        return f"Disk {self.name!r} ({facts.format}, {kind}, {format_size(facts.capacity)}{place})"
