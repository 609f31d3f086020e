"""Repairing what a daemon left behind that died while it switched a guest, before anything else is done.

Switching is not an act, so no journal has an entry of it. What was left behind shows in what the next daemon believes.
Knows: the rooms below. Must not know: who asks, steps.
"""

from __future__ import annotations

import contextlib

from labkit.errors import LabError
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.saving import drop_overtaken
from labkit.hypervisor.unborn_guests import free_unborn
from labkit.hypervisor.unread_guests import take_over_unread
from labkit.language import _


def put_right(connection: Connection, lab_id: str) -> list[str]:
    """Free a lab's blocked machines, delete saved memory from which guests have gone on; returns sentences about it."""
    unborn = _("Starting {machine} was cut short before its emulator was there: it is as it was before.")
    overtaken = _("Saving {machine} was cut short: it went on, and the memory that was written is deleted.")
    unread = _("The hypervisor had lost sight of {machine}, which runs on: it knows it again.")
    told: list[str] = []
    with contextlib.suppress(LabError):  # no daemon: nothing to repair
        told += [unread.format(machine=name) for name in take_over_unread(connection, lab_id)]
        told += [unborn.format(machine=name) for name in free_unborn(connection, lab_id)]
        told += [overtaken.format(machine=name) for name in drop_overtaken(connection, lab_id)]
    return told
