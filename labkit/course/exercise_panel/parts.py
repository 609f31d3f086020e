"""What `ExercisePanel` shows: the task, the goal as a tree, the verdict, hints, how long it took.

Each is a function of values. Knows: exercises' words and values, trees. Must not know: threads, how a check works.
"""

from __future__ import annotations

import re
from typing import Final

from labkit.course.announcing import Call
from labkit.course.goal import Goal, GoalPoint
from labkit.course.result import Advice, Result, Stand, Verdict
from labkit.language import _, ngettext, say_again
from labkit.model.tree_layout import arrange
from labkit.widgets import act_parts, parts
from labkit.widgets.branches import Branch, render_picture
from labkit.widgets.parts import Button
from labkit.widgets.prose import render_line, render_prose
from labkit.widgets.tree import Node, tag

_CALL: Final = re.compile(
    r"(?<![\w.'\"])(?:ex|vm|lab|disk)(?:\.[a-z_]+|\[[^\]]*\])+(?:\((?:[^()]|\([^()]*\))*\))?"
    r"|(?<![\w.])/(?:root|mnt|proc|etc|sys|dev)(?:/[\w-]+)*"
)
"""A call as the course writes it, or a path inside a guest."""

_BUTTON: Final = re.compile(r"`ex\.(start|reset)\(\)`")
"""A call that the panel has a button for, and that a sentence may ask for."""

_TONES: Final = {Stand.DONE: "good", Stand.BEGUN: "warn", Stand.OPEN: "calm"}


def render_head(title: str, slug: str, stand: Stand | None, *, practice: bool = False, before: bool = False) -> Node:
    """Return what the exercise is called and how it stands; None: not told.

    Args:
        practice: whether it is another one. before: whether it counts as done, but is not as the last check found it.
    """
    shape, _blank, word = stand.word.partition(" ") if stand else ("", "", "")
    word = _("done before") if before else word
    return tag(
        "div",
        parts.badge(_("Exercise"), shape="✎", tone="calm"),
        tag("h3", title),
        tag("code", slug),
        parts.badge(word, shape=shape, tone=_TONES[stand]) if stand else None,
        parts.badge(_("practice"), shape="↻", tone="warn") if practice else None,
        class_="labkit-head",
    )


def render_goal(goal: Goal | None, *, compared: bool) -> Node | None:
    """Return the goal as a tree; `compared`: with what is there, so that what is missing is dashed."""
    if goal is None:
        return None
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    asked = [point for point in goal.points if point.is_asked or compared]
    graph.add_nodes_from(point.name for point in asked)
    graph.add_edges_from((point.parent, point.name) for point in asked if point.parent and point.parent in graph)
    places, points = arrange(graph), {point.name: point for point in asked}
    rows = [_row(points[name], lane, compared=compared) for name, (_at, lane) in places.items()]
    missing = ngettext("{count} is missing", "{count} are missing", len(goal.missing)).format(count=len(goal.missing))
    told = tag("p", missing if goal.missing else _("nothing is missing"), class_="labkit-quiet") if compared else None
    return tag("div", tag("h4", _("The goal")), render_picture(rows, label=_("The goal")), told, key="goal")


def _row(point: GoalPoint, lane: int, *, compared: bool) -> Branch:
    after = _("after {name}").format(name=point.parent) if point.parent else _("at the root")
    if not compared:
        words = after
    elif not point.is_asked:
        words = _("there, but not asked for")
    else:
        words = _("there") if point.is_there else _("missing: {where}").format(where=after)
    solid = point.is_there or not compared
    return Branch(
        key=point.name,
        below=point.parent,
        lane=lane,
        name=point.name,
        words=words,
        mark=("there" if point.is_asked else "layer") if solid else "missing",
        line="other" if solid else "missing",
    )


def render_result(result: Result | None, start: str, *, hinted: bool = False, round_: int = 0) -> Node | None:
    """Return the verdict of the last check.

    Args:
        start: what the button is called that begins the exercise, see `start_label`. hinted: whether a hint stands
            below, which says the way out. round_: which check it was, so that one that says the same is heard, too.
    """
    if result is None:
        return None
    way = result.hint if not hinted and result.verdict in (Verdict.BROKEN, Verdict.NOT_STARTED) else ""
    tones = {Verdict.DONE: "labkit-result", Verdict.WRONG: "labkit-note", Verdict.BROKEN: "labkit-refusal"}
    return tag(
        "div",
        tag("p", *render_line(name_controls(_mark_code(result.text), start))),
        tag("p", "→ ", *render_line(name_controls(_mark_code(way), start))) if way else None,
        class_=tones.get(result.verdict, "labkit-said"),
        role="status",
        tabindex=-1,
        data_appear=True,
        key=f"result {round_} {result.verdict.value} {result.why}",
    )


def render_age(at: str) -> Node:
    """Return that what was said before may not be so any more.

    Args:
        at: when it was said, such as "14:05".
    """
    words = _("That was so at {time}. The lab has changed since: check again.").format(time=at)
    return tag("p", words, class_="labkit-quiet", key="age")


def render_advice(call: Call, advice: Advice, start: str) -> Node:
    """Return a hint or the solution, with its code to copy."""
    return tag(
        "div",
        render_prose(name_controls(_mark_code(advice.text), start)),
        act_parts.render_commands([advice.code]) if advice.code else None,
        class_="labkit-plan",
        role="status",
        tabindex=-1,
        data_appear=True,
        key=f"{call.value} {advice.text}",
    )


def _mark_code(text: str) -> str:
    """Return a text with the calls and paths in it marked as code, if it marks none itself."""
    text = str(say_again(text))
    return text if "`" in text else _CALL.sub(r"`\g<0>`", text)


def name_controls(text: str, start: str) -> str:
    """Return a text with the panel's button named behind each call of the exercise that has one.

    Args:
        text: with its calls marked as code. start: see `start_label`.
    """
    names = {"start": start, "reset": _("Reset…")}

    def name(found: re.Match[str]) -> str:
        control = _("“{control}”").format(control=names[found[1]])
        return f"{found[0]} ({control})" if names[found[1]] else found[0]

    return _BUTTON.sub(name, text)


def start_label(*, starts_empty: bool, is_begun: bool) -> str:
    """Return what the button is called that makes what the exercise starts from; "" where there is none."""
    if starts_empty:
        return ""
    return _("Begin again…") if is_begun else _("Begin")


def say_use(seconds: float | None, hints: int, *, is_over: bool) -> str:
    """Return how long it has been worked at, and how many hints were taken, in one line; "" if neither."""
    words = []
    if seconds is not None:
        words.append((_("It took {time}.") if is_over else _("Begun {time} ago.")).format(time=_say_time(seconds)))
    if hints:
        words.append(ngettext("{count} hint taken in all.", "{count} hints taken in all.", hints).format(count=hints))
    return " ".join(words)


def _say_time(seconds: float) -> str:
    """Return a time in minutes: it is shown while somebody works, and is no race."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return _("less than a minute")
    if minutes < 120:
        return ngettext("{minutes} minute", "{minutes} minutes", minutes).format(minutes=minutes)
    hours = round(minutes / 60)
    if hours < 48:
        return _("{hours} hours").format(hours=hours)
    return _("{days} days").format(days=round(hours / 24))


def list_buttons(*, starts_empty: bool, is_begun: bool, is_done: bool, busy: str | None) -> list[Button]:
    """Return the buttons, in the order of the work."""
    start = Button(
        label=start_label(starts_empty=starts_empty, is_begun=is_begun),
        action="ask-start" if is_begun else "start",
        kind="plain" if is_begun else "main",
        busy=busy,
        tip=_("Make what the exercise starts from."),
    )
    check = Button(
        label=_("Check"),
        action="check",
        kind="main" if (is_begun or starts_empty) and not is_done else "plain",
        busy=busy,
        tip=_("Look at your work; nothing is changed."),
    )
    return [
        *([] if starts_empty else [start]),
        check,
        Button(label=_("Next hint"), action="hint", busy=busy, tip=_("Where to look, then which call, then the line.")),
        Button(label=_("Solution"), action="solution", busy=busy, tip=_("Show one way; nothing is run.")),
        Button(
            label=_("Another one…"), action="ask-another", busy=busy, tip=_("Practise it with other marks and sizes.")
        ),
        Button(label=_("Reset…"), action="ask-reset", kind="danger", busy=busy, tip=_("Remove all that it has made.")),
    ]


def render_question(call: Call, *, practice: bool, busy: str | None) -> Node:
    """Return what is lost with a call, and the buttons to go on or leave it."""
    lost = _("Its machines and disks are removed, with what was done in them.")
    more = {
        Call.START: _("Then they are made anew."),
        Call.ANOTHER: _(
            "Then they are made anew, with other marks, places and sizes: for practice. That it was done with your own "
            "marks still counts."
        ),
        Call.RESET: _("Your own marks come back.") if practice else _("That it was done is forgotten."),
    }
    labels = {Call.START: _("Begin again"), Call.ANOTHER: _("Take another one"), Call.RESET: _("Reset it")}
    buttons = [
        Button(label=labels[call], action=call.value, kind="danger", busy=busy),
        Button(label=_("Leave it"), action="leave-it"),
    ]
    return tag(
        "div",
        tag("p", lost, " ", more[call]),
        parts.render_buttons(buttons, label="sure"),
        class_="labkit-plan",
        role="group",
        aria_label=labels[call],
        tabindex=-1,
        data_appear=True,
        key=f"sure-{call.value}",
    )
