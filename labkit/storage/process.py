"""The one door to QEMU's disk tools: argv in, text out.

A child is ended when its limit is reached; a failure is shown as a line to paste into a terminal.
Knows: processes, and how these tools report errors. Must not know: what they are asked to do.
"""

from __future__ import annotations

import os
import re
import selectors
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from labkit.errors import HostTrouble, NoSpace
from labkit.language import _
from labkit.limits import NO_LIMIT, Limit
from labkit.units import GIB, MIB, format_size

MOST_OUTPUT = 16 * MIB
"""The most bytes of output that are accepted of a tool."""

_CAGE = ("prlimit", f"--as={GIB}", "--cpu=10", "--core=0", "--")
_TICK = 0.05  # seconds between two looks at the limit
_PERCENT = re.compile(rb"\((\d+\.\d+)/100%\)")
_FULL = ("No space left on device", "File too large", "Disk quota exceeded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a tool ended: its exit code and what it printed."""

    code: int
    output: str
    errors: str


def run(
    argv: Sequence[str],
    *,
    limit: Limit = NO_LIMIT,
    inherit: Sequence[int] = (),
    on_fraction: Callable[[float], None] | None = None,
    accept: Collection[int] = (0,),
    caged: bool = False,
) -> Done:
    """Run a tool to its end.

    Args:
        argv: the tool and its arguments; no shell is involved.
        limit: the child is ended when it is reached.
        inherit: descriptors that the child keeps open: locks that must outlive this process.
        on_fraction: called with 0 … 1 as the tool's option `-p` reports it.
        accept: exit codes that are answers, not failures.
        caged: whether it gets only little memory and time, since it works on a file that anyone may have made.

    Raises:
        NoSpace: the host's disk is full. HostTrouble: the tool is missing, failed, was killed, or printed too much; the
            details hold the line to paste. Cancelled, TimedOut: from the limit; the child has ended.
    """
    with _child([*_CAGE, *argv] if caged else argv, inherit=inherit) as child:
        output, errors = _listen(child, limit, on_fraction)
        if output is None:
            raise _endless(argv)
        code = child.wait()
    if code not in accept:
        raise _failure(argv, code, errors or output)  # qemu-io prints its errors on stdout
    return Done(code=code, output=output, errors=errors)


def run_daemon(argv: Sequence[str], *, limit: Limit = NO_LIMIT) -> None:
    """Run a tool that leaves a server behind; returns when the tool itself has ended. No lock is inherited.

    Raises:
        As `run`.
    """
    with tempfile.TemporaryFile() as errors:  # a file: the server keeps it open, so a pipe would never end
        with _child(argv, output=subprocess.DEVNULL, errors=errors.fileno()) as child:
            while child.poll() is None:
                limit.check()
                with suppress(subprocess.TimeoutExpired):
                    child.wait(_TICK)
        if child.returncode:
            errors.seek(0)
            raise _failure(argv, child.returncode, errors.read().decode(errors="replace"))


@contextmanager
def _child(
    argv: Sequence[str],
    *,
    inherit: Sequence[int] = (),
    output: int = subprocess.PIPE,
    errors: int = subprocess.PIPE,
) -> Iterator[subprocess.Popen[bytes]]:
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            pass_fds=tuple(inherit),
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,  # Ctrl-C in a terminal reaches only us, and we end the child
        )
    except OSError as error:
        raise HostTrouble(
            _("{tool} does not answer.").format(tool=argv[0]),
            _("Type ./lab setup, which installs it."),
            details=f"$ {shlex.join(argv)}\n{error}",
        ) from error
    with child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()  # it may be in a long write; it has nothing to tidy, and we delete its files


def _listen(
    child: subprocess.Popen[bytes], limit: Limit, on_fraction: Callable[[float], None] | None
) -> tuple[str | None, str]:
    """Return what it printed on stdout and stderr, without its progress; None if that was too much."""
    assert child.stdout is not None and child.stderr is not None  # noqa: S101, PT018 — we asked for pipes
    heard: dict[int, bytearray] = {child.stdout.fileno(): bytearray(), child.stderr.fileno(): bytearray()}
    with selectors.DefaultSelector() as selector:
        for descriptor in heard:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            limit.check()
            for key, _events in selector.select(_TICK):
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fd)
                if on_fraction and (told := _PERCENT.findall(data)):
                    on_fraction(float(told[-1]) / 100)
                    data = _PERCENT.sub(b"", data)
                heard[key.fd] += data
                if len(heard[key.fd]) > MOST_OUTPUT:
                    return None, ""
    output, errors = (bytes(data).decode(errors="replace") for data in heard.values())
    return output, errors


def _endless(argv: Sequence[str]) -> HostTrouble:
    return HostTrouble(
        _("{tool} says more than {most} of what it works on.").format(tool=_named(argv), most=format_size(MOST_OUTPUT)),
        _("The image is in very many pieces: convert the disk, the new image is in one."),
        details=f"$ {shlex.join(argv)}",
    )


def _failure(argv: Sequence[str], code: int, errors: str) -> HostTrouble:
    details = f"$ {shlex.join(argv)}\n{errors}".strip()
    if code == -signal.SIGXFSZ or any(sign in errors for sign in _FULL):
        return NoSpace(
            _("No space left on the host's disk while {tool} was writing.").format(tool=_named(argv)),
            _("Delete what you no longer need, or free space on the host; then do it again."),
            details=details,
        )
    if code < 0:
        why = _("it was killed by signal {name}").format(name=signal.Signals(-code).name)
    else:
        why = (errors.strip().splitlines() or [_("exit code {code}").format(code=code)])[-1]
    return HostTrouble(
        _("{tool} failed: {why}.").format(tool=_named(argv), why=why.rstrip(".")),
        _("The line under Details can be pasted into a terminal to see it again."),
        details=details,
    )


def _named(argv: Sequence[str]) -> str:
    """Return the tool and its subcommand: "qemu-img convert"."""
    tool = next((place for place, word in enumerate(argv) if word.startswith("qemu-")), 0)
    return " ".join(word for word in argv[tool : tool + 2] if not word.startswith("-"))
