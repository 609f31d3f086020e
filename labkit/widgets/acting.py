"""`Acting`: what a panel is doing: the plan it asks about, the act under way, the result of the last one.

Every panel has one. Of its panel it knows only what to call to lay it out (`redraw`) and to read again (`refresh`), and
does that when its thread has news; whoever calls it lays the panel out himself.

Acts run one at a time on a thread of their own and never block a cell. Every error is shown in the panel.

Knows: plans, progress, how they are shown. Must not know: the live view, what else a panel shows.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from labkit.engine.progress import Progress
from labkit.errors import Cancelled, LabError
from labkit.language import _
from labkit.plans.plan import Plan
from labkit.widgets import act_parts, parts
from labkit.widgets.offer_parts import offers_of, render_offers
from labkit.widgets.tree import Child, Node, tag
from labkit.widgets.work import Work

Values: TypeAlias = Mapping[str, str]
CarryOut: TypeAlias = Callable[[Plan, Work], tuple[str, ...]]

FRAME_SECONDS = 0.1
"""The least seconds between two layouts of a panel while an act reports progress."""

KEPT_COMMANDS = 50
"""How many commands "What really happened" remembers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A plan that the reader carries out or leaves; a refused one is shown with its ways out.

    Attributes:
        carry_out: does it, and returns the commands that were run.
        label: of the button that confirms, and of the act under way.
    """

    plan: Plan
    carry_out: CarryOut
    label: str


class Acting:
    """What a panel is doing; see the module.

    Args:
        lock: the panel's. redraw: lays the panel out again; cheap if nothing has changed, safe from any thread.
        refresh: reads again what the panel shows; called after each of its acts.

    Attributes:
        handlers: the functions for the reader's actions, by action.
        copy_rate: the expected speed of copies in bytes a second.
    """

    def __init__(self, lock: threading.RLock, *, redraw: Callable[[], object], refresh: Callable[[], object]) -> None:
        self._lock = lock
        self._redraw = redraw
        self._refresh = refresh
        self.handlers: dict[str, Callable[[Values], None]] = {
            "dismiss": self._dismiss,
            "cancel": lambda _values: self.cancel(),
            "confirm": self._confirm,
            "leave": self._leave,
        }
        self._work: Work | None = None
        self._error: LabError | None = None
        self._proposal: Proposal | None = None
        self._result: tuple[str, ...] = ()
        self._is_done = True
        self._done: list[str] = []
        self._drawn = 0.0
        self.copy_rate = act_parts.COPY_RATE

    # --- what is asked for and done ------------------------------------------------------------------

    @property
    def busy(self) -> str | None:
        """What the panel is doing, as an excuse for a button, or None."""
        work = self._work
        return None if work is None else work.busy

    def work(
        self,
        label: str,
        act: Callable[[Work], object],
        *,
        can_cancel: bool = False,
        expected: float | None = None,
    ) -> None:
        """Run an act on a thread of its own; if one is running already, do nothing.

        Once it has ended, a `Proposal` that it returns is put to the reader.

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
            self._error, self._result = None, ()
            thread = threading.Thread(
                target=self._run, args=(self._work, act), name=f"labkit panel: {label}", daemon=True
            )
            thread.start()

    def propose(self, proposal: Proposal) -> None:
        """Put a plan to the reader, in the place of the one before."""
        self._proposal = proposal

    def report(self, work: Work, progress: Progress) -> None:
        """Take an act's progress and show it, at most ten times a second; a change of `can_cancel` is shown at once."""
        heeded = work.heeds_cancel
        work.report(progress)
        if heeded != work.heeds_cancel or time.monotonic() - self._drawn >= FRAME_SECONDS:
            self._redraw()

    def tell(self, *commands: str) -> None:
        """Add commands to "What really happened"."""
        with self._lock:
            self._done = [*self._done, *commands][-KEPT_COMMANDS:]

    def drawn(self) -> None:
        """Record that the panel has just been laid out."""
        self._drawn = time.monotonic()

    def fail(self, error: Exception) -> None:
        """Show an error in the panel; the plan that was asked about before is no longer shown."""
        with self._lock:
            self._proposal = None
            self._error = error if isinstance(error, LabError) else as_lab_error(error)

    # --- how it is shown -----------------------------------------------------------------------------

    @property
    def plan(self) -> Plan | None:
        """The plan that it asks about, or None."""
        return self._proposal.plan if self._proposal else None

    def render(self, *, lost: tuple[str, ...] = (), held: str | None = None) -> tuple[Node, ...]:
        """Return the plan asked about, the act under way, the error, the result, and the commands.

        Args:
            lost: the names of what is lost for good with the plan besides files.
            held: why nothing can be done although the panel itself does nothing, or None.
        """
        return (
            tag("div", self._render_plan(lost), key="plan"),
            tag("div", self._render_work(held), key="work"),
            tag("div", *self._render_error(), key="error"),
            tag("div", self._render_result(), key="result"),
            tag("div", self._render_done(), key="done"),
        )

    def _render_plan(self, lost: tuple[str, ...]) -> Child:
        if self._proposal is None:
            return None
        plan, label = self._proposal.plan, self._proposal.label
        can_do = bool(plan.steps) and plan.refusal is None
        leave = parts.Button(label=_("Leave it") if can_do else _("Close"), action="leave")
        kind = "danger" if plan.lost else "main"
        yes = parts.Button(label=label, action="confirm", kind=kind, busy=self.busy)
        offers = plan.refusal.offers if plan.refusal else ()
        buttons = [yes, leave] if can_do else [leave]
        return tag(
            "div",
            tag("h4", _("Plan: {act}").format(act=label)),
            act_parts.render_plan(plan, lost=lost, rate=self.copy_rate),
            render_offers(offers, busy=self.busy),
            parts.render_buttons(buttons, label="plan"),
            class_="labkit-plan",
            role="group",
            aria_label=_("Plan: {act}").format(act=label),
            tabindex=-1,
            data_appear=True,
        )

    def _render_error(self) -> tuple[Child, ...]:
        if self._error is None:
            return ()
        return act_parts.render_error(self._error), render_offers(offers_of(self._error), busy=self.busy)

    def _render_work(self, held: str | None) -> Child:
        if self._work is None:
            return act_parts.render_held(held) if held else None
        return act_parts.render_work(self._work, is_alone=True)

    def _render_result(self) -> Child:
        return act_parts.render_result(self._result, is_done=self._is_done) if self._result else None

    def _render_done(self) -> Child:
        if not self._done:
            return None
        return parts.fold(_("What really happened"), act_parts.render_commands(self._done), key="drawer")

    # --- how it is done ------------------------------------------------------------------------------

    def _run(self, work: Work, act: Callable[[Work], object]) -> None:
        answers: list[object] = []
        errors: list[Exception] = []
        for call in (partial(act, work), self._refresh):
            try:
                answers.append(call())
            except Exception as caught:  # noqa: BLE001  no thread above to take it: the panel shows it
                errors.append(caught)
        with self._lock:
            self._work = None
            if errors:
                self.settle(work, errors[0])
            elif isinstance(answers[0], Proposal):
                self.propose(answers[0])
        self._redraw()

    def settle(self, work: Work, error: Exception) -> None:
        """Record how an act ended that did not succeed: cancelled, or with an error."""
        if isinstance(error, Cancelled) and work.cancel.is_set():
            self._result, self._is_done = (_("{act}: cancelled.").format(act=work.label),), False
        else:
            self._result, self._proposal = (), None
            self._error = error if isinstance(error, LabError) else as_lab_error(error)

    def _dismiss(self, _values: Values) -> None:
        self._error = None

    def cancel(self) -> None:
        """Ask the act under way to stop."""
        if self._work is not None:
            self._work.cancel.set()

    def _leave(self, _values: Values) -> None:
        self._proposal = None

    def _confirm(self, _values: Values) -> None:
        with self._lock:
            if self._proposal is None or self._work is not None:
                return
            asked, self._proposal = self._proposal, None

        def act(work: Work) -> None:
            self.tell(*asked.carry_out(asked.plan, work))
            self._result, self._is_done = (_("✓ {act}: done.").format(act=asked.label), *work.remarks), True

        self.work(asked.label, act, can_cancel=True, expected=asked.plan.bytes_copied / self.copy_rate)


def as_lab_error(error: Exception) -> LabError:
    """Return an unexpected error as a LabError that a reader can act on, with all details in a fold."""
    return LabError(
        _("Something unexpected happened: {error}").format(error=f"{type(error).__name__}: {error}"),
        _("Run the cell again. If it stays, show the details to whoever looks after the lab."),
        details="".join(traceback.format_exception(error)),
    )
