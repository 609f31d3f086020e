"""Starting a machine: it goes on where it was saved, or from a guest of its kind that is kept booted, or it boots.

    LABKIT_WARM=0    machines boot, whatever the call says
    LABKIT_WARM=1    a new machine goes on from a kept guest, if there is one, whenever the call says nothing else

Knows: kept guests, the plan of such a start, switches. Must not know: the façade, how a guest is woken.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from labkit.engine import as_made, keeping, kept_guests, switching
from labkit.engine.as_made import Kind
from labkit.engine.handle import Handle
from labkit.engine.progress import OnProgress
from labkit.errors import Busy, Cancelled, LabError, TimedOut
from labkit.language import _
from labkit.limits import Limit, unheard
from labkit.model.image import Format
from labkit.model.kept import KeptGuest
from labkit.model.machine import MachineState
from labkit.model.state import LabState
from labkit.model.words import under_way
from labkit.plans.refusal import Refusal
from labkit.plans.warm import WarmSurvey, plan_warm_start
from labkit.printing import tell
from labkit.storage.files import host_errors

WARM_BY_DEFAULT = False
"""Whether a new machine goes on from a kept guest if neither the call nor the environment says anything."""


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
        warm: True: go on from a kept guest of its kind, which is made first if there is none; False: boot; None: as the
            environment says, and where machines go on from kept guests a missing one is made afterwards.
        why_not_disks, timeout, cancel: see `switching.start`.

    Raises:
        As `switching.start`.
    """
    state, name = _find(machine) if is_warm(warm) else (None, "")
    kind = as_made.find_kind_of(machine.domains, state, name) if state else None
    why = None
    if state and kind is not None and why_not_disks() is None:
        limit = Limit(timeout, cancel=cancel, what=under_way("start", machine.last_name))
        try:
            kept = keeping.keep(machine, kind, limit) if warm else kept_guests.find_kept(kind.folder)
            if kept is not None:
                plan = plan_warm_start(state, survey_warm_start(state, name, kind, kept), name)
                outcome = machine.session.carry_out(plan, on_progress or unheard, cancel, limit.left)
                for remark in outcome.remarks:
                    tell(remark)
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
        tell(sentence.format(name=machine.last_name, why=why))
    elif kind is not None and not warm:
        keeping.keep_soon(machine, kind)


def _find(machine: Handle) -> tuple[LabState, str]:
    """Return the lab and the machine's name in it, once interrupted acts are ended."""
    machine.session.executor.recover()
    return machine.find()


def is_warm(warm: bool | None) -> bool:
    """Return whether a start that is asked for in this way is from a kept guest, where that can be."""
    said = os.environ.get("LABKIT_WARM", "")
    if said == "0" or warm is not None:
        return said != "0" and bool(warm)
    return said == "1" or WARM_BY_DEFAULT


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
