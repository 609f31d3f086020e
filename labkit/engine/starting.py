"""Starting a machine: it goes on where it was saved, or from a guest of its kind that is kept booted, or it boots.

A machine that is as it was made goes on from a kept guest if there is one. If there is none it boots, and one is made
afterwards, in the background. The environment may say otherwise:

    LABKIT_WARM=0        machines boot, whatever the call says, and nothing is made
    LABKIT_WARM=asked    machines boot unless the call says warm=True

Knows: kept guests, the plan of such a start, switches. Must not know: the façade, how a guest is woken.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labkit.engine import as_made, keeping, kept_guests, switching
from labkit.engine.as_made import Kind
from labkit.engine.handle import Handle
from labkit.engine.keeping_soon import keep_soon
from labkit.engine.progress import OnProgress
from labkit.errors import Busy, Cancelled, LabError, TimedOut
from labkit.language import _
from labkit.limits import Limit, unheard
from labkit.model import ways
from labkit.model.image import Format
from labkit.model.kept import KeptGuest
from labkit.model.machine import MachineState
from labkit.model.state import LabState
from labkit.model.switch_excuses import why_not_start
from labkit.model.words import under_way
from labkit.plans.plan import Plan
from labkit.plans.refusal import Refusal
from labkit.plans.warm import WarmSurvey, plan_boot, plan_warm_start
from labkit.printing import tell
from labkit.storage.files import host_errors

_explained: list[bool] = []
"""Not empty once this process has explained what a resumed guest is like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fresh:
    """A machine that is as it was made, of a kind of which guests are kept."""

    state: LabState
    name: str
    kind: Kind


def start(
    machine: Handle,
    why_not_disks: Callable[[], Refusal | None],
    *,
    warm: bool | None,
    timeout: float,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Start a machine.

    Args:
        warm: True: go on from a kept guest of its kind, which is made first if there is none; False: boot; None: go on
            from one if there is one, else boot, and let one be made meanwhile.
        why_not_disks, timeout, cancel: see `switching.start`.

    Raises:
        As `switching.start`.
    """
    fresh = _find_fresh(machine) if is_warm(warm) else None
    why = None
    if fresh and why_not_disks() is None:
        limit = Limit(timeout, cancel=cancel, what=under_way("start", machine.last_name))
        why = kept_guests.why_not_kept(fresh.kind.folder)
        try:
            kept = keeping.keep(machine, fresh.kind, limit) if warm else kept_guests.find_kept(fresh.kind.folder)
            if kept is not None:
                plan = _plan(fresh, kept)
                outcome = machine.session.carry_out(plan, on_progress or unheard, cancel, limit.left)
                _say(*outcome.remarks)
                if warm is None and not _explained:
                    _say(*plan.notes)
                    _explained.append(True)
                return
        except (Busy, Cancelled, TimedOut):
            raise
        except LabError as error:
            if machine.state is not MachineState.OFF:
                raise
            why = error.message
    switching.start(machine, why_not_disks, timeout=timeout, cancel=cancel)
    if why is not None:
        sentence = _("{name} could not go on from the memory, it boots instead: {why}")
        _say(sentence.format(name=machine.last_name, why=why))
    if fresh and warm is None:
        keep_soon(machine, fresh.kind)


def plan(machine: Handle, why_not_disks: Callable[[], Refusal | None], *, warm: bool | None) -> Plan:
    """Return what `start` would do now; it says whether the machine boots or is resumed, and why.

    `start` itself makes a plan only of a machine that is resumed: to switch on one that boots is a single call.
    """
    state, name = machine.find()
    facts = state.machines[name]
    if excuse := why_not_start(facts):
        return plan_boot(state, name, refusal=Refusal(why=excuse, ways_out=(ways.for_start(facts),)))
    if refusal := why_not_disks():
        return plan_boot(state, name, refusal=refusal)
    if facts.state is MachineState.SAVED:
        return plan_boot(state, name, [_("{name} goes on where it was saved.").format(name=name)])
    boots = _("{name} boots.").format(name=name)
    if not is_warm(warm):
        return plan_boot(state, name, [boots])
    kind = as_made.find_kind_of(machine.domains, state, name)
    if kind is None:
        return plan_boot(
            state, name, [boots, _("Only a machine that is as it was made can go on from its image's memory.")]
        )
    if kept := kept_guests.find_kept(kind.folder):
        return _plan(_Fresh(state=state, name=name, kind=kind), kept)
    why = kept_guests.why_not_kept(kind.folder) or _("no memory of its kind of machine is kept.")
    then = (
        _("start(warm=True) first boots a guest of its kind, to keep its memory, and then resumes {name} from that.")
        if warm
        else _("Such memory is made afterwards, when this computer has time, for the next machine of its kind.")
    )
    return plan_boot(state, name, [_("{name} boots: {why}").format(name=name, why=why), then.format(name=name)])


def _find_fresh(machine: Handle) -> _Fresh | None:
    """Return a machine as one that can go on from a kept guest, once interrupted acts are ended; None: it cannot."""
    machine.session.executor.recover()
    state, name = machine.find()
    kind = as_made.find_kind_of(machine.domains, state, name)
    return _Fresh(state=state, name=name, kind=kind) if kind is not None else None


def _plan(fresh: _Fresh, kept: KeptGuest) -> Plan:
    survey = survey_warm_start(fresh.state, fresh.name, fresh.kind, kept)
    return plan_warm_start(fresh.state, survey, fresh.name)


def _say(*sentences: str) -> None:
    """Tell whoever waits for a call to return; a panel, on another thread, shows the outcome itself."""
    if threading.current_thread() is threading.main_thread():
        for sentence in sentences:
            tell(sentence)


def is_warm(warm: bool | None) -> bool:
    """Return whether a start that is asked for in this way is from a kept guest, where that can be."""
    said = os.environ.get("LABKIT_WARM", "")
    return said != "0" and (warm if warm is not None else said != "asked")


def find_kind(machine: Handle) -> Kind | None:
    """Return the kind of a machine, or None if it cannot go on from a kept guest."""
    state, name = machine.find()
    return as_made.find_kind_of(machine.domains, state, name)


def survey_warm_start(state: LabState, name: str, kind: Kind, kept: KeptGuest) -> WarmSurvey:
    """Measure what a start from a kept guest needs.

    Raises:
        LabError: a disk cannot be read.
    """
    target = Path(state.machines[name].spec.disks[0].path)
    with host_errors(target):
        mine = target.stat()
    source = kept.written if kind.below else kept.disk
    with host_errors(source):
        theirs = os.stat(source)
    return WarmSurvey(
        kept=kept,
        stamp=theirs.st_mtime_ns,
        bytes=theirs.st_blocks * 512,
        source=source,
        pristine=kind.image.disk,
        below=kind.below,
        below_format=state.images[kind.below].format if kind.below else Format.QCOW2,
        seen=(mine.st_size, mine.st_mtime_ns),
        blanks=kind.blanks,
    )
