"""`DiskPanel`: the disks of a lab; one of them with its three sizes, growth, map and acts.

While the panel is on screen sizes are read every second; the map is read when a disk is chosen, after an act, and on
request. Every act shows its plan first.

Knows: the store's readings, the acts of disks. Must not know: libvirt, qemu-img.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from labkit.disk import Disk
from labkit.errors import LabError
from labkit.language import _
from labkit.model.disk import DiskFacts
from labkit.model.lineage import read_lineage
from labkit.model.losses import find_losses
from labkit.model.state import LabState
from labkit.plans.broken import why_broken_disk
from labkit.widgets import parts
from labkit.widgets.acting import Values
from labkit.widgets.disk import acts
from labkit.widgets.disk import parts as drawing
from labkit.widgets.live import LivePanel
from labkit.widgets.loss_parts import render_losses, render_relink
from labkit.widgets.machine import parts as machine_parts
from labkit.widgets.offer_parts import render_refusal
from labkit.widgets.reading import LabReading
from labkit.widgets.tree import Child, Node, tag

if TYPE_CHECKING:
    from labkit.engine.executor import Outcome
    from labkit.lab import Lab
    from labkit.model.regions import Region


class DiskPanel(LivePanel):
    """The disks of a lab: create, look inside, convert, resize, compact, attach, detach, delete.

    Args:
        lab: whose disks they are.
        disk: the one that is shown at first, or its name; None: the first of the lab.

    Raises:
        NotFound: the lab has no such disk.
    """

    follows_disks: ClassVar[bool] = True
    shows_states: ClassVar[bool] = False

    def __init__(self, lab: Lab, disk: Disk | str | None = None) -> None:
        super().__init__(lab)
        self._named = None if disk is None else lab.disks[Disk.name_of(disk)].name
        self._chosen = self._named
        self._map: tuple[str, tuple[Region, ...]] | None = None
        self.on("show", self._show)
        self.on("again", self._look)
        self.on("create", self._create)
        self.on("resize", self._resize)
        self.on("convert", self._convert)
        self.on("attach", self._attach)
        self.on("compact", self._compact)
        self.on("delete", self._delete)
        self.on("detach", self._detach)

    # --- what is shown -----------------------------------------------------------------------------

    def title(self) -> str:
        """Return what the panel is called."""
        return _("Disks")

    def line(self) -> str:
        """Return the disk that the panel was made for, since other disks of the lab differ from run to run."""
        if self._named is None:
            return _("the disks of this lab")
        disk = self._disks(self._store.reading).get(self._named)
        return f"{self._named}: " + (drawing.describe(disk) if disk else _("gone"))

    def body(self, *, live: bool) -> Node:
        """Return the disks; see `Panel.body`."""
        reading = self._store.reading
        title = self.title()
        if reading.closed or reading.state is None:
            return self._render_absence(reading, title)
        disks = self._disks(reading)
        if not live:
            return self._static(disks)
        disk = self._shown(disks)
        return tag(
            "div",
            tag("div", machine_parts.render_trouble(reading.trouble), key="trouble"),
            tag(
                "div",
                tag("h3", title),
                tag("span", drawing.count_words(len(disks)), class_="labkit-quiet"),
                class_="labkit-head",
            ),
            drawing.render_list(disks.values(), disk.name if disk else None),
            tag("div", render_losses(find_losses(read_lineage(reading.state))), key="losses"),
            acts.render_create(reading.state, busy=self.busy),
            tag("div", self._detail(reading, disk), key="detail"),
        )

    def _static(self, disks: dict[str, DiskFacts]) -> Node:
        disk = disks.get(self._named or "")
        head = tag("div", tag("h3", _("Disks")), class_="labkit-head")
        words = _("The disks differ from lab to lab: run the cell.")
        return tag("div", head, parts.table([(disk.name, drawing.describe(disk))]) if disk else tag("p", words))

    def _detail(self, reading: LabReading, disk: DiskFacts | None) -> Child:
        if disk is None or reading.state is None:
            return None
        survey = self._lab.survey_disks(frozen_in=reading.state)
        held = self._map[1] if self._map and self._map[0] == disk.active.path else None
        busy = self._why_not(reading, disk.machine)
        holder = reading.state.everywhere.get(disk.machine or "")
        return tag(
            "div",
            tag("h4", f"{disk.name} — {drawing.describe(disk)}"),
            drawing.render_sizes(disk, reading.growth.get(disk.name, ())),
            tag(
                "div",
                drawing.render_map(disk, held, is_written=holder is not None and holder.is_active) if held else None,
                key="map",
            ),
            tag("div", self._render_relink(reading.state, disk, busy), key="lost"),
            tag("div", render_refusal(why_broken_disk(reading.state, disk, survey.changed), busy=busy), key="broken"),
            parts.render_buttons(acts.list_buttons(reading.state, survey, disk, busy=busy), label="disk"),
            acts.render_forms(reading.state, survey, disk, busy=busy),
            key=disk.name,
        )

    def _render_relink(self, state: LabState, disk: DiskFacts, busy: str | None) -> Child:
        """Return the form that brings back what is lost below a disk, or nothing."""
        losses = [loss for loss in find_losses(read_lineage(state)) if (disk.machine, disk.name) in loss.disks]
        return render_relink(disk.machine, [disk.name], busy=busy) if losses and disk.machine else None

    def _about(self, reading: LabReading) -> str | None:
        """Return the machine that has the shown disk, or None."""
        disk = self._shown(self._disks(reading))
        return disk.machine if disk else None

    def _disks(self, reading: LabReading) -> dict[str, DiskFacts]:
        return dict(reading.state.disks) if reading.state else {}

    def _shown(self, disks: dict[str, DiskFacts]) -> DiskFacts | None:
        return disks.get(self._chosen or "") or next(iter(disks.values()), None)

    # --- what is done ------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the lab, and the map of the shown disk."""
        disk = self._shown(self._disks(self._store.read()))
        try:
            self._map = (disk.active.path, self._lab.disks[disk.name].map()) if disk is not None else None
        except LabError:  # it has just gone or is being replaced: show no map
            self._map = None

    def _show(self, values: Values) -> None:
        self._chosen = values.get("subject")
        self._look(values)

    def _look(self, _values: Values) -> None:
        self.acting.work(_("Looking at the disk"), lambda _work: None)  # everything is read again after every act

    def _create(self, values: Values) -> None:
        name = values.get("name", "")
        self._propose(
            _("Create {name}").format(name=name),
            partial(
                self._lab.disks.create.plan,
                name,
                capacity=values.get("capacity", ""),
                format=values.get("format", ""),
                allocation=values.get("allocation", ""),
            ),
            then=self._choosing(name),
        )

    @property
    def _disk(self) -> Disk:
        """The shown disk."""
        facts = self._shown(self._disks(self._store.reading))
        return Disk(self._lab.session, facts.name if facts else "")

    def _resize(self, values: Values) -> None:
        disk = self._disk
        self._propose(_("Resize {name}").format(name=disk.name), partial(disk.resize.plan, values.get("capacity", "")))

    def _convert(self, values: Values) -> None:
        disk, new = self._disk, values.get("name", "")
        format, allocation = values.get("format"), values.get("allocation", "dynamic")
        self._propose(
            _("Convert {name}").format(name=disk.name),
            partial(disk.convert.plan, new, format=format, allocation=allocation),
            then=self._choosing(new),
        )

    def _compact(self, _values: Values) -> None:
        disk = self._disk
        self._propose(_("Compact {name}").format(name=disk.name), disk.compact.plan)

    def _delete(self, _values: Values) -> None:
        disk = self._disk
        self._propose(_("Delete {name}").format(name=disk.name), disk.delete.plan)

    def _attach(self, values: Values) -> None:
        disk, machine = self._disk, values.get("machine", "")
        self._propose(
            _("Attach {name}").format(name=disk.name), lambda: self._lab.machines[machine].attach.plan(disk.name)
        )

    def _detach(self, _values: Values) -> None:
        disk = self._disk
        self._propose(
            _("Detach {name}").format(name=disk.name), lambda: self._lab.machines[disk.machine or ""].detach.plan(disk)
        )

    def _choosing(self, name: str) -> Callable[[Outcome], None]:
        """Return what shows a disk once an act is carried out."""

        def choose(_outcome: Outcome) -> None:
            self._chosen = name

        return choose
