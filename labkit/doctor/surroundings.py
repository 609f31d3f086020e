"""Settings of the user's own that change the lab, or would have changed it.

`./lab` drops variables that would mislead its programs (`deploy/environment.sh` has the table) and names them in
LABKIT_DROPPED. Some files it cannot leave out: libvirt's session daemon reads the user's, Jupyter the system's.

Knows: variables and configuration files of the programs that the lab uses. Must not know: what these programs do.
"""

from __future__ import annotations

import os
import resource
import shlex
from pathlib import Path

from labkit.hypervisor.daemon_place import find_config_folder
from labkit.language import _
from labkit.model.diagnosis import Check, Status
from labkit.units import GIB, format_size

_LEADING_ELSEWHERE = ("LIBVIRT_", "VIRSH_", "PYTHONHOME", "PYTHONPATH", "LD_PRELOAD", "LD_LIBRARY_PATH")
"""How the names of variables begin that matter if labkit was not started by ./lab."""

_DAEMONS_FILES = ("libvirtd.conf", "virtqemud.conf", "qemu.conf", "virtlogd.conf", "libvirt.conf")
_JUPYTERS_FOLDERS = (Path("/etc/jupyter"), Path("/usr/local/etc/jupyter"))

LEAST_ADDRESSES = 4 * GIB
"""Bytes of address space that the process of a translated guest, or Node, needs."""


def check_variables() -> Check:
    """Check for variables of the user's that would mislead programs; ./lab has dropped them."""
    slug = "variables"
    inside = "LABKIT_DROPPED" in os.environ
    dropped = os.environ.get("LABKIT_DROPPED", "").split()
    if inside and not dropped:
        return Check(slug=slug, status=Status.OK, what=_("No variable of yours leads the lab's programs elsewhere."))
    if inside:
        return Check(
            slug=slug,
            status=Status.OK,
            what=_("Variables of yours that ./lab leaves outside: {names}.").format(names=", ".join(dropped)),
            cause=_("They would have changed what its programs do; in your shell they stay as they are."),
        )
    found = sorted(name for name in os.environ if name.startswith(_LEADING_ELSEWHERE))
    if not found:
        return Check(slug=slug, status=Status.OK, what=_("No variable of yours leads the lab's programs elsewhere."))
    return Check(
        slug=slug,
        status=Status.NOTE,
        what=_("Variables that change what the lab's programs do: {names}.").format(names=", ".join(found)),
        cause=_("labkit was not started by ./lab, which leaves them outside."),
        repair=f"unset {shlex.join(found)}",
    )


def check_settings_files() -> Check:
    """Check for settings files that the lab cannot leave out: the daemon's, and Jupyter's for all users."""
    slug = "settings-files"
    config = find_config_folder() / "libvirt"  # as in the daemon's environment, whatever the variable says by now
    files = [config / name for name in _DAEMONS_FILES if _says_something(config / name)]
    files += [file for folder in _JUPYTERS_FOLDERS for file in sorted(folder.glob("jupyter_*config.*"))]
    if not files:
        return Check(slug=slug, status=Status.OK, what=_("No file of settings changes libvirt's daemon or Jupyter."))
    return Check(
        slug=slug,
        status=Status.NOTE,
        what=_("Files whose settings hold in the lab, too: {files}.").format(files=", ".join(map(str, files))),
        cause=_("libvirt's session daemon is yours, and Jupyter reads what the system sets for all of its users."),
        repair=f"grep -vE '^ *(#|$)' {shlex.join(map(str, files))}",
    )


def check_limits() -> Check:
    """Check whether the session's limits leave room for guests; ./lab has raised those that may be raised."""
    slug = "limits"
    addresses, size = (resource.getrlimit(which)[0] for which in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE))
    if addresses != resource.RLIM_INFINITY and addresses < LEAST_ADDRESSES:
        what = _("A program may use only {size} of address space.").format(size=format_size(addresses))
    elif size != resource.RLIM_INFINITY:
        what = _("A file may take only {size}.").format(size=format_size(size))
    else:
        return Check(slug=slug, status=Status.OK, what=_("No limit of the session is in the way of guests."))
    return Check(
        slug=slug,
        status=Status.TROUBLE,
        what=what,
        cause=_("The login sets it (/etc/security/limits.conf, or a shell's start-up file with ulimit)."),
        repair="ulimit -H -v -f",
    )


def _says_something(file: Path) -> bool:
    """Whether a settings file holds more than comments."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)
