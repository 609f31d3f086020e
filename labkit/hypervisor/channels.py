"""What libvirt carries between host and guest: commands for the agent, bytes for the serial line.

Knows: libvirt's channels. Must not know: the agent's protocol, what is said.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import libvirt
import libvirt_qemu

from labkit.errors import GuestSilent, HypervisorError, LabError, WrongState
from labkit.hypervisor.connection import Connection
from labkit.hypervisor.domain_xml import find_serial_line
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.errors import agent_refusal, agent_silence
from labkit.language import _

FLUSHES_WITHIN = 20
"""Seconds that the agent has to answer while it flushes; libvirt would wait for ever for a guest that was stopped."""

_SYNC = 10  # seconds; libvirt itself gives an agent five for its first answer
_JOINS, _JOIN_STEP = 1.0, 0.05  # seconds: libvirt connects to the agent a moment after a guest or a daemon begins
_NOT_JOINED = "agent is not connected"
_CONSOLE_LOOK, _CONSOLE_QUIET, _CONSOLE_STEP = 3.0, 0.1, 0.01  # seconds
_CONSOLE_CHUNK = 4096
_ECHO = 8  # letters at the end of a line by which its echo is recognized
_NOTHING_YET = -2
_NO_ERROR = 0
_PING = {"execute": "guest-ping"}


@contextlib.contextmanager
def agent_answers_soon(domain: libvirt.virDomain) -> Iterator[None]:
    """Limit how long libvirt waits for an answer of a domain's agent while the block runs."""
    domain.agentSetResponseTimeout(FLUSHES_WITHIN)
    try:
        yield
    finally:
        with contextlib.suppress(libvirt.libvirtError):  # it has ended
            domain.agentSetResponseTimeout(libvirt.VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK)


def thaw(connection: Connection, machine_id: str) -> None:
    """Let the file systems of a guest go on that a process or daemon had frozen which died before it thawed them.

    If none is frozen, the guest has ended or its agent is silent, nothing is done.
    """

    def let_go(raw: libvirt.virConnect) -> None:
        domain = raw.lookupByUUIDString(machine_id)
        with agent_answers_soon(domain):
            domain.fsThaw()

    end = time.monotonic() + _JOINS
    while True:
        try:
            connection.call(let_go, timeout=2 * FLUSHES_WITHIN)
        except GuestSilent as error:
            if _NOT_JOINED in error.details and time.monotonic() < end:
                time.sleep(_JOIN_STEP)
                continue
        except LabError:
            pass
        return


def agent_command(
    domains: Domains, machine_id: str, command: Mapping[str, Any], *, subject: str, timeout: float
) -> str:
    """Return the answer to one command to the guest agent, a JSON object as text; empty if it is no text.

    Raises:
        GuestSilent: no agent is connected, or no answer within `timeout` seconds.
        GuestError: the agent refused.
    """
    text = json.dumps(command)
    limit = max(1, round(timeout))
    end = time.monotonic() + (0 if command == _PING else _JOINS)

    def ask() -> str:
        while True:
            try:
                answer: str = domains.on(
                    machine_id,
                    lambda domain: libvirt_qemu.qemuAgentCommand(domain, text, limit, 0),
                    subject=subject,
                    timeout=limit + _SYNC,
                )
            except GuestSilent as error:
                if _NOT_JOINED not in error.details or time.monotonic() > end:
                    raise
                time.sleep(_JOIN_STEP)
            else:
                return answer

    try:
        return ask()
    except HypervisorError as error:
        # libvirt before 10 has one number both for a refusal by the agent and for a broken connection to it; 11 may
        # give no error at all if the connection breaks during the call.
        if error.code not in (libvirt.VIR_ERR_INTERNAL_ERROR, _NO_ERROR):
            raise
        if command != _PING and _agent_answers(domains, machine_id, subject=subject):
            raise agent_refusal(error.details, subject=subject) from error
        raise agent_silence(error.details, subject=subject) from error
    except UnicodeDecodeError:
        return ""  # not text, so not an answer: the caller reports that
    except SystemError as error:  # libvirt's Python binding for the same case
        if isinstance(error.__cause__, UnicodeDecodeError):
            return ""
        raise


def _agent_answers(domains: Domains, machine_id: str, *, subject: str) -> bool:
    try:
        agent_command(domains, machine_id, _PING, subject=subject, timeout=2)
    except LabError:
        return False
    return True


def open_serial_line(domains: Domains, machine_id: str, *, subject: str) -> int:
    """Open the host's end of a running guest's serial line for typing; returns a non-blocking descriptor.

    Any number of processes may have it open. Each must read what comes and throw it away, or the guest waits for it; to
    see everything that was printed, follow the console's log.

    Raises:
        WrongState: the guest does not run. HypervisorError: the line belongs to another user.
    """
    path = find_serial_line(domains.xml(machine_id, persistent=False))
    try:
        if path is None:
            raise FileNotFoundError
        return os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise WrongState(_("{name} does not run.").format(name=subject), _("Start it first.")) from error
    except OSError as error:
        raise HypervisorError(
            _("The serial line of {name} cannot be opened: {error}.").format(name=subject, error=error.strerror),
            _("It belongs to the user that the hypervisor runs as; on the session's hypervisor that is you."),
        ) from error


def send_to_console(domains: Domains, machine_id: str, data: bytes, *, subject: str) -> None:
    """Type bytes on the guest's serial line; whoever else had the line open (virsh console) loses it.

    QEMU checks only once a second whether somebody has opened the line, and what is typed is lost if the line is closed
    before. So it stays open until the guest has echoed the end of what was typed, or for a few seconds. Unread output
    of an earlier answer comes first, and does not count as an echo.
    """

    def type_in(raw: libvirt.virConnect) -> None:
        stream = raw.newStream(libvirt.VIR_STREAM_NONBLOCK)
        raw.lookupByUUIDString(machine_id).openConsole("serial0", stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
        try:
            _read_what_is_left(stream)
            end, left, heard = time.monotonic() + _CONSOLE_LOOK, data, b""
            while time.monotonic() < end and not _is_echoed(data, heard):
                if left:
                    left = left[max(0, stream.send(left)) :]
                elif (said := stream.recv(_CONSOLE_CHUNK)) != _NOTHING_YET:
                    heard += said
                time.sleep(_CONSOLE_STEP)
        finally:
            with contextlib.suppress(libvirt.libvirtError):  # what was typed may have ended the guest
                stream.abort()

    domains.connection.call(type_in, subject=subject)


def _read_what_is_left(stream: libvirt.virStream) -> None:
    """Read until nothing comes for a moment, but not for ever if the guest never stops printing."""
    end = time.monotonic() + _CONSOLE_LOOK
    quiet = time.monotonic() + _CONSOLE_QUIET
    while time.monotonic() < min(quiet, end):
        if stream.recv(_CONSOLE_CHUNK) != _NOTHING_YET:
            quiet = time.monotonic() + _CONSOLE_QUIET
        time.sleep(_CONSOLE_STEP)


def _is_echoed(typed: bytes, heard: bytes) -> bool:
    """Whether the guest has echoed the end of what was typed; after keys without one, printed anything."""
    text = typed.strip()
    shown = text.isascii() and text.decode().isprintable()
    return text[-_ECHO:] in heard if text and shown else bool(heard)
