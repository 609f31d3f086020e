"""Starting an emulator whose log is not free yet, since libvirt's log daemon releases it late.

A guest's log is held as long as anybody could still write to it. When an emulator has ended, the log daemon notices it
a moment later than everybody else; starting another emulator within that moment is refused (EBUSY), and nothing has
been done then. Source: libvirt, src/logging/log_handler.c. Before the start the machine also gets its sockets' paths on
this instance, since it may have been defined elsewhere, or by an older labkit. Knows: libvirt's errors and definitions.
Must not know: which guest starts, or why.
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

_PATIENCE = 20.0  # seconds; a log that is held longer will not become free
_LOOK = 0.1  # seconds between two tries


def says_held(error: libvirt.libvirtError) -> bool:
    """Return whether a call was refused because something that it needs is still in use."""
    return error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR and (error.get_int1() or 0) == errno.EBUSY


def once_log_is_free(verb: Callable[[T], R], limit: Limit = NO_LIMIT) -> Callable[[T], R]:
    """Return a verb that starts an emulator and tries again for a while if the last one's log is still held.

    Args:
        limit: once it is reached, the refusal is raised at once.
    """

    def begin(subject: T) -> R:
        patience = Limit(_PATIENCE)
        while True:
            try:
                return verb(subject)
            except libvirt.libvirtError as error:
                if not says_held(error) or patience.reached or limit.reached:
                    raise
            time.sleep(_LOOK)

    return begin


def renew_sockets(domain: libvirt.virDomain, folder: Path | None) -> None:
    """Give a domain that is off or saved the sockets' paths that belong to it on this instance.

    Args:
        folder: the instance's runtime folder; None: libvirt chooses.
    """
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
    placed = place_sockets(xml, folder)
    if placed is not xml:
        domain.connect().defineXML(placed)
    if not domain.hasManagedSaveImage():
        return
    with contextlib.suppress(libvirt.libvirtError):  # a damaged file: the start itself will say what is wrong
        xml = domain.managedSaveGetXMLDesc(libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)
        placed = place_sockets(read_memory_xml(xml), folder)
        if placed is not xml:
            domain.managedSaveDefineXML(placed, 0)
