"""The guest agent's protocol: commands and files inside a guest, over any channel.

Source: QEMU's "QEMU Guest Agent Protocol Reference". The channel is a function that sends one command and
returns its answer. Knows: the protocol. Must not know: libvirt.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.errors import BadInput, GuestError
from labkit.language import _
from labkit.limits import Limit

Channel = Callable[[Mapping[str, Any], float], Any]
"""Sends one command (a JSON object) with a time limit in seconds and returns the answer's `return`."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.2

_END_ALL = """end() {
    kill -STOP "$1"
    for child in $(cat /proc/"$1"/task/*/children); do end "$child"; done
    kill -KILL "$1"
}
end "$1"
"""
"""A shell's script that ends a process and all it has started; it is stopped first, so that it starts no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """What a command inside the guest said.

    Attributes:
        stdout, stderr: text (undecodable bytes replaced). exit_code: 0 is success; 128 + n: ended by signal n.
    """

    stdout: str
    stderr: str
    exit_code: int

    def __bool__(self) -> bool:
        """Whether it succeeded."""
        return self.exit_code == 0


def ping(channel: Channel, timeout: float = 2) -> None:
    """Return when the agent answers.

    Raises:
        GuestSilent: it does not, within `timeout` seconds.
    """
    channel({"execute": "guest-ping"}, timeout)


def run(
    channel: Channel,
    command: str | Sequence[str],
    *,
    limit: Limit,
    stdin: bytes = b"",
) -> CommandResult:
    """Run a command inside the guest and return what it said.

    Args:
        command: a line for the guest's shell, or a sequence: program and arguments, no shell.
        limit: reached, the process inside is ended. stdin: what it reads.

    Raises:
        BadInput: no command. TimedOut, Cancelled: the limit's. GuestSilent, GuestError: the agent's.
    """
    words = [command] if isinstance(command, str) else list(command)
    if not words or not words[0] or "\0" in "".join(words):
        raise BadInput(_("This is no command: {command!r}.").format(command=command), _("Write it as in a shell."))
    program, *arguments = ["/bin/sh", "-c", command] if isinstance(command, str) else words
    request: dict[str, Any] = {"path": program, "arg": arguments, "capture-output": True}
    if stdin:
        request["input-data"] = base64.b64encode(stdin).decode()
    pid = channel({"execute": "guest-exec", "arguments": request}, min(limit.left, 10))["pid"]
    pause = _FIRST_PAUSE
    while True:
        status = channel({"execute": "guest-exec-status", "arguments": {"pid": pid}}, 10)
        if status["exited"]:
            return CommandResult(
                stdout=_decode(status.get("out-data", "")),
                stderr=_decode(status.get("err-data", "")),
                exit_code=status["exitcode"] if "exitcode" in status else 128 + status.get("signal", 0),
            )
        if limit.reached:
            _end_process(channel, pid)
            limit.check()
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _end_process(channel: Channel, pid: int) -> None:
    request = {"path": "/bin/sh", "arg": ["-c", _END_ALL, "sh", str(pid)]}
    try:
        channel({"execute": "guest-exec", "arguments": request}, 5)
    except GuestError:
        return  # the guest ends with it


def _decode(data: str) -> str:
    return base64.b64decode(data).decode(errors="replace")
