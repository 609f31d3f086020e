"""What `ClonePanel` shows: the form of a clone, estimated beside measured costs, the existing clones.

Each is a function of values. Knows: lineages, plans. Must not know: threads, how an act is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from labkit.language import _, ngettext
from labkit.model.lineage import Lineage
from labkit.model.lineage_text import standing_word
from labkit.model.losses import losses_of
from labkit.model.machine import MachineFacts, domain_name
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState
from labkit.plans import clone as clone_plans
from labkit.plans.clone_request import CloneKind, CloneRequest, CloneSurvey, Identity, NewClone
from labkit.plans.plan import Plan
from labkit.plans.steps import CreateOverlay, LinkImages, WakeClones
from labkit.units import decimal, format_size
from labkit.widgets import parts
from labkit.widgets.lineage.parts import list_flattening, render_flattening
from labkit.widgets.loss_parts import render_relink
from labkit.widgets.tree import Child, Node, tag
from labkit.widgets.work import format_duration

COMMAND_SECONDS = 0.05
"""Expected seconds of a command that copies nothing."""

ACT_SECONDS = 0.3
"""Expected further seconds of an act: reading the lab before and after, locks, the journal."""

MOST_CLONES = 8
"""How many clones are listed before the rest is folded away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The costs of an act: seconds, and bytes that the host gives."""

    seconds: float
    bytes: int


def predict(plan: Plan, rate: float) -> Cost:
    """Return the estimated costs of a plan, at a copy rate in bytes a second."""
    links = sum(len(step.paths) for step in plan.steps if isinstance(step, LinkImages))
    empty = links + sum(isinstance(step, CreateOverlay) for step in plan.steps)
    wakings = [step for step in plan.steps if isinstance(step, WakeClones)]
    commands = sum(len(step.command.splitlines()) for step in plan.steps if not isinstance(step, WakeClones))
    seconds = ACT_SECONDS + plan.bytes_copied / rate + COMMAND_SECONDS * commands
    seconds += sum(step.seconds for step in wakings)
    return Cost(seconds=seconds, bytes=plan.bytes_kept + clone_plans.OVERLAY_BYTES * empty)


def render_costs(label: str, predicted: Cost, measured: Cost | None) -> Node:
    """Return the estimate beside what was measured."""
    waiting = _("not carried out yet")
    rows = (
        (_("time"), _time(predicted), _time(measured) if measured else waiting),
        (_("given by the host"), format_size(predicted.bytes), format_size(measured.bytes) if measured else waiting),
    )
    heads = (label, _("estimate"), _("measured"))
    return tag(
        "div",
        tag(
            "table",
            tag("thead", tag("tr", *[tag("th", head, scope="col") for head in heads])),
            tag(
                "tbody",
                *[tag("tr", tag("th", row[0], scope="row"), *[tag("td", each) for each in row[1:]]) for row in rows],
            ),
            class_="labkit-table",
        ),
        tag("p", _("The estimate comes from a small copy made in the lab's folder."), class_="labkit-quiet"),
    )


def _time(cost: Cost) -> str:
    if cost.seconds >= 10:
        return format_duration(cost.seconds)
    seconds = f"{max(cost.seconds, 0.1):.1f}"
    return _("{seconds} s").format(seconds=decimal(seconds))


def render_form(state: LabState, survey: CloneSurvey, facts: MachineFacts, *, busy: str | None) -> Node:
    """Return the form of new clones."""
    name = free_name(state, f"{facts.name}-clone")
    tree = state.tree_of(facts.name)
    kinds = [(CloneKind.FULL, _("full: a copy")), (CloneKind.LINKED, _("linked: on a snapshot"))]
    points = [("", _("as it is now")), *((point, point) for point in tree)]
    identities = [(Identity.NEW, _("new: somebody else")), (Identity.KEEP, _("kept: a twin"))]
    return parts.form(
        "clone",
        _("Clone…"),
        parts.field(_("Name, or a pattern such as seat-{:02}"), "name", name, class_="labkit-wide"),
        parts.field(_("How many"), "count", "1"),
        parts.choices(_("Kind"), "kind", kinds, class_="labkit-wide"),
        parts.choices(_("Snapshot"), "snapshot", points, class_="labkit-wide"),
        parts.choices(_("Identity"), "identity", identities, class_="labkit-wide"),
        tag("div", *_list_ticks(survey, tree), class_="labkit-ticks"),
        excuse=why_not_clone(state, survey, facts.name, name),
        busy=busy,
        kind="main",
    )


def _list_ticks(survey: CloneSurvey, tree: SnapshotTree) -> list[Node]:
    has_memory = any(node.memory for node in tree.nodes.values())
    return [
        parts.tick(
            _("with all its snapshots (full)"),
            "snapshots",
            is_on=False,
            excuse=None if tree else _("It has no snapshots."),
        ),
        parts.tick(
            _("run at once, from the snapshot's memory (linked)"),
            "instant",
            is_on=False,
            excuse=None if has_memory else _("No snapshot of it keeps memory."),
        ),
        parts.tick(
            _("share blocks with the original (reflink)"),
            "reflink",
            is_on=survey.reflinks,
            excuse=None if survey.reflinks else _("The file system of the lab's folder cannot share blocks."),
        ),
    ]


def render_standing(lineage: Lineage, facts: MachineFacts) -> Node:
    """Return what the machine itself stands on, and how many bytes it takes of its own."""
    own = sum(lineage.state.images[path].allocated for path in lineage.own(facts.name) if path in lineage.state.images)
    rows: list[tuple[str, Child]] = [
        (_("stands on"), standing_word(lineage, facts.name)),
        (_("takes of its own"), format_size(own)),
    ]
    return parts.table(rows)


def render_clones(lineage: Lineage, facts: MachineFacts) -> Child:
    """Return the clones that stand on the machine, with the bytes that each takes of its own."""
    clones = lineage.clones(facts.name)
    if not clones:
        return tag("p", _("No clone stands on it."), class_="labkit-quiet")
    images = lineage.state.images
    rows: list[tuple[str, Child]] = []
    for name in clones:
        own = sum(images[path].allocated for path in lineage.own(name) if path in images)
        words = _("linked to {point}, {size} of its own").format(point=lineage.original(name), size=format_size(own))
        rows.append((name, words))
    head = ngettext("{count} clone stands on it", "{count} clones stand on it", len(clones)).format(count=len(clones))
    rest = parts.fold(_("The others"), parts.table(rows[MOST_CLONES:]), key="rest") if rows[MOST_CLONES:] else None
    return tag("div", tag("h4", head), parts.table(rows[:MOST_CLONES]), rest)


def render_repairs(lineage: Lineage, free_bytes: int, facts: MachineFacts, *, busy: str | None) -> Child:
    """Return what flattens the machine and its clones, and what relinks a machine whose base may have been changed."""
    itself = (facts.name,) if lineage.foreign(facts.name) or lineage.original(facts.name) else ()
    clones = tuple(clone for clone in lineage.clones(facts.name) if _is_direct(lineage, facts.name, clone))
    buttons = list_flattening(lineage, free_bytes, (*itself, *clones), busy=busy)
    flattening = render_flattening((*itself, *clones), busy=busy)
    disks = [] if losses_of(lineage, facts.name) else [disk.name for disk in facts.spec.disks if not disk.served]
    relink = render_relink(facts.name, disks, busy=busy)
    return tag(
        "div",
        flattening,
        parts.render_buttons(buttons, label="flatten") if buttons else None,
        parts.fold(_("Bring a lost base back"), relink, key="relink") if itself and relink else None,
    )


def _is_direct(lineage: Lineage, machine: str, clone: str) -> bool:
    original = lineage.original(clone)
    return original is not None and original.partition("@")[0] == machine


def why_not_clone(state: LabState, survey: CloneSurvey, machine: str, name: str) -> str | None:
    """Return why not even a plain clone can be made, or None."""
    request = CloneRequest(machine=machine, clones=(NewClone(name=name, id="", genid=""),))
    excuse = clone_plans.plan_clone(state, survey, request).excuse
    linked = clone_plans.plan_clone(state, survey, replace(request, kind=CloneKind.LINKED))
    return excuse if linked.refusal else None


def free_name(state: LabState, stem: str) -> str:
    """Return a name that no machine has: the stem, or the stem with a number."""
    number, name = 2, stem
    while name in state.everywhere or domain_name(state.lab, name) in state.taken_names:
        name, number = f"{stem}-{number}", number + 1
    return name
