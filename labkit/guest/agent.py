"""The guest agent's protocol: commands inside a guest, over any channel.

Source: QEMU's "QEMU Guest Agent Protocol Reference". Knows: the protocol. Must not know: libvirt.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from labkit.errors import BadInput, GuestError, GuestSilent, LabError, TimedOut
from labkit.guest.answers import CommandStatus, parse_handle, parse_nothing, parse_pid, parse_status, parse_written
from labkit.guest.holders import LOOK, Holder, find_holders
from labkit.guest.limiting import MOST_OUTPUT, NO_PROGRAM, limit_output, read_limited
from labkit.language import _
from labkit.limits import Limit
from labkit.model.inside import CommandResult
from labkit.units import KIB, MIB, format_size

MOST_INPUT: Final = 8 * MIB
"""The most bytes that a command can be given as its input."""

MOST_COMMAND: Final = 128 * KIB
"""The most bytes of a command; Linux takes no longer argument."""

_FITS_A_PIPE: Final = 32 * KIB
"""The most bytes of input given through a pipe: the agent answers nothing while a command reads slowly."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2
_LOOKS_WITHIN, _FILE_WITHIN = 10.0, 10.0
_SHOWN: Final = 200
"""How many letters of a command errors show."""

_END_ALL = """end() {
    kill -STOP "$1"
    for child in $(cat /proc/"$1"/task/*/children); do end "$child"; done
    kill -KILL "$1"
}
for each; do end "$each"; done
"""
"""A shell script that ends processes with all that they have started; each is stopped first, to start no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """The channel to the agent of one guest.

    Attributes:
        subject: the machine's name, for errors.
        send: sends one command (a JSON object) with a time limit in seconds and returns the answer's text.
    """

    subject: str
    send: Callable[[Mapping[str, Any], float], str]


def ping(channel: Channel, timeout: float = 2) -> None:
    """Return once the agent has answered.

    Raises:
        GuestSilent: it does not answer within `timeout` seconds. GuestError: the answer is wrong.
    """
    parse_nothing(channel.send({"execute": "guest-ping"}, timeout), subject=channel.subject)


def run(
    channel: Channel,
    command: str | Sequence[str],
    *,
    limit: Limit,
    stdin: bytes = b"",
) -> CommandResult:
    """Run a command inside the guest and return what it printed: the first MiB of its output and of its errors.

    Args:
        command: a line for the guest's shell, or a sequence: program and arguments, no shell.
        limit: when it is reached, or we are interrupted, the process inside is ended with all that it has started.
        stdin: its input, at most 8 MiB.

    Raises:
        BadInput: it is not a command, or too long. TimedOut, Cancelled: from the limit. GuestSilent, GuestError: from
            the agent.
    """
    words = _check_command(command, stdin)
    with _input_file(channel, stdin, limit) as input_file:
        limited = limit_output(words, input_file=input_file)
        pid = _start(channel, limited.argv, b"" if input_file else stdin, timeout=min(limit.left, 10))
    try:
        status = _wait(channel, pid, limit)
    except GuestSilent:
        raise  # the guest may be paused: then the command goes on later with it
    except TimedOut:
        _end(channel, pid, command)
        raise
    except BaseException:
        _end_processes(channel, pid)
        raise
    told = read_limited(status.output, status.errors, limited.mark)
    if told.code == NO_PROGRAM:
        raise GuestError(
            _("{name}: there is no program {program!r} in the guest.").format(name=channel.subject, program=words[0]),
            _("Is that in this guest? Look around inside: vm.run('ls /bin')."),
        )
    return CommandResult(
        stdout=told.output.decode(errors="replace"),
        stderr=told.errors.decode(errors="replace"),
        exit_code=status.exit_code if told.code is None else int(told.code),
        cut=_why_cut(channel.subject) if told.cut else "",
    )


def run_own(channel: Channel, argv: Sequence[str], *, limit: Limit, stdin: bytes = b"") -> CommandResult:
    """Run a program of labkit's own inside the guest, which prints little, without the programs that limit output.

    A guest that has just gone on must translate every program again, so one program costs less time than six.

    Args:
        argv: program and arguments, no shell. stdin: its input, at most 32 KiB.

    Raises:
        TimedOut, Cancelled: from the limit. GuestSilent, GuestError: from the agent, also if there is no such program.
    """
    pid = _start(channel, argv, stdin, timeout=min(limit.left, 10))
    status = _wait(channel, pid, limit)
    return CommandResult(
        stdout=status.output.decode(errors="replace"),
        stderr=status.errors.decode(errors="replace"),
        exit_code=status.exit_code,
    )


def _check_command(command: str | Sequence[str], stdin: bytes) -> list[str]:
    """Return the program and its arguments.

    Raises:
        BadInput: the command is of another type, or longer than can be sent.
    """
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else command
    try:
        checked = [str(word, "utf-8") for word in map(str.encode, words)] if isinstance(words, list | tuple) else []
    except (TypeError, UnicodeError):
        checked = []
    if not command or not checked or not checked[0] or "\0" in "".join(checked):
        raise BadInput(
            _("This is no command: {command}.").format(command=repr(command)[:_SHOWN]), _("Write it as in a shell.")
        )
    length = len("".join(checked).encode())
    if not isinstance(stdin, bytes):
        raise BadInput(
            _("What a command reads are bytes, not {value}.").format(value=repr(stdin)[:_SHOWN]),
            _('Write stdin=b"…", or stdin="…".encode().'),
        )
    if length > MOST_COMMAND:
        raise BadInput(
            _("A command of {length} is too long: it may have {size}.").format(
                length=format_size(length), size=format_size(MOST_COMMAND)
            ),
            _("Let a shell read it: vm.run('sh', stdin=…)."),
        )
    if len(stdin) > MOST_INPUT:
        raise BadInput(
            _("{length} are too much for a command to read: it may be given {size}.").format(
                length=format_size(len(stdin)), size=format_size(MOST_INPUT)
            ),
            _("Give it in pieces that a file inside is made of, or on a disk."),
        )
    return checked


@contextlib.contextmanager
def _input_file(channel: Channel, stdin: bytes, limit: Limit) -> Iterator[str]:
    """Write input that is too long for a pipe into a file inside; return its name, else "". The command removes it."""
    if len(stdin) <= _FITS_A_PIPE:
        yield ""
        return
    path = f"/tmp/labkit-{secrets.token_hex(16)}"  # noqa: S108 — in the guest, and nobody can guess it
    try:
        _write_file(channel, path, stdin, limit)
        yield path
    except BaseException:
        with contextlib.suppress(LabError):
            _start(channel, ["/bin/rm", "-f", path], timeout=5)
        raise


def _write_file(channel: Channel, path: str, content: bytes, limit: Limit) -> None:
    subject = channel.subject
    opening = {"execute": "guest-file-open", "arguments": {"path": path, "mode": "w"}}
    handle = parse_handle(channel.send(opening, _FILE_WITHIN), subject=subject)
    try:
        for start in range(0, len(content), _FITS_A_PIPE):
            limit.check()
            piece = content[start : start + _FITS_A_PIPE]
            words = {"handle": handle, "buf-b64": base64.b64encode(piece).decode()}
            answer = channel.send({"execute": "guest-file-write", "arguments": words}, _FILE_WITHIN)
            parse_written(answer, subject=subject, length=len(piece))
    finally:
        closing = {"execute": "guest-file-close", "arguments": {"handle": handle}}
        parse_nothing(channel.send(closing, _FILE_WITHIN), subject=subject)


def _start(channel: Channel, argv: Sequence[str], stdin: bytes = b"", *, timeout: float) -> int:
    program, *arguments = argv
    request: dict[str, Any] = {"path": program, "arg": arguments, "capture-output": True}
    if stdin:
        request["input-data"] = base64.b64encode(stdin).decode()
    return parse_pid(
        channel.send({"execute": "guest-exec", "arguments": request}, timeout),
        subject=channel.subject,
    )


def _wait(channel: Channel, pid: int, limit: Limit) -> CommandStatus:
    pause = _FIRST_PAUSE
    while True:
        answer = channel.send({"execute": "guest-exec-status", "arguments": {"pid": pid}}, 10)
        status = parse_status(answer, subject=channel.subject)
        if status.exited:
            return status
        limit.check()
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _why_cut(subject: str) -> str:
    return _(
        "{name}: the command said more than is shown; of its output and of its errors {size} each are kept."
    ).format(name=subject, size=format_size(MOST_OUTPUT))


# --- a command that does not end by itself -------------------------------------------------------------


def _end(channel: Channel, pid: int, command: str | Sequence[str]) -> None:
    """End a command that took too long; if it has itself ended, say what it left behind.

    Raises:
        TimedOut: the command has ended, but left something in the background that holds its output open.
    """
    holders = _find_holders(channel, pid)
    _end_processes(channel, pid, *(holder.pid for holder in holders))
    if not holders:
        return
    raise TimedOut(
        _("{name}: {command} has ended, but it left {processes} in the background, holding its output open.").format(
            name=channel.subject,
            command=repr(command)[:_SHOWN],
            processes=", ".join(f"{holder.name} ({holder.pid})" for holder in holders[:3]),
        ),
        _("That was ended, too. Let what shall go on keep its output to itself: {example}").format(
            example='vm.run("… >/dev/null 2>&1 &").'
        ),
    )


def _find_holders(channel: Channel, pid: int) -> tuple[Holder, ...]:
    """What a command has left behind; nothing if the guest does not say."""
    try:
        look = _start(channel, ["/bin/sh", "-c", LOOK], timeout=_LOOKS_WITHIN)
        printed = _wait(channel, look, Limit(_LOOKS_WITHIN)).output
    except LabError:
        return ()
    return find_holders(printed.decode(errors="replace"), pid)


def _end_processes(channel: Channel, *pids: int) -> None:
    with contextlib.suppress(LabError):  # the guest may have ended meanwhile
        _start(channel, ["/bin/sh", "-c", _END_ALL, "sh", *map(str, pids)], timeout=5)
