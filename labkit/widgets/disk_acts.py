"""What can be done with a disk in `DiskPanel`: buttons and forms, each with the reason its plan gives against it.

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
from labkit.plans.plan import Plan
from labkit.units import format_size
from labkit.widgets import parts
from labkit.widgets.disk_parts import kind_word
from labkit.widgets.parts import Button
from labkit.widgets.tree import Node, tag


def list_buttons(state: LabState, survey: plans.DiskSurvey, disk: DiskFacts, *, busy: str | None) -> list[Button]:
    """Return what can be done with one press, each with the reason its plan gives against it."""
    detach: str | None = _("{disk} is free: it is attached to no machine.").format(disk=disk.name)
    if disk.machine is not None:
        detach = _why(plans.plan_detach(state, survey, disk.name, disk.machine))
    return [
        Button(
            label=_("Compact…"),
            action="compact",
            excuse=busy or _why(disk_change.plan_compact(state, survey, disk.name)),
            tip=_("Copy what it holds and leave the zeros out."),
        ),
        Button(
            label=_("Detach…"),
            action="detach",
            excuse=busy or detach,
            tip=_("Take it from its machine; its content stays."),
        ),
        Button(
            label=_("Delete…"),
            action="delete",
            excuse=busy or _why(plans.plan_delete(state, disk.name)),
            kind="danger",
            tip=_("Show what would be deleted; nothing is lost before you confirm."),
        ),
        Button(label=_("Look again"), action="again", excuse=busy, tip=_("Read sizes and map again.")),
    ]


def render_create(state: LabState, *, busy: str | None) -> Node:
    """Return the form of a new disk, with a name that no disk has."""
    return parts.fold(
        _("Create a disk"),
        parts.form(
            "create",
            _("Create…"),
            busy,
            parts.field(
                _("New disk's name"), "name", "data" if "data" not in state.disks else _free_name(state, "data")
            ),
            parts.field(_("Capacity"), "capacity", "64 MiB"),
            parts.choices(_("Format"), "format", _formats(), Format.QCOW2),
            parts.choices(_("Allocation"), "allocation", _kinds(), Allocation.DYNAMIC),
            kind="main",
        ),
        is_open=not state.disks,
        key="create",
    )


def render_forms(state: LabState, survey: plans.DiskSurvey, disk: DiskFacts, *, busy: str | None) -> Node:
    """Return the forms of acts that need a word: resize, convert, attach."""
    resize = busy or _why(disk_change.plan_resize(state, survey, disk.name, disk.capacity + SECTOR))
    convert = busy or _why(
        disk_change.plan_convert(
            state, survey, disk.name, _free_name(state, disk.name), disk.format, Allocation.DYNAMIC
        )
    )
    attach = busy or _why_not_attach(state, disk)
    machines = [(name, name) for name in state.machines]
    return tag(
        "div",
        parts.fold(
            _("Give it more capacity"),
            parts.form(
                "resize",
                _("Resize…"),
                resize,
                parts.field(_("New capacity"), "capacity", format_size(disk.capacity * 2)),
            ),
            key="resize",
        ),
        parts.fold(
            _("Convert it into a new disk"),
            parts.form(
                "convert",
                _("Convert…"),
                convert,
                parts.field(_("New disk's name"), "name", _free_name(state, disk.name)),
                parts.choices(_("Format"), "format", _formats(), disk.format),
                parts.choices(_("Allocation"), "allocation", _kinds(), disk.allocation),
            ),
            key="convert",
        ),
        parts.fold(
            _("Attach it to a machine"),
            parts.form(
                "attach",
                _("Attach…"),
                attach,
                parts.choices(_("Machine"), "machine", machines, next(iter(state.machines), "")) if machines else None,
            ),
            key="attach",
        ),
    )


def _formats() -> list[tuple[str, str]]:
    return [(str(format), str(format)) for format in Format]


def _kinds() -> list[tuple[str, str]]:
    return [(str(kind), kind_word(kind)) for kind in Allocation]


def _why(plan: Plan) -> str | None:
    return plan.refusal.why if plan.refusal else None


def _why_not_attach(state: LabState, disk: DiskFacts) -> str | None:
    """Return why no machine can have it: what the plan says of the first one, since that is about the disk."""
    excuses = (_why(plans.plan_attach(state, disk.name, name)) for name in state.machines)
    first = next(excuses, _("There is no machine to attach it to."))
    return None if first is None or (disk.machine is None and None in excuses) else first


def _free_name(state: LabState, name: str) -> str:
    number = 2
    while f"{name}-{number}" in state.disks:
        number += 1
    return f"{name}-{number}"
