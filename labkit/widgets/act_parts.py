"""What panels show of acts: plan, progress, error, result, commands.

Each is a function from a value to a tree. Text comes in plain and is escaped where the tree is written.

Knows: errors, plans, trees. Must not know: machines, threads, ipywidgets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from labkit.errors import LabError
from labkit.language import _, say_again
from labkit.plans.plan import Plan
from labkit.units import format_size
from labkit.widgets import parts
from labkit.widgets.controls import in_a_panel
from labkit.widgets.tree import Node, tag
from labkit.widgets.work import Work, format_duration

ANNOUNCED_SECONDS = 5.0
"""An act that should take longer than this (seconds) says so beforehand."""

MOST_LISTED = 8
"""How many items a list shows before the rest is folded away."""

COPY_RATE = 150e6
"""The expected speed of a copy in bytes a second, until one has been measured."""


def render_error(error: LabError, *, dismiss: str | None = "dismiss") -> Node:
    """Return an error: what happened, what to do, and the raw details in a fold.

    Args:
        error: what happened.
        dismiss: the action of its closing button, or None for no button.
    """
    button = tag("button", _("Close"), type="button", class_="labkit-button", data_action=dismiss) if dismiss else None
    return tag(
        "div",
        tag("p", tag("strong", "✗ " + _("Error") + ":"), " ", error.message),
        tag("p", "→ ", in_a_panel(error.hint)) if error.hint else None,
        parts.fold(_("Details"), tag("pre", error.details)) if error.details else None,
        button,
        class_="labkit-error",
        role="alert",
        tabindex=-1,
        data_appear=True,
    )


def render_plan(plan: Plan, *, lost: Sequence[str] = (), sizes: bool = True, rate: float = COPY_RATE) -> Node:
    """Return a plan as a preview: commands, notes, what is copied and what is lost; or its refusal.

    Args:
        lost: the names of what is lost besides files. sizes: whether to show sizes.
        rate: the expected speed of copies in bytes a second.
    """
    if plan.refusal:
        return tag(
            "div",
            tag("p", tag("strong", "✗ " + _("Refused") + ":"), " ", plan.refusal.why),
            _list(plan.refusal.dependants, before=_("What depends on it:")),
            *[tag("p", "→ ", in_a_panel(way)) for way in plan.refusal.ways_out],
            class_="labkit-refusal",
            role="status",
        )
    if not plan.steps:
        return tag("p", _("There is nothing to do."), role="status")
    files = [path.removeprefix(plan.home).lstrip("/") for path in plan.lost]
    return tag(
        "div",
        _list(lost, files, before="⚠ " + _("This is lost for good:"), class_="labkit-lost"),
        *[tag("p", note) for note in plan.notes],
        tag("p", _announce(plan, rate)) if sizes and _announce(plan, rate) else None,
        parts.fold(_("The commands"), render_commands(plan.commands), is_open=not (lost or files)),
    )


def _announce(plan: Plan, rate: float) -> str:
    parts = []
    if copied := plan.bytes_copied - plan.bytes_filled:
        parts.append(_("Copies {size}.").format(size=format_size(copied)))
    if plan.bytes_filled:
        parts.append(_("Fills {size} with zeros.").format(size=format_size(plan.bytes_filled)))
    if plan.bytes_freed:
        parts.append(_("Frees {size}.").format(size=format_size(plan.bytes_freed)))
    seconds = plan.bytes_copied / rate
    if seconds > ANNOUNCED_SECONDS:
        parts.append(_("This takes about {time}.").format(time=format_duration(seconds)))
    return " ".join(parts)


def render_work(work: Work, *, subject: str | None = None, is_alone: bool = False) -> Node:
    """Return an act under way: what it is, how far, how fast, the time left, and how to cancel.

    The style sheet shows it only after 0.3 s, since quicker acts need no bar.

    Args:
        work: the act. subject: what it is about, if several may be under way.
        is_alone: whether everything else in the panel waits for it.
    """
    progress = work.progress
    label = say_again(work.label)
    words = [label + "…"]
    bar = tag("progress", key="open", aria_label=label)
    if progress is not None:
        if progress.label:
            words.append(say_again(progress.label))
        if progress.steps > 1:
            words.append(_("step {step} of {steps}").format(step=progress.step, steps=progress.steps))
        if progress.total:
            bar = tag("progress", key="far", value=progress.done, max=progress.total, aria_label=label)
            words.append(
                _("{done} of {total}").format(done=format_size(progress.done), total=format_size(progress.total))
            )
    if work.rate is not None:
        words.append(_("{rate} a second").format(rate=format_size(round(work.rate))))
    if work.seconds_left is not None:
        words.append(_("{time} left").format(time=format_duration(work.seconds_left)))
    elif work.expected is not None and work.expected > ANNOUNCED_SECONDS:
        words.append(_("this takes about {time}").format(time=format_duration(work.expected)))
    cancel = None
    if work.cancel.is_set():
        words.append(_("cancelling") if work.heeds_cancel else _("it goes on to its end"))
    elif work.heeds_cancel:
        cancel = tag(
            "button", _("Cancel"), type="button", class_="labkit-button", data_action="cancel", data_subject=subject
        )
    waiting = _render_waiting() if is_alone else None
    return tag("div", tag("span", " · ".join(words)), bar, cancel, waiting, class_="labkit-work", role="status")


def render_held(reason: str) -> Node:
    """Return why everything in a panel waits for an act that is not the panel's own."""
    return tag("div", tag("span", reason), _render_waiting(), class_="labkit-work", role="status")


def _render_waiting() -> Node:
    return tag("span", _("The other buttons wait for it."), class_="labkit-quiet")


def render_result(sentences: Sequence[str], *, is_done: bool = True) -> Node:
    """Return the result of an act, for the eye and for screen readers. `is_done`: False if it was cancelled."""
    tone = "labkit-result" if is_done else "labkit-result labkit-quiet"
    first, *rest = sentences
    return tag(
        "p",
        first,
        *[tag("span", " ", each) for each in rest],
        class_=tone,
        role="status",
        tabindex=-1,
        data_appear=True,
    )


def render_commands(commands: Iterable[str]) -> Node:
    """Return commands as text to copy."""
    text = "\n".join(commands)
    button = tag(
        "button",
        _("Copy"),
        type="button",
        class_="labkit-button labkit-copy",
        data_copy=text,
        title=_("Copy these commands"),
    )
    return tag("div", tag("pre", text, tabindex=0), button, class_="labkit-commands")


def _list(*groups: Sequence[str], before: str, class_: str = "") -> Node | None:
    if not any(groups):
        return None
    return tag("div", tag("p", before), *[_items(group) for group in groups if group], class_=class_ or None)


def _items(items: Sequence[str]) -> Node:
    """Return a list; the rest of a long one is in a fold."""
    most = MOST_LISTED if len(items) > MOST_LISTED + 2 else len(items)
    first, rest = ([tag("li", item) for item in part] for part in (items[:most], items[most:]))
    more = parts.fold(_("and {count} more").format(count=len(rest)), tag("ul", *rest), key="rest") if rest else None
    return tag("div", tag("ul", *first), more)
