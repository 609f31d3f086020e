"""What `LabPanel` shows of files that nobody needs: what each is, why it has no owner, what can be done with it.

Each is a function of values. Knows: orphans. Must not know: labs, threads.
"""

from __future__ import annotations

from collections.abc import Mapping

from labkit.language import _, ngettext
from labkit.model.orphan import OrphanFacts, OrphanKind
from labkit.units import format_size
from labkit.widgets import parts
from labkit.widgets.parts import Button
from labkit.widgets.tree import Child, Node, tag

MOST_ORPHANS = 8
"""How many are listed before the rest is folded away."""


def render_orphans(orphans: Mapping[str, OrphanFacts], *, busy: str | None) -> Child:
    """Return the orphans of a lab, with buttons to adopt and discard them; nothing if there are none."""
    if not orphans:
        return None
    rows = [_row(orphan, busy=busy) for orphan in orphans.values()]
    size = format_size(sum(orphan.allocated for orphan in orphans.values()))
    count = ngettext("{count} file that nobody needs", "{count} files that nobody needs", len(rows))
    every = Button(
        label=_("Discard all…"),
        action="discard-all",
        busy=busy,
        kind="danger",
        tip=_("Show what would be deleted; nothing is lost before you confirm."),
    )
    return parts.fold(
        f"{count.format(count=len(rows))}, {size}",
        tag("p", _("Something outside of labkit forgot what they were. No act touches them."), class_="labkit-quiet"),
        tag("ul", *rows[:MOST_ORPHANS]),
        parts.fold(_("The others"), tag("ul", *rows[MOST_ORPHANS:]), key="rest") if rows[MOST_ORPHANS:] else None,
        parts.render_buttons([every], label="orphans") if len(rows) > 1 else None,
        key="orphans",
    )


def _row(orphan: OrphanFacts, *, busy: str | None) -> Node:
    adopt = Button(
        label=_("Adopt…"),
        action="adopt",
        subject=orphan.name,
        busy=busy,
        tip=_("Bring its content back as a free disk."),
    )
    as_snapshot = Button(
        label=_("Adopt as a snapshot…"),
        action="adopt-as-snapshot",
        subject=orphan.name,
        busy=busy,
        tip=_("Let {machine} have the snapshot {name} again.").format(machine=orphan.machine, name=orphan.snapshot),
    )
    discard = Button(
        label=_("Discard…"),
        action="discard",
        subject=orphan.name,
        busy=busy,
        kind="danger",
        tip=_("Show what would be deleted; nothing is lost before you confirm."),
    )
    back = Button(
        label=_("Bring back"),
        action="bring-back",
        busy=busy,
        tip=_("Let libvirt know {machine} again, as the lab's record tells.").format(machine=orphan.unreturned),
    )
    adopting = [as_snapshot] if orphan.snapshot else []
    adopting += [adopt] if orphan.kind is OrphanKind.IMAGE else []
    buttons = [back, discard] if orphan.unreturned else [*adopting, discard]
    return tag(
        "li",
        tag("strong", orphan.name),
        f" — {orphan.sentence}",
        parts.render_buttons(buttons, label=f"orphan-{orphan.name}"),
        key=orphan.name,
    )
