"""What a guest's agent may answer: one strict, bounded function per command, from text into a value.

A guest belongs to whoever is inside: its agent may be any program and answer anything. Nothing of an answer is used
before it has been checked to be what the command promises; otherwise one sentence says so.

Knows: the agent's answers. Must not know: how they arrive, what is done with them.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Final, NoReturn

from labkit.errors import GuestError
from labkit.language import _

LONGEST: Final = 4 << 20
"""The most bytes of an answer; libvirt passes on no longer ones."""

_MOST_PARTS: Final = 8
"""How deep objects and lists in an answer may be nested: the answers we ask for have two levels."""

_MOST_CODE: Final = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandStatus:
    """The status of a command inside.

    Attributes:
        exited: whether it has ended and its output is complete. exit_code: 128 + n if it was ended by signal n. output,
            errors: what it printed; empty until it has ended.
    """

    exited: bool
    exit_code: int = 0
    output: bytes = b""
    errors: bytes = b""


def parse_nothing(text: str, *, subject: str) -> None:
    """Check the answer of a command without a result: `guest-ping`, `guest-file-close`.

    Raises:
        GuestError: it is something else.
    """
    if _read_return(text, subject) != {}:
        _refuse(subject, text)


def parse_pid(text: str, *, subject: str) -> int:
    """Return the number of the process that `guest-exec` has started.

    Raises:
        GuestError: it is something else.
    """
    fields = _read_return(text, subject)
    pid = fields.get("pid")
    if type(pid) is not int or not 0 < pid < 2**63:
        _refuse(subject, text)
    return pid


def parse_handle(text: str, *, subject: str) -> int:
    """Return the number of the file that `guest-file-open` has opened.

    Raises:
        GuestError: it is something else.
    """
    handle = _read(text, subject).get("return")
    if type(handle) is not int or not 0 <= handle < 2**63:
        _refuse(subject, text)
    return handle


def parse_written(text: str, *, subject: str, length: int) -> None:
    """Check that `guest-file-write` has written all `length` bytes.

    Raises:
        GuestError: it is something else.
    """
    if _read_return(text, subject).get("count") != length:
        _refuse(subject, text)


def parse_status(text: str, *, subject: str) -> CommandStatus:
    """Return the status in the answer of `guest-exec-status`.

    Raises:
        GuestError: it is something else.
    """
    fields = _read_return(text, subject)
    exited = fields.get("exited")
    if type(exited) is not bool:
        _refuse(subject, text)
    try:
        code, signal = (_read_code(fields.get(name, 0)) for name in ("exitcode", "signal"))
        output, errors = (_read_bytes(fields.get(name, "")) for name in ("out-data", "err-data"))
    except ValueError:
        _refuse(subject, text)
    if not exited:
        return CommandStatus(exited=False)
    return CommandStatus(exited=True, exit_code=128 + signal if signal else code, output=output, errors=errors)


def _read_return(text: str, subject: str) -> dict[str, object]:
    """The fields of `return` in an answer."""
    fields = _read(text, subject).get("return")
    if not isinstance(fields, dict):
        _refuse(subject, text)
    return fields


def _read(text: str, subject: str) -> dict[str, object]:
    """The fields of an answer; a text that is longer or deeper than what we ask for is not parsed."""
    if len(text) > LONGEST or text.count("{") + text.count("[") > _MOST_PARTS:
        _refuse(subject, text)
    try:
        answer = json.loads(text)
    except ValueError:
        _refuse(subject, text)
    if not isinstance(answer, dict):
        _refuse(subject, text)
    return answer


def _read_code(value: object) -> int:
    if type(value) is not int or not 0 <= value < _MOST_CODE:
        raise ValueError("no code")
    return value


def _read_bytes(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("no text")  # noqa: TRY004 — as for text that is no base64
    return base64.b64decode(value, validate=True)


def _refuse(subject: str, text: str) -> NoReturn:
    raise wrong_answer(subject, text)


def wrong_answer(subject: str, text: str = "") -> GuestError:
    """Return the error for an agent that did not answer what it was asked; `text` is what it said."""
    return GuestError(
        _("The agent of {name} answered something it should not.").format(name=subject),
        _("Is it the agent you know? Look at the guest's console, or restart the guest."),
        details=text[:200].encode(errors="backslashreplace").decode(),
    )
