"""Beginning an emulator whose log is not quite free: libvirt's log daemon lets go of it late.

A guest's log is held as long as anybody could still write there. When its emulator has ended, the log daemon hears of
it by itself, a moment after everybody else; who begins another one within that moment is refused (EBUSY), and
nothing has been done. Source: libvirt, src/logging/log_handler.c.
Knows: libvirt's errors. Must not know: which guest begins, or why.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

import libvirt

from labkit.limits import NO_LIMIT, Limit

T = TypeVar("T")
R = TypeVar("R")

_PATIENCE = 20.0  # seconds; a log that is held longer is held by somebody who stays
_LOOK = 0.1  # seconds between two tries


def is_held(error: libvirt.libvirtError) -> bool:
    """Return whether a call was refused since something it needs is still in use."""
    return error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR and (error.get_int1() or 0) == errno.EBUSY


def once_log_is_free(verb: Callable[[T], R], limit: Limit = NO_LIMIT) -> Callable[[T], R]:
    """Return a verb that begins an emulator, and tries again for a while where the log of the last one is held.

    Args:
        limit: once it is reached, the refusal is handed on at once.
    """

    def begin(subject: T) -> R:
        patience = Limit(_PATIENCE)
        while True:
            try:
                return verb(subject)
            except libvirt.libvirtError as error:
                if not is_held(error) or patience.reached or limit.reached:
                    raise
            time.sleep(_LOOK)

    return begin
