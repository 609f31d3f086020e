"""Machines of exercises run at once: they go on from the memory of one that was booted earlier, under their own names.

Knows: the lab as a student uses it, where the memory of such a guest is kept. Must not know: any one exercise.
"""

from __future__ import annotations

import threading
from typing import Final

from labkit.engine import warm
from labkit.machine import Machine

_first: Final = threading.Lock()
"""Held while the first of a kind boots."""


def start_warm(machine: Machine, *, who: Machine | None = None) -> Machine:
    """Let a machine that was just made run, with its agent answering.

    Args:
        who: which machine it is to take itself for: another, for a twin; None: itself.

    The first of its kind on this computer boots, and its memory is kept; where one cannot go on from that, it boots.
    Where several of a kind come at once, the others wait for the first.
    """
    told = (who or machine).handle
    if not warm.wake(machine.handle, who=told):
        with _first:
            if not warm.wake(machine.handle, who=told):
                machine.start().wait_ready()
                if warm.keep(machine.handle):
                    warm.wake(machine.handle, who=told)
    if not machine.facts.is_active:
        machine.start()
    return machine.wait_ready()
