"""A lab's folder at another path: was it moved or copied? Somebody at a terminal is asked, as VMware does.

In a notebook, in a program and where many labs are looked at in turn nobody is asked: then it is an error, with the
command for each of the two cases.

Knows: terminals, the two verbs. Must not know: how a lab is moved or copied.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from labkit.engine.place import Relocated
from labkit.engine.relocation import copy_lab, move_lab
from labkit.hypervisor.connection import DEFAULT_URI, connect
from labkit.language import _
from labkit.printing import harmless, tell

_VERBS = {"m": move_lab, "c": copy_lab}

_may_ask = contextvars.ContextVar("may_ask", default=True)


@contextmanager
def nobody_asked() -> Iterator[None]:
    """Ask no question inside the block: several labs are looked at, and the user named none of them."""
    token = _may_ask.set(False)
    try:
        yield
    finally:
        _may_ask.reset(token)


def settle(relocated: Relocated, uri: str | None) -> list[str]:
    """Ask whether a lab was moved or copied, and do it; returns what was done, a sentence each.

    Raises:
        WrongState: nobody can be asked, or there is no answer; nothing was changed then.
    """
    verb = _VERBS.get(_ask(relocated)) if _can_ask() else None
    if verb is None:
        raise relocated
    connection = connect(uri or DEFAULT_URI)
    try:
        return verb(relocated.home, connection)
    finally:
        connection.release()


def _can_ask() -> bool:
    """Whether somebody can read a question and type an answer; a notebook's kernel has no terminal."""
    return _may_ask.get() and sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _ask(relocated: Relocated) -> str:
    tell(relocated.message)
    question = _("Was it moved here (m), or is it a copy that is to be a lab of its own (c)? Enter: neither. ")
    try:
        return input(harmless(question)).strip().lower()[:1]
    except (EOFError, KeyboardInterrupt):
        return ""


__all__ = ["nobody_asked", "settle"]
