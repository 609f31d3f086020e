"""The identity of this computer and of its present start, for a lab's folder that two computers may see.

The boot id distinguishes one running kernel from every other: if two processes have the same one, locks work between
them. Machine ids may be equal in classrooms of cloned computers. So a computer is identified by a random number kept in
a local folder (/var/tmp), together with the addresses of its network cards. That is needed only to distinguish a
restart of this computer from another computer.

Knows: the operating system. Must not know: labs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from labkit.storage.whole_files import write_new

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
KEPT = Path("/var/tmp")  # noqa: S108 — it outlives a restart and is no other computer's; the file in it is checked

_CARDS = Path("/sys/class/net")


@dataclass(frozen=True, slots=True, kw_only=True)
class Computer:
    """A computer since its last start.

    Attributes:
        boot: the id of this start. id: the computer's own, the same after a restart; "" if not known.
        name: its host name, for people.
    """

    boot: str
    id: str
    name: str


def read_computer(boot_id: Path = BOOT_ID, kept: Path = KEPT) -> Computer:
    """Return which computer this is.

    Args:
        boot_id: the file with the kernel's boot id. kept: a local folder that survives a restart.
    """
    boot = boot_id.read_text().strip()
    return Computer(boot=boot, id=_read_id(kept), name=socket.gethostname() or "?")


def _read_id(kept: Path) -> str:
    """The computer's id, or "" if none can be kept; then a restart counts as another computer."""
    path = kept / f"labkit-computer-{os.geteuid()}"
    with contextlib.suppress(OSError):
        if not path.exists():
            with contextlib.suppress(FileExistsError):
                write_new(path, secrets.token_hex(16).encode())
        info = path.lstat()
        if info.st_uid == os.geteuid() and path.is_file() and not path.is_symlink():
            os.utime(path)  # the system deletes old files there
            return hashlib.sha256("\n".join([path.read_text(), *_cards()]).encode()).hexdigest()
    return ""


def _cards() -> list[str]:
    """The addresses of the computer's physical network cards, sorted."""
    found = []
    for card in _CARDS.glob("*"):
        with contextlib.suppress(OSError):
            if (card / "device").exists():
                found.append((card / "address").read_text().strip())
    return sorted(found)
