"""How a command is run inside a guest so that its output never gets too long for the agent, and how its result is read.

What a command prints goes through pipes that keep the beginning and throw the rest away: the command is not slowed
down, the guest's memory and disks do not fill up, no file has to be removed, and nothing is needed but a shell, `head`
and `cat`. (The agent itself keeps 16 MiB each of output and errors and sends them in one answer; libvirt gives up at 4
MiB, and after 10 MiB it can no longer reach the agent until the guest is switched off.)

Knows: a guest's shell. Must not know: the agent's protocol.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from labkit.units import MIB

MOST_OUTPUT: Final = MIB
"""How many bytes are kept of a command's output, and of its errors."""

NO_PROGRAM: Final = "none"
"""What is reported instead of an exit code if there is no such program."""

_SCRIPT: Final = r"""mark=$1 most=$2 input=$3
shift 3
[ -z "$input" ] || { exec <"$input"; rm -f "$input"; }
keep() {
    head -c "$most"
    read -rn1 -d "" more 2>/dev/null
    [ $? = 1 ] || exec cat >/dev/null
}
work() {
    command -v "$1" >/dev/null || { echo "$mark:none" >&4; return; }
    (exec "$@" 2>&5 4>&- 5>&-)
    echo "$mark:$?" >&4
}
{ work "$@" 5>&1 >&3 3>&- 2>/dev/null | keep >&4 3>&-; } 3>&1 4>&2 | keep
"""
"""A shell script. Descriptor 1 is for output, 5 for errors, 4 the way out for errors; the exit code is reported there
too, after a mark that nobody can guess. `read` returns 1 if nothing more comes, which saves a process; a shell without
such a `read` returns another code. The shell's own messages, such as "Killed", are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """A command line that runs a command within limits.

    Attributes:
        argv: program and arguments, for the guest. mark: what precedes its exit code.
    """

    argv: tuple[str, ...]
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The result of a limited command.

    Attributes:
        output, errors: what it printed, up to `MOST_OUTPUT`. cut: whether there was more of either.
        code: its exit code as text, `NO_PROGRAM`, or None if it was ended before it could report one.
    """

    output: bytes
    errors: bytes
    cut: bool
    code: str | None


def limit_output(words: Sequence[str], *, input_file: str = "") -> Limited:
    """Return how to run a program with its arguments so that its output stays within limits.

    Args:
        input_file: a file with its input, or ""; the file is removed as soon as it is open.
    """
    mark = f"labkit-{secrets.token_hex(16)}"
    script = ("/bin/sh", "-c", _SCRIPT, "sh", mark, str(MOST_OUTPUT + 1), input_file)
    return Limited(argv=(*script, *words), mark=mark)


def read_limited(output: bytes, errors: bytes, mark: str) -> Told:
    """Return the result of a limited command from what came out of its two pipes.

    The mark may be anywhere among the errors, since reporting the code does not wait until they are passed on.
    """
    sign = re.compile(re.escape(mark).encode() + rb":(\d{1,10}|none)\n")
    match = sign.search(errors)
    if match:
        errors = errors[: match.start()] + errors[match.end() :]
    return Told(
        output=output[:MOST_OUTPUT],
        errors=errors[:MOST_OUTPUT],
        cut=max(len(output), len(errors)) > MOST_OUTPUT,
        code=match[1].decode() if match else None,
    )
