"""`Panel`: the base of all panels. A panel is a function of a state value plus actions.

A subclass says what it shows (`body`, a tree; `line`, one sentence) and what the reader can ask for (`on`). The base
class shows that in three forms, all from the same functions: `text/plain` and `text/html` contain only what is the same
on every computer and in every run; the live view adds what is measured, the buttons, and what `Acting` says of acts.

Threads: a message from the browser only starts something; the thread that has news lays the tree out, under the panel's
lock.

Knows: the live view, trees, that a panel is about a lab or a machine. Must not know: libvirt, what a panel shows.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import ClassVar

from labkit.errors import BadInput, LabError
from labkit.lab import Lab
from labkit.language import _, language, on_switch, set_language
from labkit.machine import Machine
from labkit.plans.plan import Plan
from labkit.units import Shown
from labkit.widgets import act_parts, parts
from labkit.widgets.acting import Acting, Values, as_lab_error
from labkit.widgets.tree import Node, tag, to_html
from labkit.widgets.view import View


class Panel:
    """The base class; see the module."""

    follows_disks: ClassVar[bool] = False
    """Whether it shows sizes of disks, which change without an event."""

    needs_section: ClassVar[bool] = False
    """Whether its cell needs what the cells above have measured, and not only names that the lab gives."""

    shows_states: ClassVar[bool] = True
    """Whether it shows states of machines; else it waits for the reading that follows an event."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.acting = Acting(self._lock, redraw=self.redraw, refresh=self.refresh)
        self._handlers = dict(self.acting.handlers)
        self.on("language", lambda values: set_language(values.get("subject")))
        self._view: View | None = None
        self._closed = False

    # --- what a subclass says ---------------------------------------------------------------------

    def title(self) -> str:
        """Return what the panel is called, for screen readers."""
        return type(self).__name__

    def line(self) -> str:
        """Return the panel's `text/plain`, a sentence that is the same in every run."""
        raise NotImplementedError

    def body(self, *, live: bool) -> Node:
        """Return what the panel shows.

        Args:
            live: False for the static twin, which contains nothing measured and nothing to press.
        """
        raise NotImplementedError

    def refresh(self) -> None:
        """Read again what the panel shows; called before it is displayed and after each of its acts."""

    def losses(self, _plan: Plan) -> tuple[str, ...]:
        """Return the names of what is lost for good with a plan besides files; a subclass may know."""
        return ()

    @property
    def held(self) -> str | None:
        """Why nothing can be done here although the panel itself does nothing, or None; a subclass may know."""
        return None

    @property
    def busy(self) -> str | None:
        """What the panel is doing, as an excuse for a button, or None."""
        return self.acting.busy

    def on(self, action: str, handler: Callable[[Values], None]) -> None:
        """Call `handler` with the form's fields when the reader asks for `action`.

        It runs on the thread of the message and must return at once: long work goes to `acting.work`.
        """
        self._handlers[action] = handler

    def redraw(self) -> None:
        """Lay the panel out again; cheap if nothing has changed, safe from any thread."""
        with self._lock:
            self.acting.drawn()
            if self._view is not None and not self._closed:
                self._view.show(self.page())

    @property
    def is_shown(self) -> bool:
        """Whether somebody has the panel on screen, as far as is known."""
        return self._view is not None and not self._closed and self._view.is_shown

    @property
    def is_closed(self) -> bool:
        """Whether the panel was taken off the page."""
        return self._closed

    def close(self) -> None:
        """Take the panel off the page and stop following the lab."""
        with self._lock:
            self._closed = True
            if self._view is not None:
                self._view.close()

    # --- how it is shown -----------------------------------------------------------------------------

    def page(self) -> Node:
        """Return the whole live page: the body, then what `Acting` shows."""
        with self._lock:
            try:
                body = self.body(live=True)
            except LabError as error:
                body = act_parts.render_error(error, dismiss=None)
            except Exception as error:  # noqa: BLE001  a panel that cannot be drawn says so
                body = act_parts.render_error(as_lab_error(error), dismiss=None)
            plan = self.acting.plan
            return tag(
                "section",
                parts.render_stale(section=self.needs_section),
                tag("div", body, key="body"),
                *self.acting.render(lost=self.losses(plan) if plan else (), held=self.held),
                tag("div", parts.render_view_choices(), key="view"),
                class_="labkit-panel",
                tabindex=-1,
                lang=language(),
                aria_label=self.title(),
                data_kind=type(self).__name__,
            )

    def _repr_mimebundle_(self, **_options: object) -> dict[str, object]:
        """Return the three forms of the panel; `note` is for a page without the kernel (`labextension`)."""
        self.refresh()
        bundle: dict[str, object] = {"text/plain": repr(self), "text/html": self.static()}
        with self._lock:
            if not self._closed:
                if self._view is None:
                    self._view = View(page=self.page(), on_action=self._receive, on_shown=self.displayed)
                    _displayed.add(self)
                bundle["application/vnd.jupyter.widget-view+json"] = {
                    "version_major": 2,
                    "version_minor": 0,
                    "model_id": self._view.model_id,
                    "note": _("This panel is a picture of the past, as it was saved.")
                    + " "
                    + parts.say_what_to_run(section=self.needs_section),
                    "run": [_("Run them"), "section" if self.needs_section else "cell"],
                }
        self.displayed()
        return bundle

    def displayed(self) -> None:
        """Called when the panel is displayed or comes into sight; a subclass may begin to follow its lab."""

    def static(self) -> str:
        """Return the `text/html` twin."""
        try:
            return to_html(tag("div", self.body(live=False)))
        except LabError as error:
            return to_html(tag("p", f"{type(self).__name__}: {error.message}"))

    def __repr__(self) -> str:
        try:
            return f"{type(self).__name__}: {self.line()}"
        except LabError as error:
            return f"{type(self).__name__}: {error.message}"

    # --- what the reader asks for --------------------------------------------------------------------

    def _receive(self, action: str, values: Values) -> None:
        try:
            handler = self._handlers.get(action)
            if handler is not None:
                handler(values)
        except Exception as error:  # noqa: BLE001  an error in a callback would vanish: the panel shows it
            self.acting.fail(error)
        self.redraw()


def lab_of(given: object) -> Lab:
    """Return the lab that a panel was given, after a check.

    Raises:
        BadInput: it is not a lab.
    """
    if isinstance(given, Lab):
        return given
    raise BadInput(
        _("{other!r} is not a lab.").format(other=Shown(given)), _("Give the panel what Lab.open() returned.")
    )


def machine_of(given: object, name: object = None) -> Machine:
    """Return the machine that a panel was given, as an object or by its lab and name.

    Raises:
        BadInput: it is neither. NotFound: the lab has no machine of that name.
    """
    if isinstance(given, Machine):
        if name is None:
            return given
        raise BadInput(
            _("name={name!r} was given beside the machine {machine}.").format(name=Shown(name), machine=given.name),
            _("Give the machine alone, or the lab and the machine's name."),
        )
    if isinstance(given, Lab):
        return given.machines[name]
    raise BadInput(
        _("{other!r} is neither a machine nor a lab.").format(other=Shown(given)),
        _("Give the panel the machine alone, or the lab and the machine's name."),
    )


_displayed: weakref.WeakSet[Panel] = weakref.WeakSet()


@on_switch
def _lay_out_all() -> None:
    """Lay out every panel in the language now in force."""
    for panel in list(_displayed):
        panel.redraw()
