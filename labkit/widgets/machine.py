"""`MachinePanel`: one machine, its state and use, and what can be done with it.

It follows the machine by its id: a new name is shown, a deleted machine is told of.

Knows: the store's readings, the machine's acts. Must not know: libvirt.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, overload

from labkit.errors import BadInput, LabError
from labkit.language import _, ngettext
from labkit.model.machine import (
    MachineFacts,
    MachineState,
    why_not_kill,
    why_not_pause,
    why_not_resume,
    why_not_save,
    why_not_start,
    why_not_stop,
)
from labkit.model.words import reason_word, state_word
from labkit.plans.plan import Plan
from labkit.units import format_size, parse_size
from labkit.widgets import parts
from labkit.widgets.panel import Panel, Values
from labkit.widgets.parts import Button
from labkit.widgets.store import Reading, Sample, Store
from labkit.widgets.tree import Child, Node, tag
from labkit.widgets.work import Work

if TYPE_CHECKING:
    from labkit.lab import Lab
    from labkit.machine import Machine

CONSOLE_LINES = 12

_LOOKS = {
    MachineState.OFF: ("○", "calm"),
    MachineState.RUNNING: ("▶", "good"),
    MachineState.PAUSED: ("❚❚", "warn"),
    MachineState.SAVED: ("▣", "calm"),
}

_SWITCHES = {
    "start": "start",
    "stop": "shutdown",
    "pause": "suspend",
    "resume": "resume",
    "save": "managedsave",
    "kill": "destroy",
}
"""The acts of a button, and what virsh calls them."""


class MachinePanel(Panel):
    """A machine: state, start, stop, pause, save; memory and vCPUs; CPU, memory and console live.

    Args:
        where: the machine, or its lab; then `name` is the machine's name there.

    Raises:
        NotFound: the lab has no such machine.
    """

    @overload
    def __init__(self, where: Machine) -> None: ...
    @overload
    def __init__(self, where: Lab, name: str) -> None: ...
    def __init__(self, where: Machine | Lab, name: str | None = None) -> None:
        super().__init__()
        machine: Machine = where if name is None else where.machines[name]  # type: ignore[assignment,union-attr]
        self._machine, self._terminal = machine, machine.console
        self._lab = machine.lab
        self._id, self._last_name = machine.id, machine.name
        self._store = Store.of(self._lab)
        self._store.read()
        for act in _SWITCHES:
            self.on(act, partial(self._switch, act))
        self.on("configure", self._configure)
        self.on("delete", self._delete)

    # --- what is shown -----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The machine's name, or the last it had."""
        facts = self._facts(self._store.reading)
        if facts is not None:
            self._last_name = facts.name
        return self._last_name

    def line(self) -> str:
        """Return name and state."""
        facts = self._facts(self._store.reading)
        return f"{self.name} — {state_word(facts.state) if facts else _('gone')}"

    def body(self, *, live: bool) -> Node:
        """Return the machine; see `Panel.body`."""
        reading = self._store.reading
        facts = self._facts(reading)
        if reading.closed:
            return _notice(self.name, _("The lab is closed. Lab.open() opens it again."))
        if facts is None and reading.trouble is None:
            return _notice(self.name, _("This machine is no longer in the lab."))
        if facts is None:
            return _notice(self.name, _("The lab cannot be read."), reading.trouble)
        if not live:
            return tag("div", self._head(facts), parts.table(_definition(facts)))
        return tag(
            "div",
            tag("div", self._trouble(reading), key="trouble"),
            self._head(facts),
            parts.render_buttons(self._buttons(facts), label="acts"),
            parts.table([*_definition(facts), *self._usage(facts, reading)]),
            self._console(facts),
            self._changes(facts),
        )

    def _facts(self, reading: Reading) -> MachineFacts | None:
        machines = reading.state.machines.values() if reading.state else ()
        return next((machine for machine in machines if machine.id == self._id), None)

    def _head(self, facts: MachineFacts) -> Node:
        shape, tone = _LOOKS[facts.state]
        reason = reason_word(facts.reason)
        if facts.reason.value in ("crashed", "panicked", "failed", "input/output error"):
            tone = "bad"
        return tag(
            "div",
            tag("h3", facts.name),
            tag("div", parts.badge(state_word(facts.state), shape=shape, tone=tone), role="status"),
            tag("span", reason, class_="labkit-quiet") if reason else None,
            class_="labkit-head",
        )

    def _trouble(self, reading: Reading) -> Child:
        if reading.trouble is None:
            return None
        return tag(
            "div",
            tag("p", reading.trouble.message),
            tag("p", _("What is below was read before. The panel tries again every second.")),
            class_="labkit-note",
            role="alert",
        )

    def _buttons(self, facts: MachineFacts) -> list[Button]:
        busy = self.busy or (
            _("Another act is at work on {name}.").format(name=facts.name)
            if self._store.reading.state and facts.name in self._store.reading.state.busy
            else None
        )
        saved = facts.state is MachineState.SAVED
        pause = Button(
            label=_("Pause"),
            action="pause",
            excuse=busy or why_not_pause(facts),
            tip=_("Stop its virtual CPUs; memory stays."),
        )
        if facts.state is MachineState.PAUSED:
            pause = Button(
                label=_("Resume"),
                action="resume",
                excuse=busy or why_not_resume(facts),
                kind="main",
                tip=_("Let its virtual CPUs run on."),
            )
        return [
            Button(
                label=_("Start"),
                action="start",
                excuse=busy or why_not_start(facts),
                kind="main" if not facts.is_active else "plain",
                tip=_("Go on where it was saved.") if saved else _("Switch it on."),
            ),
            Button(
                label=_("Shut down"),
                action="stop",
                excuse=busy or why_not_stop(facts),
                tip=_("Ask the guest to shut down, as its power button would."),
            ),
            pause,
            Button(
                label=_("Save"),
                action="save",
                excuse=busy or why_not_save(facts),
                tip=_("Write its memory to a file and switch it off; start goes on from there."),
            ),
            Button(
                label=_("Cut the power"),
                action="kill",
                excuse=busy or why_not_kill(facts),
                kind="danger",
                tip=_("End it at once, as a power cut would: what the guest has not written is lost."),
            ),
            Button(
                label=_("Delete…"),
                action="delete",
                excuse=busy,
                kind="danger",
                tip=_("Show what would be deleted; nothing is lost before you confirm."),
            ),
        ]

    def _usage(self, facts: MachineFacts, reading: Reading) -> list[tuple[str, Child]]:
        if not facts.is_active:
            return []
        samples = reading.samples.get(self._id, ())
        if not samples:
            return [(_("CPU of the host"), _("measuring…"))]
        return [
            (_("CPU of the host"), _cpu_line(samples, facts.spec.vcpus)),
            (_("memory the host gave"), format_size(samples[-1].memory)),
        ]

    def _console(self, facts: MachineFacts) -> Node:
        text = ""
        if facts.spec.console_log:
            with contextlib.suppress(LabError):
                text = self._terminal.tail(CONSOLE_LINES)
        return parts.fold(
            _("Console, last lines"),
            tag("pre", text or _("Nothing on the console yet."), tabindex=0, data_follow=True),
            is_open=True,
            key="console",
        )

    def _changes(self, facts: MachineFacts) -> Node:
        return parts.fold(
            _("Change memory and vCPUs"),
            tag(
                "form",
                tag(
                    "label",
                    _("Memory"),
                    tag("input", name="memory", value=format_size(facts.spec.memory), autocomplete="off"),
                ),
                tag(
                    "label",
                    _("vCPUs"),
                    tag("input", name="vcpus", value=facts.spec.vcpus, inputmode="numeric", autocomplete="off"),
                ),
                tag(
                    "button",
                    _("Show the plan"),
                    type="submit",
                    class_="labkit-button",
                    aria_disabled="true" if self.busy else None,
                    title=self.busy,
                ),
                class_="labkit-form",
                data_action="configure",
            ),
            tag("p", _("{name} sees it when it next starts.").format(name=facts.name), class_="labkit-quiet")
            if facts.is_active
            else None,
            key="changes",
        )

    # --- what is done ------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the lab."""
        self._store.read()

    def displayed(self) -> None:
        """Follow the lab."""
        self._store.follow(self)
        self._store.poke()

    def _switch(self, act: str, _values: Values) -> None:
        def run(_work: Work) -> None:
            began = time.monotonic()
            call()
            self._store.remember(act, time.monotonic() - began)
            if facts is not None:
                self.tell(shlex.join(["virsh", _SWITCHES[act], facts.spec.domain_name]))

        call: Callable[[], object] = getattr(self._machine, act)
        facts = self._facts(self._store.reading)
        self.work(_under_way(act, self.name), run, expected=self._store.expected(act))

    def _configure(self, values: Values) -> None:
        memory = parse_size(values.get("memory", ""), what=_("memory"))
        vcpus = values.get("vcpus", "").strip()
        if not vcpus.isdecimal():
            raise BadInput(
                _("{text!r} is not a number of vCPUs.").format(text=vcpus), _("Write a whole number from 1.")
            )
        self._plan_for(_("Change {name}"), lambda: self._machine.configure.plan(memory=memory, vcpus=int(vcpus)))

    def _delete(self, _values: Values) -> None:
        self._plan_for(_("Delete {name}"), self._machine.delete.plan)

    def _plan_for(self, label: str, make: Callable[[], Plan]) -> None:
        label = label.format(name=self.name)
        self.work(_("Planning"), lambda _work: self.propose(make(), self._carry_out, label=label))

    def _carry_out(self, plan: Plan, work: Work) -> tuple[str, ...]:
        outcome = self._lab.carry_out(
            plan, on_progress=lambda progress: self.report(work, progress), cancel=work.cancel
        )
        return outcome.commands


def _under_way(act: str, name: str) -> str:
    words = {
        "start": _("Starting {name}"),
        "stop": _("Shutting {name} down"),
        "pause": _("Pausing {name}"),
        "resume": _("Resuming {name}"),
        "save": _("Saving {name}"),
        "kill": _("Cutting the power of {name}"),
    }
    return words[act].format(name=name)


def _definition(facts: MachineFacts) -> list[tuple[str, Child]]:
    spec = facts.spec
    rows: list[tuple[str, Child]] = [
        (_("memory"), _from_next_start(format_size(spec.memory), _live_memory(facts))),
        (_("vCPUs"), _from_next_start(str(spec.vcpus), str(facts.live.vcpus) if facts.live else None)),
        (_("made from"), spec.image),
    ]
    if spec.disks:
        names = ", ".join(f"{disk.target} ({disk.format})" for disk in spec.disks)
        rows.append((ngettext("disk", "disks", len(spec.disks)), names))
    return rows


def _live_memory(facts: MachineFacts) -> str | None:
    return format_size(facts.live.memory) if facts.live else None


def _from_next_start(defined: str, live: str | None) -> str:
    if live is None or live == defined:
        return defined
    return _("{live} now; {defined} from the next start").format(live=live, defined=defined)


def _cpu_line(samples: tuple[Sample, ...], vcpus: int) -> Node:
    percent = round(100 * samples[-1].cpus)
    words = _("{percent} % of one host CPU").format(percent=percent)
    line = parts.sparkline(
        [sample.cpus for sample in samples],
        top=max(1.0, float(vcpus)),
        label=_("CPU over the last minute, now {percent} %").format(percent=percent),
    )
    return tag("span", line, " ", words)


def _notice(title: str, text: str, error: LabError | None = None) -> Node:
    return tag(
        "div",
        tag("div", tag("h3", title), class_="labkit-head"),
        tag("p", text, role="status"),
        parts.render_error(error, dismiss=None) if error else None,
    )
