"""The sockets of a guest on this host: the agent's, whose path we choose, and the monitor's, which libvirt names.

A socket's path has at most 107 bytes. libvirt (up to 9.6) would put the agent's socket below the configuration folder,
which makes a path that is too long for many homes. So it gets a path of its own, directly in the runtime folder of the
hypervisor instance:

    RUNTIME FOLDER/0123456789ab.agent     the first digits of the machine's id

The runtime folder exists whenever the instance's daemon runs, so `virsh start` needs nobody to make a folder first, not
even after a logout that has emptied it. Each instance has its own runtime folder: a guest that migrates from one to
another has two paths, and the side that it leaves removes only its own.

The monitor's socket stays below the configuration folder; no definition can change that.

Source: libvirt, src/qemu/qemu_domain.c (qemuDomainSetPrivatePaths), src/conf/domain_conf.c (virDomainDefGetShortName).
Knows: libvirt's domain format, its folders. Must not know: connections, labs.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from lxml import etree

from labkit.errors import HostTrouble
from labkit.hypervisor.domain_xml.building import AGENT_CHANNEL
from labkit.hypervisor.domain_xml.parsing import get_attribute, parse
from labkit.language import _

SOCKET_LIMIT = 107
"""The most bytes of a UNIX socket's path, without the final zero: Linux's `sun_path` has 108."""

SHORT_NAME = 20
"""How many bytes of a domain's name libvirt uses in the names of its folders."""

_ID_DIGITS = 12
_MOST_STARTS = 9999  # libvirt numbers guests as they start, from 1 with each daemon


def session_runtime_folder() -> Path:
    """Return the folder in which the session's own daemon listens."""
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")


def session_config_folder() -> Path:
    """Return the folder in which a daemon started by this process keeps its definitions."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def instance_folder(uri: str) -> Path | None:
    """Return the runtime folder of the hypervisor instance that a URI names, or None if that is not ours or not known.

    The system's hypervisor has none of ours, and a socket of another name does not say where it is.
    """
    parts = urlsplit(uri)
    if parts.path != "/session":
        return None
    named = parse_qs(parts.query).get("socket")
    if not named:
        return session_runtime_folder()
    folder = Path(named[0]).parent
    return folder.parent if folder.name == "libvirt" else None


def agent_socket(machine_id: str, folder: Path) -> Path:
    """Return the socket of a machine's agent on the instance with that runtime folder."""
    return folder / f"{machine_id.replace('-', '')[:_ID_DIGITS]}.agent"


def place_sockets(xml: str, folder: Path | None) -> str:
    """Return a domain's XML with its agent's socket as it must be on the instance with that runtime folder.

    If nothing changes the very same text is returned. Without a folder (None) libvirt chooses the path.
    """
    domain = parse(xml)
    channels = [each for each in domain.iterfind("devices/channel") if _is_agent(each)]
    path = None if folder is None else str(agent_socket(domain.findtext("uuid") or "", folder))
    changed = [channel for channel in channels if _put(channel, path)]
    return etree.tostring(domain, encoding="unicode") if changed else xml


def find_agent_socket(xml: str) -> str | None:
    """Return where a domain's XML puts its agent's socket, or None if libvirt chooses or it has no agent."""
    channels = (each for each in parse(xml).iterfind("devices/channel") if _is_agent(each))
    return next((path for each in channels if (path := get_attribute(each, "source", "path"))), None)


def monitor_socket(config: Path, name: str = "x" * SHORT_NAME, *, number: int = _MOST_STARTS) -> Path:
    """Return where libvirt puts the monitor of a guest that it starts; by default, the longest such path.

    Args:
        config: XDG_CONFIG_HOME as its daemon has it. name: of the domain. number: libvirt's number of the guest.
    """
    short = os.fsdecode(os.fsencode(name)[:SHORT_NAME])
    return config / f"libvirt/qemu/lib/domain-{number}-{short}/monitor.sock"


def name_room(config: Path) -> int:
    """Return how many bytes of a domain's name fit into its monitor's path; if less than 1, no guest can start.

    Args:
        config: XDG_CONFIG_HOME as its daemon has it.
    """
    return SOCKET_LIMIT - len(os.fsencode(monitor_socket(config, "", number=1)))


def find_lack_of_room(name: str, config: Path) -> HostTrouble | None:
    """Return the error for a guest whose monitor's path is too long on this host, or None if it fits."""
    length = len(os.fsencode(monitor_socket(config, name, number=1)))
    if length <= SOCKET_LIMIT:
        return None
    return HostTrouble(
        _("{name} cannot start here: the path of its monitor's socket would take {length} of {limit} bytes.").format(
            name=name, length=length, limit=SOCKET_LIMIT
        ),
        _("The folder {folder} has a long name. Type ./lab doctor: it says how to give it a short one.").format(
            folder=config
        ),
    )


def _is_agent(channel: etree._Element) -> bool:
    return channel.get("type") == "unix" and get_attribute(channel, "target", "name") == AGENT_CHANNEL


def _put(channel: etree._Element, path: str | None) -> bool:
    """Set the path of a channel; returns whether that changes it."""
    if get_attribute(channel, "source", "path") == (path or ""):
        return False
    for source in channel.findall("source"):
        channel.remove(source)
    if path is not None:
        channel.insert(0, etree.Element("source", mode="bind", path=path))
    return True
