"""libvirt's errors translated into ours, by their code as far as codes tell them apart.

Codes: https://libvirt.org/html/libvirt-virterror.html. Knows: libvirt. Must not know: what was being done.
"""

from __future__ import annotations

import errno
import os

import libvirt

from labkit.errors import (
    AlreadyExists,
    Busy,
    ConnectionLost,
    GuestError,
    GuestSilent,
    HypervisorError,
    LabError,
    NoSpace,
    NotFound,
    TimedOut,
    WrongState,
)
from labkit.hypervisor.launching import says_held
from labkit.language import _

GONE = (libvirt.VIR_ERR_RPC, libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_INVALID_CONN, libvirt.VIR_ERR_AUTH_FAILED)
"""Codes which say that the daemon cannot be reached."""

# By number, since the oldest libvirt that we build with does not name them.
_AGENT_COMMAND_TIMEOUT, _AGENT_COMMAND_FAILED = 112, 113

_MOST_WORDS = 300
"""How many letters of an agent's words a message may have: a guest may say anything."""


def agent_refusal(text: str, *, subject: str = "") -> GuestError:
    """Return the error for a refusal by a guest's agent.

    Args:
        text: libvirt's words, which end with the agent's own.
    """
    words = "".join(filter(str.isprintable, text.rpartition("error was ")[2].strip("'")[:_MOST_WORDS]))
    prefix = f"{subject}: " if subject else ""
    return GuestError(
        prefix + _("the guest agent refused: {text}").format(text=words),
        _("Is that in this guest? Look around inside: vm.run('ls /bin')."),
        details=text,
    )


def agent_silence(text: str, *, subject: str = "") -> GuestSilent:
    """Return the error for an agent that does not answer; `text` is libvirt's words."""
    prefix = f"{subject}: " if subject else ""
    return GuestSilent(
        prefix + _("the guest agent does not answer."),
        _("Is it still booting? Use wait_ready(), or look at its console."),
        details=text,
    )


def translate(error: libvirt.libvirtError, *, subject: str = "") -> LabError:
    """Return our error for one of libvirt's.

    Args:
        subject: the name of the machine it is about, or "".
    """
    code = error.get_error_code() or 0
    text = (error.get_error_message() or str(error)).strip()
    prefix = f"{subject}: " if subject else ""
    if code in GONE:
        return ConnectionLost(
            prefix + _("the hypervisor's daemon cannot be reached."),
            _("Do it again: it is started again. If it stays away, type ./lab doctor."),
            code=code,
            details=text,
        )
    if code == libvirt.VIR_ERR_NO_DOMAIN:
        return NotFound(
            prefix + _("the hypervisor has no such machine any more."), _("List them: lab.machines."), details=text
        )
    if code == libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT:
        return NotFound(
            prefix + _("the hypervisor has no such snapshot any more."), _("List them: vm.snapshots."), details=text
        )
    if code in (libvirt.VIR_ERR_DOM_EXIST, libvirt.VIR_ERR_OPERATION_FAILED) and "already exists" in text:
        return AlreadyExists(
            prefix + _("the hypervisor already has a machine of that name."), _("Choose another."), details=text
        )
    if "previous migration" in text:  # QEMU's words, for keeping memory, saving it and sending it
        return WrongState(
            prefix + _("QEMU keeps or sends the memory of a paused guest only once while it is paused."),
            _("Use resume(), and pause() if you like; then do it again."),
            details=text,
        )
    if code == libvirt.VIR_ERR_OPERATION_INVALID:
        return WrongState(
            prefix + _("the hypervisor refuses that in the machine's present state."),
            _("Look at its state, then try again."),
            details=text,
        )
    if code in (libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_ERR_AGENT_UNSYNCED, _AGENT_COMMAND_TIMEOUT):
        return agent_silence(text, subject=subject)
    if code == _AGENT_COMMAND_FAILED:
        return agent_refusal(text, subject=subject)
    if code == libvirt.VIR_ERR_OPERATION_TIMEOUT:
        return TimedOut(
            prefix + _("the time limit passed."), _("Another act may hold the machine: look again."), details=text
        )
    if code == libvirt.VIR_ERR_RESOURCE_BUSY:
        return Busy(prefix + _("the hypervisor is busy with it."), _("Wait, then try again."), details=text)
    # libvirt's helper that writes a guest's memory passes on no error number, only the system's words.
    full = code == libvirt.VIR_ERR_OPERATION_FAILED and os.strerror(errno.ENOSPC) in text
    if full or (code == libvirt.VIR_ERR_SYSTEM_ERROR and (error.get_int1() or 0) == errno.ENOSPC):
        return NoSpace(prefix + _("the host's disk is full."), _("Free space, then do it again."), details=text)
    return HypervisorError(
        prefix + _("the hypervisor refused: {text}").format(text=text),
        _("What was there before it is not quite gone: wait a moment, then do it again.")
        if says_held(error)
        else _("The details are libvirt's own words."),
        code=code,
        details=text,
    )
