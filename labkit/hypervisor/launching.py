"""Beginning an emulator whose log is not quite free: libvirt's log daemon lets go of it late.

A guest's log is held as long as anybody could still write there. When its emulator has ended, the log daemon hears of
it by itself, a moment after everybody else; who begins another one within that moment is refused (EBUSY), and
nothing has been done. Source: libvirt, src/logging/log_handler.c.
What begins also gets its sockets where they belong on this instance: it may have been defined elsewhere, or by an older
labkit. Knows: libvirt's errors and definitions. Must not know: which guest begins, or why.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import libvirt

from labkit.hypervisor.mapped_xml import read_memory_xml
from labkit.hypervisor.sockets import place_sockets
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


def renew_sockets(domain: libvirt.virDomain, folder: Path | None) -> None:
    """Let a domain that is off or saved use, from now on, the sockets that are its own on this instance.

    Args:
        folder: the instance's runtime folder; None: libvirt chooses.
    """
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
    placed = place_sockets(xml, folder)
    if placed is not xml:
        domain.connect().defineXML(placed)
    if not domain.hasManagedSaveImage():
        return
    with contextlib.suppress(libvirt.libvirtError):  # a damaged one: what is wrong with it is told at the start itself
        xml = domain.managedSaveGetXMLDesc(libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)
        placed = place_sockets(read_memory_xml(xml), folder)
        if placed is not xml:
            domain.managedSaveDefineXML(placed, 0)
