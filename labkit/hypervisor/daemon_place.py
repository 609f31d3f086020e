"""Where the daemon that answers keeps its machines: by its own environment, not by what the variables say now.

Knows: processes, libvirt's folders. Must not know: labs.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from labkit.hypervisor.inquiry import find_daemon
from labkit.hypervisor.sockets import session_config_folder


def config_folder(uri: str = "") -> Path | None:
    """Return the folder with the configuration of the daemon that answers, or None: that cannot be seen."""
    return _folder(uri, "XDG_CONFIG_HOME", ".config")


def find_config_folder(uri: str = "") -> Path:
    """Return the same folder; where it cannot be seen, the one that a daemon would use which this process starts."""
    return config_folder(uri) or session_config_folder()


def runtime_folder(uri: str = "") -> Path | None:
    """Return the folder for the sockets of the daemon that answers, or None: that cannot be seen."""
    return _folder(uri, "XDG_RUNTIME_DIR", None)


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
