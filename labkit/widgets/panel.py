"""`Panel`: the base of all panels. A panel is a function of a state value plus actions.

A subclass says what it shows (`body`, a tree; `line`, one sentence) and what the reader can ask for
(`on`). The base class shows it three ways, all from the same functions: `text/plain` and `text/html`
hold only what is the same on every machine and in every run; the live view adds what is measured, the
buttons, progress, errors and what really happened.

Threads: a message from the browser only starts something. Acts run one at a time on a thread of their
own and never block a cell; the tree is laid out by whoever has news, under the panel's lock. No error
is lost: it is shown in the panel.

Knows: the live view, trees. Must not know: libvirt; which machine or lab it is about.
"""

from __future__ import annotations

import threading
import time
import traceback
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, TypeAlias

from labkit.engine.progress import Progress
from labkit.errors import Cancelled, LabError
from labkit.language import _, language, on_switch, set_language
from labkit.plans.plan import Plan
from labkit.widgets import act_parts, parts
from labkit.widgets.tree import Child, Node, tag, to_html
from labkit.widgets.view import View
from labkit.widgets.work import Work

Values: TypeAlias = Mapping[str, str]
CarryOut: TypeAlias = Callable[[Plan, Work], tuple[str, ...]]

FRAME_SECONDS = 0.1
"""The least time between two layouts of one panel while an act reports progress."""

KEPT_COMMANDS = 50
"""How many commands "What really happened" remembers."""


class Panel:
    """The base class; see the module."""

    follows_disks: ClassVar[bool] = False
    """Whether it shows sizes of disks, which change without an event."""

    shows_states: ClassVar[bool] = True
    """Whether it shows how machines stand; else it waits for the reading that follows an event."""

    copy_rate: float
    """Bytes a second that copies are expected to run at."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._handlers: dict[str, Callable[[Values], None]] = {
            "dismiss": self._dismiss,
            "cancel": self._cancel,
            "confirm": self._confirm,
            "leave": self._leave,
            "language": lambda values: set_language(values.get("subject")),
        }
        self._view: View | None = None
        self._work: Work | None = None
        self._error: LabError | None = None
        self._plan: tuple[Plan, CarryOut, str] | None = None
        self._ripens = False
        self._result = ""
        self._done: list[str] = []
        self._drawn = 0.0
        self._closed = False
        self.copy_rate = act_parts.COPY_RATE

    # --- what a subclass says ---------------------------------------------------------------------

    def title(self) -> str:
        """Return what the panel is called, for screen readers."""
        return type(self).__name__

    def line(self) -> str:
        """Return what the panel shows in one sentence: its `text/plain`, the same in every run."""
        raise NotImplementedError

    def body(self, *, live: bool) -> Node:
        """Return what the panel shows.

        Args:
            live: False asks for the static twin: without anything measured and anything to press.
        """
        raise NotImplementedError

    def on(self, action: str, handler: Callable[[Values], None]) -> None:
        """Call `handler` with the form's fields when the reader asks for `action`.

        It runs on the thread of the message and must return at once: long work goes to `work`.
        """
        self._handlers[action] = handler

    # --- acts --------------------------------------------------------------------------------------

    @property
    def busy(self) -> str | None:
        """What the panel is at, as an excuse for a button, or None."""
        work = self._work
        return None if work is None else _("{act}: wait for it to end.").format(act=work.label)

    def work(
        self,
        label: str,
        act: Callable[[Work], object],
        *,
        can_cancel: bool = False,
        expected: float | None = None,
    ) -> None:
        """Run an act on a thread of its own; while one runs, another is not begun.

        Args:
            label: what is being done, e.g. "Starting web".
            act: called with the `Work`, for progress and cancelling.
            can_cancel: whether it heeds `work.cancel`.
            expected: seconds it should take, if known.
        """
        with self._lock:
            if self._work is not None:
                return
            self._work = Work(label=label, can_cancel=can_cancel, expected=expected)
            self._error, self._result = None, ""
            thread = threading.Thread(
                target=self._run, args=(self._work, act), name=f"labkit panel: {label}", daemon=True
            )
        self.redraw()
        thread.start()

    def propose(self, plan: Plan, carry_out: CarryOut, *, label: str) -> None:
        """Show a plan; the reader carries it out or leaves it. A refused one is shown with its way out.

        Args:
            plan: what would be done.
            carry_out: does it, and returns the commands that were run.
            label: the button that says yes, and the act under way.
        """
        with self._lock:
            self._plan = (plan, carry_out, label)
            self._ripens = self._work is not None  # it appears when its buttons can be pressed
        self.redraw()

    def report(self, work: Work, progress: Progress) -> None:
        """Take an act's progress and show it, at most ten times a second."""
        work.report(progress)
        if time.monotonic() - self._drawn >= FRAME_SECONDS:
            self.redraw()

    def tell(self, *commands: str) -> None:
        """Add commands to "What really happened"."""
        with self._lock:
            self._done = [*self._done, *commands][-KEPT_COMMANDS:]

    def fail(self, error: Exception) -> None:
        """Show an error in the panel."""
        with self._lock:
            self._error = error if isinstance(error, LabError) else _wrap(error)
        self.redraw()

    def redraw(self) -> None:
        """Lay the panel out again; cheap when nothing changed, safe from any thread."""
        with self._lock:
            self._drawn = time.monotonic()
            if self._view is not None and not self._closed:
                self._view.show(self.page())

    @property
    def is_shown(self) -> bool:
        """Whether someone has the panel on screen, as far as is known."""
        return self._view is not None and not self._closed and self._view.is_shown

    def close(self) -> None:
        """Take the panel off the page and stop following the lab."""
        with self._lock:
            self._closed = True
            if self._view is not None:
                self._view.close()

    # --- how it is shown -----------------------------------------------------------------------------

    def page(self) -> Node:
        """Return the whole live page: the body, then what is under way, asked, wrong, and was done."""
        with self._lock:
            try:
                body = self.body(live=True)
            except LabError as error:
                body = act_parts.render_error(error, dismiss=None)
            except Exception as error:  # noqa: BLE001  a panel that cannot be drawn says so
                body = act_parts.render_error(_wrap(error), dismiss=None)
            return tag(
                "section",
                parts.render_stale(),
                tag("div", body, key="body"),
                tag("div", self._render_plan(), key="plan"),
                tag("div", act_parts.render_work(self._work) if self._work else None, key="work"),
                tag("div", act_parts.render_error(self._error) if self._error else None, key="error"),
                tag("div", act_parts.render_result(self._result) if self._result else None, key="result"),
                tag("div", self._render_done(), key="done"),
                tag("div", parts.render_view_choices(), key="view"),
                class_="labkit-panel",
                tabindex=-1,
                lang=language(),
                aria_label=self.title(),
                data_kind=type(self).__name__,
            )

    def losses(self, _plan: Plan) -> tuple[str, ...]:
        """Return what goes for good with a plan besides files, by name: a subclass may know."""
        return ()

    def _render_plan(self) -> Child:
        if self._plan is None or self._ripens:
            return None
        plan, _carry_out, label = self._plan
        can_do = bool(plan.steps) and plan.refusal is None
        leave = parts.Button(label=_("Leave it") if can_do else _("Close"), action="leave")
        kind = "danger" if plan.files.deleted else "main"
        yes = parts.Button(label=label, action="confirm", kind=kind, excuse=self.busy)
        buttons = [yes, leave] if can_do else [leave]
        return tag(
            "div",
            tag("h4", _("Plan: {act}").format(act=label)),
            act_parts.render_plan(plan, lost=self.losses(plan), rate=self.copy_rate),
            parts.render_buttons(buttons, label="plan"),
            class_="labkit-plan",
            role="group",
            aria_label=_("Plan: {act}").format(act=label),
            tabindex=-1,
            data_appear=True,
        )

    def _render_done(self) -> Child:
        if not self._done:
            return None
        return parts.fold(_("What really happened"), act_parts.render_commands(self._done), key="drawer")

    def _repr_mimebundle_(self, **_options: object) -> dict[str, object]:
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
                }
        self.displayed()
        return bundle

    def refresh(self) -> None:
        """Read again what the panel shows; called before it is displayed and after each of its acts."""

    def displayed(self) -> None:
        """Do what is due when the panel comes on a page or into sight: a subclass may follow its lab."""

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
            self.fail(error)
        self.redraw()

    def _run(self, work: Work, act: Callable[[Work], object]) -> None:
        errors: list[Exception] = []
        for call in (partial(act, work), self.refresh):
            try:
                call()
            except Exception as caught:  # noqa: BLE001  no thread above to take it: the panel shows it
                errors.append(caught)
        with self._lock:
            self._work, self._ripens = None, False
            if errors and isinstance(errors[0], Cancelled) and work.cancel.is_set():
                self._result = _("{act}: cancelled.").format(act=work.label)
            elif errors:
                self._result = ""
                self._error = errors[0] if isinstance(errors[0], LabError) else _wrap(errors[0])
        self.redraw()

    def _dismiss(self, _values: Values) -> None:
        self._error = None

    def _cancel(self, _values: Values) -> None:
        if self._work is not None:
            self._work.cancel.set()

    def _leave(self, _values: Values) -> None:
        self._plan = None

    def _confirm(self, _values: Values) -> None:
        with self._lock:
            if self._plan is None or self._work is not None:
                return
            plan, carry_out, label = self._plan
            self._plan = None

        def act(work: Work) -> None:
            self.tell(*carry_out(plan, work))
            self._result = _("✓ {act}: done.").format(act=label)

        self.work(label, act, can_cancel=True, expected=plan.bytes_copied / self.copy_rate)


_displayed: weakref.WeakSet[Panel] = weakref.WeakSet()


@on_switch
def _lay_out_all() -> None:
    """Show every panel in the language now in force."""
    for panel in list(_displayed):
        panel.redraw()


def _wrap(error: Exception) -> LabError:
    """Return an unexpected error as one a reader can act on, with all that is known of it folded."""
    return LabError(
        _("Something unexpected happened: {error}").format(error=f"{type(error).__name__}: {error}"),
        _("Run the cell again. If it stays, show the details to whoever looks after the lab."),
        details="".join(traceback.format_exception(error)),
    )
