"""What `LabPanel` shows: a line about the lab, its space on the host, acts under way, the form of a new machine.

Each is a function of values. Knows: the model. Must not know: labs, threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from labkit.language import _, ngettext
from labkit.model.machine import MachineFacts
from labkit.model.state import LabState, OpenAct
from labkit.model.words import act_word, count_words, stand_word
from labkit.units import format_size
from labkit.widgets import parts
from labkit.widgets.clone.parts import free_name
from labkit.widgets.machine import parts as machine_parts
from labkit.widgets.tree import Child, Node, tag

LEAST_SHARE = 1 / 20
"""The least part of the host's space that is drawn; less could not be seen."""

_SPACE_WIDTH, _SPACE_HEIGHT = 360, 16


def machine_line(facts: MachineFacts) -> str:
    """Return a line about a machine, without anything measured."""
    spec = facts.spec
    words = [stand_word(facts), format_size(spec.memory), _vcpus(spec.vcpus), spec.image]
    return f"{facts.name} — {', '.join(words)}"


def render_head(state: LabState) -> Node:
    """Return the lab's name and how many machines are in which state."""
    counts = Counter(machine.state for machine in state.machines.values())
    badges = [
        parts.badge(count_words(each, counts[each]), shape=shape, tone=tone)
        for each, (shape, tone) in machine_parts.LOOKS.items()
        if counts[each]
    ]
    return tag("div", tag("h3", _("Lab {name}").format(name=state.lab)), *badges, class_="labkit-head", role="status")


def render_space(state: LabState, free: int) -> Node:
    """Return the space that the lab has got, that its disks may still ask for, and that the host has left."""
    allocated = sum(image.allocated for image in state.images.values())
    promised = sum(max(0, disk.capacity - disk.active.allocated) for disk in state.disks.values())
    sentence = (
        _("The lab takes {allocated}; its disks may grow by {promised}; the host has {free} left.")
        if promised
        else _("The lab takes {allocated}; the host has {free} left.")
    )
    words = sentence.format(allocated=format_size(allocated), promised=format_size(promised), free=format_size(free))
    short = promised > free
    warning = _("If all of them fill up, the host is full first.") if short else None
    return tag(
        "p",
        _render_room(allocated, promised, free),
        words,
        tag("strong", " ⚠ " + warning) if warning else None,
        class_="labkit-space",
    )


def _render_room(allocated: int, promised: int, free: int) -> Child:
    """Return the given and the promised space as shares of the host's; nothing if both are small."""
    whole = max(1, allocated + max(free, promised))
    if allocated + promised < LEAST_SHARE * whole:
        return None
    scale = _SPACE_WIDTH / whole
    return tag(
        "svg",
        tag("rect", x=0, y=2, width=f"{allocated * scale:.0f}", height=12, class_="labkit-allocated"),
        tag(
            "rect",
            x=f"{allocated * scale:.0f}",
            y=2,
            width=f"{promised * scale:.0f}",
            height=12,
            class_="labkit-length",
        ),
        tag("rect", x=0.5, y=0.5, width=f"{(allocated + free) * scale:.0f}", height=15, class_="labkit-capacity"),
        viewBox=f"0 0 {_SPACE_WIDTH + 1} {_SPACE_HEIGHT}",
        preserveAspectRatio="none",
        aria_hidden="true",
        class_="labkit-strip",
    )


def render_acts(acts: Sequence[OpenAct], busy: frozenset[str]) -> Child:
    """Return the acts under way in any kernel, and those that were interrupted."""
    lines = []
    for act in acts:
        words = _("{act} {subject}: step {step} of {steps}").format(
            act=act_word(act.act), subject=act.subject, step=min(act.done + 1, act.steps), steps=act.steps
        )
        if act.at_work:
            badge = parts.badge(_("under way"), shape="…", tone="calm")
        else:
            badge = parts.badge(_("interrupted"), shape="✂", tone="warn")
            words += " — " + _("the next act on it, or opening the lab again, ends it.")
        lines.append(tag("li", badge, " ", words))
    named = {name for act in acts for name in act.names}
    lines += [
        tag(
            "li",
            parts.badge(_("under way"), shape="…", tone="calm"),
            " ",
            _("{name} is being switched").format(name=name),
        )
        for name in sorted(busy - named)
    ]
    return tag("ul", *lines, class_="labkit-acts", role="status") if lines else None


def render_create(state: LabState, *, busy: str | None) -> Node:
    """Return the form of a new machine, with a free name; it is open in an empty lab."""
    images = [(name, name) for name in state.guest_images]
    first = "tiny" if "tiny" in state.guest_images else next(iter(state.guest_images), "")
    return parts.fold(
        _("Create a machine"),
        parts.form(
            "create",
            _("Create…"),
            parts.field(_("New machine's name"), "name", free_name(state, "web")),
            parts.choices(_("Guest image"), "image", images, first),
            parts.field(_("Memory"), "memory", "128 MiB"),
            parts.field(_("vCPUs"), "vcpus", "1", inputmode="numeric"),
            excuse=None if images else _("There is no guest image yet: ./lab setup builds them."),
            busy=busy,
            kind="main",
        ),
        is_open=not state.machines,
        key="create",
    )


def _vcpus(count: int) -> str:
    return ngettext("{count} vCPU", "{count} vCPUs", count).format(count=count)
