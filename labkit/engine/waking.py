"""Telling a guest that goes on from another one's memory who it is now, and what time it is.

Knows: the rooms below. Must not know: how it came to that memory, steps.
"""

from __future__ import annotations

import os

from labkit.engine.agent_channel import agent_channel
from labkit.engine.context import Context
from labkit.errors import ConnectionLost, GuestSilent, LabError, TimedOut
from labkit.guest import agent
from labkit.guest.agent import Channel
from labkit.hypervisor import instant
from labkit.hypervisor.domain_xml import host_name
from labkit.language import _
from labkit.limits import Limit
from labkit.model.machine import MachineSpec

ANSWERS_WITHIN = 60.0
"""Seconds in which a guest that goes on must be told who it is."""

_SEED_BYTES = 256
_RENEW = "/bin/labkit-renew"


def tell(spec: MachineSpec, context: Context, *, renew: bool = True, greet: bool = False) -> str | None:
    """Tell a guest that has just gone on who it is, and set its clock; returns a remark if that fails.

    Args:
        renew: whether it is told who it is; else it is a twin.
        greet: whether it says on its console, where nobody has typed yet, what a boot would say there.
    """
    limit = Limit(ANSWERS_WITHIN, what=_("Waiting for {name}").format(name=spec.name))
    sentence = _("{name} runs, but takes itself for the original until it boots: it could not be told ({why}).")
    channel = agent_channel(context.domains, spec.id, spec.name)
    try:
        wait_for_agent(channel, limit)
        if renew:
            who = [_RENEW, host_name(spec.name), spec.id, *(["greet"] if greet else [])]
            told = agent.run_own(channel, who, limit=limit, stdin=os.urandom(_SEED_BYTES))
            if not told:
                return sentence.format(name=spec.name, why=told.stderr.strip())
        sentence = _("The clock of {name} could not be set ({why}).")
        instant.set_clock(context.domains.connection, spec)
    except ConnectionLost:
        raise
    except LabError as error:
        if not context.has_guest(spec.id):
            sentence = _("{name} is off: its guest has ended meanwhile.")
        return sentence.format(name=spec.name, why=error.message)
    return None


def wait_for_agent(channel: Channel, limit: Limit) -> None:
    """Wait until a guest's agent answers.

    Raises:
        GuestSilent, TimedOut: the limit was reached.
    """
    while True:
        try:
            return agent.ping(channel, timeout=2)
        except (GuestSilent, TimedOut):
            if limit.reached:
                raise
