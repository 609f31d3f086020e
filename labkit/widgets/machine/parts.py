"""How a machine is shown: head, buttons with their excuses, definition, use, the form for changes.

Each is a function of values. Knows: the model's machine, plans. Must not know: labs, threads.
"""

from __future__ import annotations

from labkit.errors import BadInput, LabError
from labkit.language import _, ngettext
from labkit.model.machine import MachineFacts, MachineState, Reason
from labkit.model.state import LabState
from labkit.model.switch_excuses import (
    say_apart,
    say_out_of_reach,
    why_not_kill,
    why_not_pause,
    why_not_resume,
    why_not_save,
    why_not_start,
    why_not_stop,
)
from labkit.model.words import reason_word, state_word
from labkit.plans.machine import plan_delete
from labkit.units import format_size
from labkit.widgets import act_parts, parts
from labkit.widgets.parts import Button
from labkit.widgets.reading import Sample
from labkit.widgets.tree import Child, Node, tag

LOOKS = {
    MachineState.OFF: ("○", "calm"),
    MachineState.RUNNING: ("▶", "good"),
    MachineState.PAUSED: ("❚❚", "warn"),
    MachineState.SAVED: ("▣", "calm"),
}

_BAD = (Reason.CRASHED, Reason.PANICKED, Reason.FAILED, Reason.IO_ERROR, Reason.NO_SPACE, Reason.OUT_OF_REACH)


def render_head(facts: MachineFacts, *, title: str = "") -> Node:
    """Return a title (by default the name), the state and, if it says something, the reason."""
    state = tag("div", render_state(facts), role="status")
    return tag("div", tag("h3", title or facts.name), state, class_="labkit-head")


def render_state(facts: MachineFacts) -> Node:
    """Return a machine's state and, if it says something, the reason."""
    shape, tone = LOOKS[facts.state]
    reason = "" if facts.reason is Reason.SAVED else reason_word(facts.reason)
    if facts.is_out_of_reach:
        reason = say_out_of_reach(facts)
    if facts.apart:
        reason = say_apart(facts)
    if facts.reason in _BAD or facts.apart:
        tone = "bad"
    words = tag("span", reason, class_="labkit-quiet") if reason else None
    return tag("span", parts.badge(state_word(facts.state), shape=shape, tone=tone), " ", words)


def render_trouble(trouble: LabError | None) -> Child:
    """Return a notice if the lab cannot be read now, else nothing."""
    if trouble is None:
        return None
    return tag(
        "div",
        tag("p", trouble.message),
        tag("p", _("What is below was read before. The panel tries again every second.")),
        class_="labkit-note",
        role="alert",
    )


def list_switches(facts: MachineFacts, *, busy: str | None, lost: str | None = None) -> list[Button]:
    """Return the buttons that switch a machine.

    Args:
        facts: the machine.
        busy: why none can be pressed now, or None. lost: why it cannot start, from `why_not_start`, or None.
    """
    saved = facts.state is MachineState.SAVED
    pause = Button(
        label=_("Pause"),
        action="pause",
        excuse=why_not_pause(facts),
        busy=busy,
        tip=_("Stop its virtual CPUs; memory stays."),
    )
    if facts.state is MachineState.PAUSED:
        pause = Button(
            label=_("Resume"),
            action="resume",
            excuse=why_not_resume(facts),
            busy=busy,
            kind="main",
            tip=_("Let its virtual CPUs run on."),
        )
    return [
        Button(
            label=_("Start"),
            action="start",
            excuse=why_not_start(facts) or lost,
            busy=busy,
            kind="main" if not facts.is_active else "plain",
            tip=_("Go on where it was saved.") if saved else _("Switch it on."),
        ),
        Button(
            label=_("Shut down"),
            action="stop",
            excuse=why_not_stop(facts),
            busy=busy,
            tip=_("Ask the guest to shut down, as its power button would."),
        ),
        pause,
        Button(
            label=_("Save"),
            action="save",
            excuse=why_not_save(facts),
            busy=busy,
            tip=_("Write its memory to a file and switch it off; start goes on from there."),
        ),
        Button(
            label=_("Cut the power"),
            action="kill",
            excuse=why_not_kill(facts),
            busy=busy,
            kind="danger",
            tip=_("End it at once, as a power cut would: what the guest has not written is lost."),
        ),
    ]


def delete_button(state: LabState, facts: MachineFacts, *, busy: str | None) -> Button:
    """Return the button that deletes a machine, with its plan's reason against it.

    If the machine is on, the reason is in the words of its switches' excuses, so that one line serves all.
    """
    return Button(
        label=_("Delete…"),
        action="delete",
        excuse=why_not_start(facts) or plan_delete(state, facts.name).excuse,
        busy=busy,
        kind="danger",
        tip=_("Show what would be deleted; nothing is lost before you confirm."),
    )


def list_usage(facts: MachineFacts, samples: tuple[Sample, ...]) -> list[tuple[str, Child]]:
    """Return what the machine uses, as rows of a table; no rows when it is off."""
    if not facts.is_active:
        return []
    if not samples:
        return [(_("CPU of the host"), _("measuring…"))]
    return [
        (_("CPU of the host"), _cpu_line(samples, facts.spec.vcpus)),
        (_("memory the host gave"), format_size(samples[-1].memory)),
    ]


def render_changes(facts: MachineFacts, *, busy: str | None) -> Node:
    """Return the form for memory and vCPUs; `busy` is why it cannot be sent now, or None."""
    return parts.fold(
        _("Change memory and vCPUs"),
        parts.form(
            "configure",
            _("Change…"),
            parts.field(_("Memory"), "memory", format_size(facts.spec.memory)),
            parts.field(_("vCPUs"), "vcpus", str(facts.spec.vcpus), inputmode="numeric"),
            busy=busy,
        ),
        tag("p", _("{name} sees it when it next starts.").format(name=facts.name), class_="labkit-quiet")
        if facts.is_active
        else None,
        key="changes",
    )


def parse_vcpus(text: str) -> int:
    """Return a number of vCPUs that somebody typed.

    Raises:
        BadInput: it is not a number of vCPUs.
    """
    if not text.strip().isdecimal():
        raise BadInput(
            _("{text!r} is not a number of vCPUs.").format(text=text.strip()), _("Write a whole number from 1.")
        )
    return int(text)


def list_definition(facts: MachineFacts) -> list[tuple[str, Child]]:
    """Return the machine's definition, as rows of a table."""
    spec = facts.spec
    rows: list[tuple[str, Child]] = [
        (_("memory"), _from_next_start(format_size(spec.memory), _live_memory(facts))),
        (_("vCPUs"), _from_next_start(str(spec.vcpus), str(facts.live.vcpus) if facts.live else None)),
        (_("made from"), spec.image),
    ]
    names = ", ".join(f"{disk.target} ({disk.format})" for disk in spec.disks)
    rows.append((ngettext("disk", "disks", len(spec.disks)), names or _("none")))
    return rows


def _live_memory(facts: MachineFacts) -> str | None:
    return format_size(facts.live.memory) if facts.live else None


def _from_next_start(defined: str, live: str | None) -> str:
    if live is None or live == defined:
        return defined
    return _("{live} now; {defined} from the next start").format(live=live, defined=defined)


def _cpu_line(samples: tuple[Sample, ...], vcpus: int) -> Node:
    percent = round(100 * samples[-1].cpus)
    words = _("{percent} % of one CPU").format(percent=percent)
    line = parts.sparkline(
        [sample.cpus for sample in samples],
        top=max(1.0, float(vcpus)),
        label=_("CPU over the last minute, now {percent} %").format(percent=percent),
    )
    return tag("span", line, " ", words)


def render_notice(title: str, text: str, error: LabError | None = None) -> Node:
    """Return what a panel without a machine shows: a title, why, and an error."""
    return tag(
        "div",
        tag("div", tag("h3", title), class_="labkit-head"),
        tag("p", text, role="status"),
        act_parts.render_error(error, dismiss=None) if error else None,
    )
