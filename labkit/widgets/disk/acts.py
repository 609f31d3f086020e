"""What can be done with a disk in `DiskPanel`: buttons and forms, each with its plan's reason against it.

Knows: disks, plans. Must not know: threads, how an act is carried out.
"""

from __future__ import annotations

from labkit.language import _
from labkit.model.disk import DiskFacts
from labkit.model.image import Allocation, Format
from labkit.model.state import LabState
from labkit.plans import disk as plans
from labkit.plans import disk_change
from labkit.plans.disk_excuses import SECTOR
from labkit.plans.naming import numbered
from labkit.units import format_size
from labkit.widgets import parts
from labkit.widgets.disk.parts import kind_word
from labkit.widgets.parts import Button
from labkit.widgets.tree import Node, tag


def list_buttons(state: LabState, survey: plans.DiskSurvey, disk: DiskFacts, *, busy: str | None) -> list[Button]:
    """Return the buttons of acts that need no input, each with its plan's reason against it."""
    detach: str | None = _("{disk} is free: it is attached to no machine.").format(disk=disk.name)
    if disk.machine is not None:
        detach = plans.plan_detach(state, survey, disk.name, disk.machine).excuse
    return [
        Button(
            label=_("Compact…"),
            action="compact",
            excuse=disk_change.plan_compact(state, survey, disk.name).excuse,
            busy=busy,
            tip=_("Copy what it holds and leave the zeros out."),
        ),
        Button(
            label=_("Detach…"),
            action="detach",
            excuse=detach,
            busy=busy,
            tip=_("Take it from its machine; its content stays."),
        ),
        Button(
            label=_("Delete…"),
            action="delete",
            excuse=plans.plan_delete(state, disk.name).excuse,
            busy=busy,
            kind="danger",
            tip=_("Show what would be deleted; nothing is lost before you confirm."),
        ),
        Button(label=_("Look again"), action="again", busy=busy, tip=_("Read sizes and map again.")),
    ]


def render_create(state: LabState, *, busy: str | None) -> Node:
    """Return the form of a new disk, with a name that no disk has."""
    return parts.fold(
        _("Create a disk"),
        parts.form(
            "create",
            _("Create…"),
            parts.field(
                _("New disk's name"), "name", "data" if "data" not in state.disks else numbered("data", state.disks)
            ),
            parts.field(_("Capacity"), "capacity", "64 MiB"),
            parts.choices(_("Format"), "format", _formats(), Format.QCOW2),
            parts.choices(_("Allocation"), "allocation", _kinds(), Allocation.DYNAMIC),
            busy=busy,
            kind="main",
        ),
        is_open=not state.disks,
        key="create",
    )


def render_forms(state: LabState, survey: plans.DiskSurvey, disk: DiskFacts, *, busy: str | None) -> Node:
    """Return the forms of acts that need input: resize, convert, attach."""
    name = numbered(disk.name, state.disks)
    resize = disk_change.plan_resize(state, survey, disk.name, disk.capacity + SECTOR)
    convert = disk_change.plan_convert(state, survey, disk.name, name, disk.format, Allocation.DYNAMIC)
    machines = [(name, name) for name in state.machines]
    return tag(
        "div",
        parts.fold(
            _("Give it more capacity"),
            parts.form(
                "resize",
                _("Resize…"),
                parts.field(_("New capacity"), "capacity", format_size(disk.capacity * 2)),
                excuse=resize.excuse,
                busy=busy,
            ),
            key="resize",
        ),
        parts.fold(
            _("Convert it into a new disk"),
            parts.form(
                "convert",
                _("Convert…"),
                parts.field(_("New disk's name"), "name", name),
                parts.choices(_("Format"), "format", _formats(), disk.format),
                parts.choices(_("Allocation"), "allocation", _kinds(), _kind_of(disk)),
                excuse=convert.excuse,
                busy=busy,
            ),
            key="convert",
        ),
        parts.fold(
            _("Attach it to a machine"),
            parts.form(
                "attach",
                _("Attach…"),
                parts.choices(_("Machine"), "machine", machines) if machines else None,
                excuse=_why_not_attach(state, disk),
                busy=busy,
            ),
            key="attach",
        ),
    )


def _formats() -> list[tuple[str, str]]:
    return [(str(format), str(format)) for format in Format]


def _kind_of(disk: DiskFacts) -> Allocation:
    """Return what its copy is to be if nobody chooses: one that is only full need not promise it."""
    return disk.allocation if disk.base.tells else Allocation.DYNAMIC


def _kinds() -> list[tuple[str, str]]:
    return [(str(kind), kind_word(kind)) for kind in Allocation]


def _why_not_attach(state: LabState, disk: DiskFacts) -> str | None:
    """Return why no machine can get the disk: the plan's reason for the first machine, since that is about the disk."""
    excuses = (plans.plan_attach(state, disk.name, name).excuse for name in state.machines)
    first = next(excuses, _("There is no machine to attach it to."))
    return None if first is None or (disk.machine is None and None in excuses) else first
