"""The rows of `LabPanel`, one for each machine: its state, what it uses, its last minutes, its switches; its details.

Each is a function of values. Knows: the model. Must not know: labs, threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from labkit.language import _
from labkit.model.happenings import Happening
from labkit.model.lineage import Lineage, LineageNode, NodeKind, read_lineage
from labkit.model.lineage_text import standing_word
from labkit.model.machine import MachineFacts, MachineState
from labkit.model.points import span
from labkit.model.state import LabState
from labkit.model.words import state_word
from labkit.units import MIB, format_size
from labkit.widgets import parts
from labkit.widgets.lab.story import render_story
from labkit.widgets.machine import parts as machine_parts
from labkit.widgets.parts import Button
from labkit.widgets.reading import Sample
from labkit.widgets.tree import Child, Node, tag

ROOMY = 6
"""Up to this many machines each row shows all its switches; with more, each is one line."""

LEAST_SCALE = MIB
"""The least value, in bytes a second, at the upper edge of the line of writes."""


def sizes_of(state: LabState) -> dict[str, int]:
    """Return the bytes that the host has given each machine's own images, those of its snapshots included, by name.

    What a clone stands on is the original's.
    """
    lineage = read_lineage(state)
    sizes: Counter[str] = Counter()
    for path, image in state.images.items():
        users = lineage.users.get(path, frozenset())
        owners = [name for name in users if path in lineage.named[name]] or (users if len(users) == 1 else ())
        for owner in owners:
            sizes[owner] += image.allocated
    return sizes


def render_search(count: int) -> Child:
    """Return the field that filters machines by what is typed into it; nothing if there are only a few."""
    if count <= ROOMY:
        return None
    return parts.search_field("machines", _("name, state, image"))


def render_titles(*, roomy: bool) -> Node:
    """Return the titles of the columns; each row repeats them for those who do not see them."""
    meters = [] if roomy else [tag("span", name) for name in (_("CPU"), _("memory"), _("writes"))]
    return tag(
        "li",
        tag("div", _("machine"), class_="labkit-who"),
        tag("div", _("last 10 min"), class_="labkit-past"),
        tag("div", *meters, class_="labkit-meters"),
        tag("div", _("disks"), class_="labkit-size"),
        tag("div", class_="labkit-switches"),
        class_="labkit-machine labkit-titles labkit-quiet",
        aria_hidden="true",
        key="titles",
    )


def render_row(
    facts: MachineFacts,
    *,
    switches: Sequence[Button],
    meters: Sequence[Node],
    trace: Child,
    details: Child,
    size: int,
    under_way: Child,
    roomy: bool,
) -> Node:
    """Return a machine's row: name and state, use, last minutes, switches; with `details` if it is open."""
    opener = tag(
        "button",
        ("▾ " if details else "▸ ") + facts.name,
        type="button",
        class_="labkit-button labkit-opener",
        data_action="open",
        data_subject=facts.id,
        aria_expanded="true" if details else "false",
        title=_("What happened to it, what it is made of"),
    )
    if roomy:
        acts = parts.render_buttons(switches, label=facts.id)
    else:
        acts = tag("div", _next_switch(switches, facts), class_="labkit-buttons")
    return tag(
        "li",
        tag("div", opener, machine_parts.render_state(facts), class_="labkit-who"),
        tag("div", trace, class_="labkit-past"),
        tag("div", *meters, class_="labkit-meters", key="meters"),
        tag(
            "div",
            format_size(size),
            class_="labkit-size",
            title=_("what its disks and their snapshots take on the host"),
        ),
        tag("div", acts, class_="labkit-switches", key="switches"),
        tag("div", under_way, key="work", class_="labkit-below"),
        tag("div", details, key="details", class_="labkit-below"),
        key=facts.id,
        class_="labkit-machine",
        data_words=f"{facts.name} {state_word(facts.state)} {facts.spec.image}".casefold(),
    )


def list_switches(facts: MachineFacts, *, busy: str | None, lost: str | None) -> list[Button]:
    """Return the buttons that switch a machine, which name it."""
    switches = machine_parts.list_switches(facts, busy=busy, lost=lost)
    return [replace(button, subject=facts.id) for button in switches]


def delete_button(state: LabState, facts: MachineFacts, *, busy: str | None) -> Button:
    """Return the button that deletes a machine, which names it."""
    return replace(machine_parts.delete_button(state, facts, busy=busy), subject=facts.id)


def _next_switch(switches: Sequence[Button], facts: MachineFacts) -> Node:
    """Return the usual next switch of a machine, which keeps its place and the focus when the state changes."""
    usual = {MachineState.RUNNING: "pause", MachineState.PAUSED: "resume"}.get(facts.state, "start")
    button = next(each for each in switches if each.action == usual)
    return parts.render_button(button, aria_label=f"{button.label}: {facts.name}")


def list_meters(facts: MachineFacts, samples: Sequence[Sample]) -> list[Node]:
    """Return CPU, memory and writes of a machine that is on, each as a small line and a number."""
    if not facts.is_active or not samples:
        return []
    last, spec = samples[-1], facts.live or facts.spec
    fastest = max(LEAST_SCALE, *(sample.written for sample in samples))
    return [
        _meter(_("CPU"), [each.cpus for each in samples], float(spec.vcpus), f"{round(100 * last.cpus)} %"),
        _meter(_("memory"), [each.memory for each in samples], float(spec.memory), format_size(last.memory)),
        _meter(
            _("writes"),
            [each.written for each in samples],
            fastest,
            _("{rate}/s").format(rate=format_size(round(last.written))),
        ),
    ]


def _meter(name: str, values: Sequence[float], top: float, words: str) -> Node:
    line = parts.sparkline(values, top=top, label=name)
    name_words = tag("span", name, class_="labkit-quiet")
    return tag("span", name_words, " ", line, " ", tag("span", words), class_="labkit-meter")


def render_details(
    facts: MachineFacts, lineage: Lineage, happenings: Sequence[Happening], buttons: Sequence[Button], losses: Child
) -> Node:
    """Return a machine's details: the buttons not in its row, losses, definition, dependants, history."""
    clones = _span(lineage.clones(facts.name))
    rows: list[tuple[str, Child]] = [
        *machine_parts.list_definition(facts),
        (_("stands on"), standing_word(lineage, facts.name)),
        (_("depend on it"), clones or _("nobody")),
        (_("snapshots"), ", ".join(lineage.state.snapshots.get(facts.name, ())) or _("none")),
    ]
    return tag(
        "div",
        parts.render_buttons(buttons, label=f"near-{facts.id}"),
        losses,
        parts.table(rows),
        tag("h4", _("What happened")),
        render_story(happenings),
        class_="labkit-details",
    )


def _span(names: Sequence[str]) -> str:
    """Return names in a line, with long numbered rows shortened."""
    return span(LineageNode(NodeKind.MACHINE, name) for name in names)
