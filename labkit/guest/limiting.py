"""How a command runs inside a guest so that no output is too long for the way out, and what comes back of it.

What a command prints goes through pipes that keep its beginning and let the rest run away: the command is not slowed
down, the guest's memory and disks are not filled, no file of it has to be removed, and it needs nothing but a shell,
`head` and `cat`. (The agent itself keeps 16 MiB of each, and hands them over in one answer; libvirt gives up on 4 MiB,
and after 10 MiB hears nothing of the agent until the guest is switched off.)

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
"""Bytes that are kept of what a command prints, and as many of its errors."""

NO_PROGRAM: Final = "none"
"""What is told in place of an exit code where there is no such program."""

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
"""A shell's script. 1 is where output goes, 5 where errors go, 4 the way out for errors: there the exit code is told,
behind a mark that nobody can guess. `read` ends with 1 where nothing more comes, which saves a process; a shell that
knows no such `read` says something else. The shell's own words, such as "Killed", are nobody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """A command line that runs a command within limits.

    Attributes:
        argv: program and arguments, for the guest. mark: what its exit code is told behind.
    """

    argv: tuple[str, ...]
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a limited command told.

    Attributes:
        output, errors: what it printed, up to `MOST_OUTPUT`. cut: whether there was more of either.
        code: its exit code as text, `NO_PROGRAM`, or None: it was ended before it could tell.
    """

    output: bytes
    errors: bytes
    cut: bool
    code: str | None


def limit_output(words: Sequence[str], *, input_file: str = "") -> Limited:
    """Return how to run a program with its arguments so that its output stays within limits.

    Args:
        input_file: what it reads; the file's name is gone as soon as it is open.
    """
    mark = f"labkit-{secrets.token_hex(16)}"
    script = ("/bin/sh", "-c", _SCRIPT, "sh", mark, str(MOST_OUTPUT + 1), input_file)
    return Limited(argv=(*script, *words), mark=mark)


def read_limited(output: bytes, errors: bytes, mark: str) -> Told:
    """Return what a limited command told by what came out of its two pipes.

    The mark may stand anywhere among the errors: who tells the code does not wait for who hands them on.
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
