"""The daemon that answers, and where it keeps its machines: found from its own environment, not from our variables.

Knows: processes, libvirt's folders. Must not know: labs.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from labkit.hypervisor.inquiry import find_daemon
from labkit.hypervisor.sockets import session_config_folder

_DAEMONS = ("libvirtd", "virtqemud")


def config_folder(uri: str = "") -> Path | None:
    """Return the configuration folder of the daemon that answers, or None if that cannot be seen."""
    return _folder(uri, "XDG_CONFIG_HOME", ".config")


def find_config_folder(uri: str = "") -> Path:
    """Return the same folder; if it cannot be seen, the one that a daemon started by this process would use."""
    return config_folder(uri) or session_config_folder()


def runtime_folder(uri: str = "") -> Path | None:
    """Return the folder for the sockets of the daemon that answers, or None if that cannot be seen."""
    return _folder(uri, "XDG_RUNTIME_DIR", None)


def find_own_daemon(uri: str) -> psutil.Process | None:
    """Return the process of a session's daemon if we may end it, else None.

    The system's daemon serves everybody. And if systemd listens on the daemon's socket, looking at the socket finds
    systemd.
    """
    if urlsplit(uri).path != "/session":
        return None
    with contextlib.suppress(psutil.Error):
        pid = find_daemon(uri)
        daemon = psutil.Process(pid) if pid is not None else None
        if daemon is not None and daemon.name() in _DAEMONS and daemon.uids().real == os.getuid():
            return daemon
    return None


def status_file(uri: str, domain: str) -> Path | None:
    """Return the file in which the daemon that answers records a guest's status, or None if that cannot be seen."""
    folder = runtime_folder(uri)
    return folder and folder / "libvirt" / "qemu" / "run" / f"{domain}.xml"


def _folder(uri: str, variable: str, below_home: str | None) -> Path | None:
    pid = find_daemon(uri)
    if pid is None:
        return None
    try:
        environment = psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return None
    if environment.get(variable):
        return Path(environment[variable])
    if below_home is not None:
        return Path(environment.get("HOME") or Path.home()) / below_home
    return Path(f"/run/user/{os.getuid()}")
