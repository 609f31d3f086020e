"""Questions to a hypervisor that may be missing, silent or broken: each has a time limit, none raises.

Knows: libvirt, where it is installed. Must not know: what the doctor concludes from the answers.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qs, urlsplit

from labkit.hypervisor import domain_xml
from labkit.hypervisor.capabilities import Capabilities, read_capabilities
from labkit.hypervisor.sockets import session_runtime_folder

if TYPE_CHECKING:
    import libvirt

R = TypeVar("R")

OPEN_LIMIT = 12.0
"""Seconds that a daemon may take to start and to answer on a busy host."""
CAPABILITIES_LIMIT = 20.0
"""Seconds that it may take to say what QEMU can do: while its cache is empty it asks QEMU first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedDomain:
    """A domain that carries our mark: whose it is and which image files it needs."""

    name: str
    id: str
    active: bool
    lab_id: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """The result of asking a hypervisor.

    Attributes:
        uri: the hypervisor's. binding: whether Python's libvirt module can be imported.
        reached: whether it answered in time. words: libvirt's words, if it refused.
        pid: the process id of the session's daemon, or None.
        capabilities: what it offers, or None if it did not say.
        marked: the domains of labkit, of whatever lab. active: UUIDs of all domains that run.
    """

    uri: str
    binding: bool = True
    reached: bool = False
    words: str = ""
    pid: int | None = None
    capabilities: Capabilities | None = None
    marked: tuple[MarkedDomain, ...] = ()
    active: frozenset[str] = frozenset()


def ask_hypervisor(uri: str) -> Inquiry:
    """Ask a hypervisor what the doctor wants to know; this starts the session's daemon if it is not running."""
    try:
        import libvirt
    except ImportError as error:
        return Inquiry(uri=uri, binding=False, words=str(error))
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    try:
        domains = _ask(uri, _survey, OPEN_LIMIT)
    except libvirt.libvirtError as error:
        return Inquiry(uri=uri, words=str(error))
    if domains is None:
        return Inquiry(uri=uri, pid=find_daemon())
    capabilities, words = None, ""
    try:
        capabilities = _ask(uri, read_capabilities, CAPABILITIES_LIMIT)
    except libvirt.libvirtError as error:
        words = str(error)
    marked, active = domains
    return Inquiry(
        uri=uri,
        reached=True,
        words=words,
        pid=find_daemon(),
        capabilities=capabilities,
        marked=marked,
        active=active,
    )


def find_daemon(uri: str = "") -> int | None:
    """Return the process id of a daemon, or None when no one listens on its socket.

    Args:
        uri: of a hypervisor with its own socket; any other URI means the session's daemon.
    """
    folder = session_runtime_folder() / "libvirt"
    named = parse_qs(urlsplit(uri).query).get("socket")
    for place in named or [str(folder / name) for name in ("virtqemud-sock", "libvirt-sock")]:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(place)
            peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            return int(struct.unpack("3i", peer)[0])
    return None


def _ask(uri: str, question: Callable[[libvirt.virConnect], R], limit: float) -> R | None:
    """Return the answer, or None if there is none in time; the waiting thread is then left to end with the program."""
    import libvirt

    answers: list[R] = []
    errors: list[libvirt.libvirtError] = []

    def ask() -> None:
        try:
            connection = libvirt.open(uri)
            try:
                answers.append(question(connection))
            finally:
                connection.close()
        except libvirt.libvirtError as error:
            errors.append(error)

    thread = threading.Thread(target=ask, name="labkit-inquiry", daemon=True)
    thread.start()
    thread.join(limit)
    if errors:
        raise errors[0]
    return answers[0] if answers else None


def _survey(connection: libvirt.virConnect) -> tuple[tuple[MarkedDomain, ...], frozenset[str]]:
    import libvirt

    marked, active = [], set()
    for domain in connection.listAllDomains():
        with contextlib.suppress(libvirt.libvirtError):  # it may have gone by now
            if domain.isActive():
                active.add(domain.UUIDString())
            found = _read_marked(domain)
            marked += [found] if found else []
    return tuple(marked), frozenset(active)


def _read_marked(domain: libvirt.virDomain) -> MarkedDomain | None:
    root = domain_xml.parse(domain.XMLDesc(0))
    owner = domain_xml.find_owner(root)
    if owner is None:
        return None
    sources = (source.get("file") for source in root.iterfind("devices/disk/source"))
    return MarkedDomain(
        name=domain.name(),
        id=domain.UUIDString(),
        active=bool(domain.isActive()),
        lab_id=owner.lab_id,
        paths=tuple(path for path in sources if path),
    )
