"""The parts that all panels are made of: buttons with excuses, forms, folds, tables, badges, small lines.

Each is a function from a value to a tree. Text comes in plain and is escaped where the tree is written.

Knows: trees. Must not know: machines, threads, ipywidgets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labkit.language import LANGUAGES, _, language
from labkit.widgets.tree import Child, Node, tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """A button of a panel.

    Attributes:
        label: what it says. action: what it asks for.
        excuse: why it cannot be pressed now, or None; shown beneath.
        busy: what else must end first, or None; shown at the foot of the panel, once for all that wait.
        kind: "plain", "main" (the usual next step) or "danger" (something is lost).
        tip: what it does, one sentence. subject: what it is about, if several buttons have the same action.
    """

    label: str
    action: str
    excuse: str | None = None
    busy: str | None = None
    kind: str = "plain"
    tip: str = ""
    subject: str | None = None


def render_buttons(buttons: Sequence[Button], *, label: str) -> Node:
    """Return a row of buttons, with a line beneath it why some of them cannot be pressed."""
    excuses = list(dict.fromkeys(button.excuse for button in buttons if button.excuse))
    row = [
        render_button(
            button,
            key=button.action + (button.subject or ""),
            aria_describedby=f"excuse-{label}-{excuses.index(button.excuse)}" if button.excuse else None,
        )
        for button in buttons
    ]
    reasons = [
        tag("div", _excuse_line(excuse, buttons, excuses), id=f"excuse-{label}-{number}", class_="labkit-excuse")
        for number, excuse in enumerate(excuses)
    ]
    return tag("div", tag("div", *row, class_="labkit-buttons"), tag("div", *reasons))


def render_button(button: Button, **attributes: str | None) -> Node:
    """Return a single button, without a line for its excuse."""
    held = button.excuse or button.busy
    return tag(
        "button",
        button.label,
        type="button",
        class_=f"labkit-button labkit-{button.kind}",
        data_action=button.action,
        data_subject=button.subject,
        title=held or button.tip or None,
        aria_disabled="true" if held else None,
        **attributes,
    )


def _excuse_line(excuse: str, buttons: Sequence[Button], excuses: Sequence[str]) -> str:
    """Return an excuse; if there are several, with the buttons it is for."""
    if all(button.excuse == excuse for button in buttons):
        return excuse
    if len(excuses) == 1:
        return _("Not now. {excuse}").format(excuse=excuse)
    names = ", ".join(button.label.rstrip("…") for button in buttons if button.excuse == excuse)
    return _("{buttons}: not now. {excuse}").format(buttons=names, excuse=excuse)


def form(
    action: str,
    label: str,
    *fields: Child,
    excuse: str | None = None,
    busy: str | None = None,
    tip: str | None = None,
    kind: str = "plain",
    key: str | None = None,
    subject: str | None = None,
) -> Node:
    """Return a form whose button shows a plan, with a line beneath it why it cannot be sent now.

    Args:
        action: what it asks for. label: of its button. fields: in order.
        excuse, busy, tip, kind: of its button, as in `Button`.
        key: a form with another key begins with fresh fields; None: typed values stay.
        subject: what it is about, if several forms have the same action.
    """
    held = excuse or busy
    button = tag(
        "button",
        label,
        type="submit",
        class_=f"labkit-button labkit-{kind}",
        aria_disabled="true" if held else None,
        title=held or tip or _("Show the plan"),
    )
    reason = tag("div", excuse, class_="labkit-excuse") if excuse else None
    return tag(
        "form",
        *fields,
        button,
        reason,
        class_="labkit-form",
        data_action=action,
        data_subject=subject,
        key=key or action,
    )


def field(label: str, name: str, value: str, **attributes: str) -> Node:
    """Return a form's field for a line of text."""
    return tag("label", label, tag("input", name=name, value=value, autocomplete="off", **attributes))


def tick(label: str, name: str, *, is_on: bool = True, excuse: str | None = None) -> Node:
    """Return a form's tick box; if it is not ticked, the form has no such value.

    Args:
        is_on: whether it is ticked at first. excuse: why it cannot be ticked, or None.
    """
    box = tag("input", type="checkbox", name=name, checked=is_on and not excuse, disabled=bool(excuse))
    reason = tag("span", " — ", excuse, class_="labkit-quiet") if excuse else None
    return tag("label", tag("span", box, " ", label, reason), class_="labkit-tick")


def search_field(name: str, hint: str) -> Node:
    """Return the field that leaves of a list only what has the typed words; `trees.js` does it, without the kernel.

    Args:
        name: the list has it as `data-filtered`, and each of its rows has its words, in small letters, as `data-words`.
        hint: what can be typed, e.g. "name, state".
    """
    box = tag("input", type="search", autocomplete="off", data_filter=name, placeholder=hint)
    found = tag("span", role="status", class_="labkit-quiet", data_found=name, data_say=_("{found} of {all}"))
    return tag("p", tag("label", _("Show only"), " ", box), " ", found, class_="labkit-search")


def choices(
    label: str, name: str, options: Sequence[tuple[str, str]], chosen: str | None = None, **attributes: str
) -> Node:
    """Return a form's field to choose in; `options` are pairs of value and word, and the first is the default."""
    words = [tag("option", word, value=value, selected=value == chosen, key=value) for value, word in options]
    return tag("label", label, tag("select", *words, name=name, **attributes))


def say_what_to_run(*, section: bool) -> str:
    """Return how a panel whose kernel has left comes back: which cells are run again.

    Args:
        section: whether it needs what its section has measured, and not only its names.
    """
    if section:
        return _("Run the set-up cell, and this section from its first cell to this one.")
    return _("Run the set-up cell, this section's first cell, and this one.")


def render_stale(*, section: bool = False) -> Node:
    """Return what a panel says whose kernel has left (`kernel.js`); the style sheet shows it only then.

    The button is shown where our extension of JupyterLab hears it.
    """
    run = tag(
        "button",
        _("Run them"),
        type="button",
        class_="labkit-button labkit-run-again",
        data_run_again="section" if section else "cell",
    )
    return tag(
        "div",
        tag("p", _("The kernel was restarted or has ended: this panel is a picture of the past."), " ",
            say_what_to_run(section=section)),
        run,
        class_="labkit-stale labkit-note",
        role="alert",
        key="stale",
    )  # fmt: skip


def render_view_choices() -> Node:
    """Return the choice of language, for all panels of this kernel, and of large letters, for all in this browser.

    The language is the action "language" with its code as `subject`; `view.js` itself does the letters.
    """
    languages = [
        tag(
            "button",
            LANGUAGES[code],
            type="button",
            lang=code,
            class_="labkit-small",
            data_action="language",
            data_subject=code,
            aria_pressed="true" if code == language() else "false",
            key=code,
        )
        for code in LANGUAGES
    ]
    return tag(
        "div",
        tag("span", *languages, role="group", aria_label=_("Language")),
        tag("button", _("Large letters"), type="button", class_="labkit-small", data_large=True),
        class_="labkit-view",
    )


def fold(title: str, *children: Child, is_open: bool = False, key: str | None = None, asks: bool = False) -> Node:
    """Return a fold that the reader opens and closes.

    Args:
        asks: whether opening or closing it is the action "unfold", with `key` as `subject`, so that its content can be
            made then.
    """
    wanted = {"data_action": "unfold", "data_subject": key} if asks else {}
    return tag("details", tag("summary", title, **wanted), *children, open=is_open, key=key, class_="labkit-fold")


def table(rows: Iterable[tuple[str, Child]]) -> Node:
    """Return a table of names and values."""
    lines = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in rows if value is not None]
    return tag("table", tag("tbody", *lines), class_="labkit-table")


def badge(word: str, *, shape: str, tone: str) -> Node:
    """Return a state as word, shape and colour.

    Args:
        word: the state.
        shape: one character that shows it without colour.
        tone: "good", "calm", "warn" or "bad".
    """
    return tag("span", tag("span", shape, aria_hidden="true"), " ", word, class_=f"labkit-badge labkit-{tone}")


def sparkline(values: Sequence[float], *, top: float, label: str) -> Node:
    """Return a small line chart, for the live view only.

    Args:
        values: up to 60, oldest first.
        top: the value at the upper edge.
        label: what it shows, in words.
    """
    width, height = 120, 24
    points = " ".join(
        f"{width - 2 * (len(values) - 1 - index):d},{height - 1 - (height - 2) * min(value / top, 1.0):.1f}"
        for index, value in enumerate(values)
    )
    return tag(
        "svg",
        tag("line", x1=0, y1=height - 0.5, x2=width, y2=height - 0.5, class_="labkit-axis"),
        tag("polyline", points=points, class_="labkit-line", fill="none"),
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
        class_="labkit-spark",
    )
