"""Where the lab works: user, runtime folder, room for sockets' paths, disk and memory.

Knows: the operating system. Must not know: libvirt.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

import psutil

from labkit.hypervisor.floors import read_traces
from labkit.hypervisor.sockets import SOCKET_LIMIT, monitor_socket, session_config_folder, session_runtime_folder
from labkit.language import _
from labkit.model.diagnosis import Check, Status
from labkit.storage.files import free_bytes
from labkit.units import GIB, MIB, format_size

LEAST_SPACE = 1 * GIB
"""Bytes that must be free for labs."""
LEAST_MEMORY = 512 * MIB
"""Bytes of memory that must be free for one guest and its process; twice that is comfortable."""


def check_user() -> Check:
    """Check whether the session's hypervisor serves our user: anyone but user 0."""
    slug = "user"
    if os.geteuid() == 0:
        return Check(
            slug=slug,
            status=Status.TROUBLE,
            what=_("We are root (user id 0)."),
            cause=_("libvirt has no session for root: it would look for the system's hypervisor."),
            repair="./lab doctor",
        )
    if not _is_first_user_namespace():
        return Check(
            slug=slug,
            status=Status.NOTE,
            what=_("We are user {uid} in a user namespace.").format(uid=os.geteuid()),
            cause=_("./lab makes one for root, since the hypervisor's session wants a user that is not root."),
        )
    return Check(slug=slug, status=Status.OK, what=_("We are the ordinary user {uid}.").format(uid=os.geteuid()))


def check_runtime_folder() -> Check:
    """Check whether XDG_RUNTIME_DIR, the folder of sockets, exists, is ours and is closed to others."""
    slug, status = "runtime-folder", Status.TROUBLE
    text = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = Path(text)
    info = _info(folder)
    fresh = "export XDG_RUNTIME_DIR=$(mktemp -d)"
    if not text:
        what, cause, repair = (
            _("XDG_RUNTIME_DIR is not set."),
            _("There was no login session to set it; ./lab chooses a folder where it is missing."),
            "./lab doctor",
        )
    elif info is None or not folder.is_absolute() or not stat.S_ISDIR(info.st_mode):
        what, cause, repair = (
            _("XDG_RUNTIME_DIR is {folder}, which is not a folder.").format(folder=folder),
            _("It was removed, or the variable comes from another session."),
            fresh,
        )
    elif info.st_uid != os.geteuid():
        what, cause, repair = (
            _("XDG_RUNTIME_DIR is {folder}, which belongs to another user.").format(folder=folder),
            _("The variable was carried over from another user's session, as su and sudo do."),
            fresh,
        )
    elif stat.S_IMODE(info.st_mode) != 0o700:
        what, cause, repair = (
            _("XDG_RUNTIME_DIR is {folder}, whose mode is {mode:o}, not 700.").format(
                folder=folder, mode=stat.S_IMODE(info.st_mode)
            ),
            _("Other users must not reach the sockets in it."),
            f"chmod 700 {shlex.quote(text)}",
        )
    else:
        return Check(slug=slug, status=Status.OK, what=_("{folder} is ours alone.").format(folder=folder))
    return Check(slug=slug, status=status, what=what, cause=cause, repair=repair)


def check_socket_length(config: Path, daemon: int | None = None) -> Check:
    """Check whether the paths of sockets are short enough for a machine with a long name.

    Args:
        config: the folder in which the daemon keeps its definitions, as in its own environment. daemon: its process id.
    """
    slug = "socket-length"
    path = longest_socket(config)
    length = len(os.fsencode(path))
    told = _("The longest path of a machine's socket takes {length} of {limit} bytes.").format(
        length=length, limit=SOCKET_LIMIT
    )
    if length <= SOCKET_LIMIT:
        return Check(slug=slug, status=Status.OK, what=told)
    if not path.is_relative_to(config):
        folder, repair = session_runtime_folder(), "export XDG_RUNTIME_DIR=$(mktemp -d)"
    else:
        folder, repair = config, _shorten(config, daemon)
    return Check(
        slug=slug,
        status=Status.TROUBLE,
        what=told,
        cause=_("The folder {folder} has a long name.").format(folder=folder),
        repair=repair,
    )


def longest_socket(config: Path) -> Path:
    """Return the longest path of a socket of the daemon or of a machine with a long name.

    Args:
        config: the folder in which the daemon keeps its definitions.
    """
    paths = [monitor_socket(config), session_runtime_folder() / "libvirt/virtqemud-admin-sock"]
    return max(paths, key=lambda path: len(os.fsencode(path)))


def _shorten(config: Path, daemon: int | None) -> str:
    """Return the command that gives the same folder a short name: a link to it, for the daemon's next start.

    The machines stay where they are, and guests go on while no daemon runs.
    """
    steps = [] if daemon is None else [f"kill {daemon}", f"tail --pid={daemon} -f /dev/null"]
    if len(os.fsencode(longest_socket(session_config_folder()))) > SOCKET_LIMIT or not steps:
        link = f"$(mktemp -d {shlex.quote(str(session_runtime_folder()))}/XXX)/c"
        steps = [f"export XDG_CONFIG_HOME={link}", f'ln -s {shlex.quote(str(config))} "$XDG_CONFIG_HOME"', *steps]
    return " && ".join(steps)


def check_disk_space(labs: Path) -> Check:
    """Check whether the disk with the labs has room."""
    folder = next(parent for parent in (labs, *labs.parents) if parent.is_dir())
    free = free_bytes(folder)
    what = _("{free} are free for labs in {folder}.").format(free=format_size(free), folder=labs)
    if free >= LEAST_SPACE:
        return Check(slug="disk-space", status=Status.OK, what=what)
    return Check(
        slug="disk-space",
        status=Status.TROUBLE,
        what=what,
        cause=_("The file system is full, or a quota holds; {least} are wanted.").format(
            least=format_size(LEAST_SPACE)
        ),
        repair=f"du -xh --max-depth=2 {shlex.quote(str(Path.home()))} | sort -h | tail",
    )


def check_memory() -> Check:
    """Check whether there is enough memory for guests."""
    memory = psutil.virtual_memory()
    what = _("{free} of {all} of memory are available.").format(
        free=format_size(memory.available), all=format_size(memory.total)
    )
    if memory.available >= 2 * LEAST_MEMORY:
        return Check(slug="memory", status=Status.OK, what=what)
    return Check(
        slug="memory",
        status=Status.NOTE if memory.available >= LEAST_MEMORY else Status.TROUBLE,
        what=what,
        cause=_("Other programs use the rest; a guest and its process take 200 MiB and more."),
        repair="ps -eo rss,pid,comm --sort=-rss | head",
    )


def _info(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _is_first_user_namespace() -> bool:
    return read_traces(detected={}).uid_map in ("", "0 0 4294967295")
