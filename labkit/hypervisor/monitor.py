"""A guest's QEMU asked by its machine protocol (QMP), through libvirt, where libvirt has no call of its own.

Source: QEMU, `docs/interop/qmp-ref`. Knows: the protocol. Must not know: plans, whose act it is part of.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

import libvirt
import libvirt_qemu

from labkit.errors import HypervisorError
from labkit.language import _


def ask(domain: libvirt.virDomain, command: str, **arguments: object) -> Any:
    """Return the answer of a guest's QEMU to a command of its machine protocol (QMP).

    Raises:
        HypervisorError: it refuses.
    """
    order = json.dumps({"execute": command, "arguments": arguments})
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, order, 0))
    if "error" in answer:
        text = str(answer["error"].get("desc", ""))
        raise HypervisorError(
            _("QEMU refuses {command}: {text}").format(command=command, text=text),
            _("Do it again, or stop the machine first."),
            details=text,
        )
    return answer["return"]


def activate_images(domain: libvirt.virDomain) -> None:
    """Let a paused guest's QEMU write to its images.

    From QEMU 10 on, the images of a guest whose memory was restored stay inactive until it runs for the first time, and
    whatever would change, copy or merge them is refused. An older QEMU does not know the command, and needs none.
    """
    if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
        with contextlib.suppress(HypervisorError, libvirt.libvirtError):
            ask(domain, "blockdev-set-active", active=True)
