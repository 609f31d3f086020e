"""The channel to a machine's agent: the guest's protocol over the hypervisor's channel.

Knows: both rooms. Must not know: what is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.guest.agent import Channel
from labkit.hypervisor import channels
from labkit.hypervisor.domains import Domains


def agent_channel(domains: Domains, machine_id: str, name: str) -> Channel:
    """Return the channel to a machine's agent; `name` is the machine's in errors."""

    def send(command: Mapping[str, Any], timeout: float) -> str:
        return channels.agent_command(domains, machine_id, command, subject=name, timeout=timeout)

    return Channel(subject=name, send=send)
