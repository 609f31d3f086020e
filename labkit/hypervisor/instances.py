"""Further hypervisor instances of a user: session daemons with their own folders and host identity.

Two of them on one computer behave as two hosts that share a disk: neither sees the other's machines, and a
guest can migrate from one to the other. Definitions are kept in the instance's folder until it is ended:

    FOLDER          uuid  config/ data/ cache/  daemon.conf  lock
    XDG_RUNTIME_DIR nNNNNN → FOLDER/config   nNNNNNr/    short names, since a socket's path has at most 107 bytes

A daemon ends by itself when nobody has been connected for a while and none of its guests runs.
Source: https://libvirt.org/manpages/libvirtd.html. Knows: processes, folders. Must not know: labs, machines.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from labkit.errors import HostTrouble
from labkit.language import _

IDLE = 120
"""Seconds after which a daemon without clients and guests ends."""

_PROGRAMS = {"libvirtd": "libvirt-sock", "virtqemud": "virtqemud-sock"}
_STARTS_WITHIN, _ENDS_WITHIN = 60, 30  # seconds
_DAEMONS = (*_PROGRAMS, "virtlogd")

_LOCKING = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""The flags to open its lock with: a link in its place is not followed, a pipe is not waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A hypervisor instance beside the session's own.

    Attributes:
        folder: absolute; it holds everything that is kept of it.
    """

    folder: Path

    @property
    def uri(self) -> str:
        """The URI to connect to; its daemon must have been started."""
        return f"qemu+unix:///session?socket={self.socket}"

    @property
    def host_id(self) -> str:
        """The UUID of the host it claims to be.

        Raises:
            FileNotFoundError: it was never started.
        """
        return (self.folder / "uuid").read_text().strip()

    @property
    def is_ended(self) -> bool:
        """Whether it was never created, or was ended for good."""
        return not (self.folder / "uuid").exists()

    @property
    def runtime(self) -> Path:
        """Its runtime folder, with sockets and the status of running guests."""
        return self._short.with_name(f"{self._short.name}r")

    @property
    def socket(self) -> Path:
        """The socket that its daemon listens on."""
        return self.runtime / "libvirt" / _PROGRAMS[_find_program()[0]]

    @property
    def has_machines(self) -> bool:
        """Whether machines are defined there; no daemon is asked."""
        return any((self.folder / "config" / "libvirt" / "qemu").glob("*.xml"))

    def arrival(self, machine_id: str) -> Path:
        """Return the socket at which a migrating guest's memory arrives; it has a folder of its own."""
        return self.runtime / f"{machine_id[:8]}.in" / "s"

    def create(self) -> None:
        """Make its folder and its host identity, if they do not exist yet."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            if self.is_ended:
                self._copy_what_is_known_of_emulators()
                draft = self.folder / "uuid.part"
                draft.write_text(f"{uuid.uuid4()}\n")
                draft.rename(self.folder / "uuid")

    def start(self) -> None:
        """Start its daemon, if it is not running yet.

        If the daemon was started for a folder that has since been replaced by another, from a backup for instance, it
        is ended first: it would go on with definitions that no longer exist. Its guests survive that.

        Raises:
            HostTrouble: it does not start, or was ended for good.
        """
        if self._find_daemon() is not None:
            return
        if self.is_ended:
            raise HostTrouble(
                _("The hypervisor instance {name} was ended.").format(name=self.folder.name),
                _("Make it again: lab.neighbour()."),
            )
        try:
            with self._alone():
                if self._find_daemon() is None:
                    self._end_processes(daemons_only=True)
                    self._prepare()
                    self._run_daemon()
        except OSError as error:  # its folder may be going just now, or the host's disk is full
            raise HostTrouble(
                _("The hypervisor instance {name} cannot be prepared: {why}.").format(
                    name=self.folder.name, why=error.strerror or error
                ),
                _("Type ./lab doctor: it says what is missing."),
            ) from error

    def _find_daemon(self) -> int | None:
        """The process id of its daemon, if that was started for the present folder; else None."""
        with contextlib.suppress(FileNotFoundError):
            if self._mark.read_text() != self._identity:
                return None
        return self.daemon_pid()

    def daemon_pid(self) -> int | None:
        """Return the process id of its daemon, or None if nobody listens."""
        import struct

        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(str(self.socket))
            peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            return int(struct.unpack("3i", peer)[0])
        return None

    def processes(self) -> list[psutil.Process]:
        """Return the processes of its daemons and guests."""
        return [process for process in psutil.process_iter(["name", "cmdline"]) if self._owns(process)]

    def end(self) -> None:
        """End its daemons and guests and remove its folders. It may be called again.

        Raises:
            HostTrouble: something cannot be ended or removed.
        """
        if not self.folder.exists():
            return
        with self._alone():
            (self.folder / "uuid").unlink(missing_ok=True)
            self.end_running()
            shutil.rmtree(self.folder)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()  # fails if there are others

    def end_running(self) -> None:
        """End its daemons and guests, and remove what is outside its folder, which may be gone. It may be called again.

        Raises:
            HostTrouble: something cannot be ended.
        """
        self._end_processes(daemons_only=False)
        self._short.unlink(missing_ok=True)
        shutil.rmtree(self.runtime, ignore_errors=True)

    # --- inside -----------------------------------------------------------------------------------

    def _end_processes(self, *, daemons_only: bool) -> None:
        # Daemons first, so that nothing is started meanwhile.
        found = sorted(self.processes(), key=lambda each: each.info["name"] not in _DAEMONS)
        chosen = [process for process in found if not daemons_only or process.info["name"] in _PROGRAMS]
        for process in chosen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        _gone, alive = psutil.wait_procs(chosen if daemons_only else self.processes(), timeout=_ENDS_WITHIN)
        if alive:
            raise HostTrouble(
                _("Processes of {name} do not end: {pids}.").format(
                    name=self.folder.name, pids=", ".join(str(process.pid) for process in alive)
                ),
                _("Look at them with ps, then do it again."),
            )

    @property
    def _mark(self) -> Path:
        """The file that records which folder the daemon was started for."""
        return self.runtime / "folder"

    @property
    def _identity(self) -> str:
        """What distinguishes its folder from another one at the same path."""
        info = (self.folder / "uuid").stat()
        return f"{info.st_dev} {info.st_ino} {info.st_ctime_ns}\n"

    @property
    def _short(self) -> Path:
        top = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
        return top / f"n{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:5]}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold its lock, so that two kernels do not start or end it at once."""
        with open(os.open(self.folder / "lock", _LOCKING, 0o600), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _prepare(self) -> None:
        for name in ("config", "data", "cache"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        self.runtime.mkdir(mode=0o700, exist_ok=True)
        if not self._short.is_symlink():
            self._short.symlink_to(self.folder / "config")
        self._mark.write_text(self._identity)
        (self.folder / "daemon.conf").write_text(f'host_uuid = "{self.host_id}"\n')

    def _copy_what_is_known_of_emulators(self) -> None:
        """Copy libvirt's cache: without it the daemon asks every emulator again, which takes seconds."""
        top = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        with contextlib.suppress(OSError, shutil.Error):
            known = Path("libvirt/qemu/capabilities")
            shutil.copytree(top / known, self.folder / "cache" / known, dirs_exist_ok=True)

    def _run_daemon(self) -> None:
        name, program = _find_program()
        argv = [program, "--daemon", "--timeout", str(IDLE), "--config", str(self.folder / "daemon.conf")]
        environment = {
            **os.environ,
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_CONFIG_HOME": str(self._short),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }
        try:
            done = subprocess.run(
                argv,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_STARTS_WITHIN,
                check=False,
                text=True,
            )
            words = done.stderr if done.returncode else ""
        except subprocess.TimeoutExpired:
            words = name
        except OSError as error:
            words = str(error)
        if words or self.daemon_pid() is None:
            raise HostTrouble(
                _("The hypervisor instance {name} does not start.").format(name=self.folder.name),
                _("Type ./lab doctor: it says what is missing."),
                details=f"$ {' '.join(argv)}\n{words}",
            )

    def _owns(self, process: psutil.Process) -> bool:
        name = process.info["name"] or ""
        if name not in _DAEMONS and not name.startswith("qemu-system"):
            return False
        if any(str(self._short) in argument for argument in process.info["cmdline"] or ()):
            return True
        try:
            return process.environ().get("XDG_RUNTIME_DIR") == str(self.runtime)
        except psutil.Error:
            return False


def find_instances(folder: Path) -> list[Instance]:
    """Return the instances kept in a folder, sorted by name."""
    return [Instance(folder=path.parent) for path in sorted(folder.glob("*/uuid"))]


def _find_program() -> tuple[str, str]:
    """Return the name and path of the daemon's program: the one for all drivers, or QEMU's own."""
    for name in _PROGRAMS:
        for place in (shutil.which(name), f"/usr/sbin/{name}"):
            if place and os.access(place, os.X_OK):
                return name, place
    raise HostTrouble(_("The hypervisor's daemon is not installed."), _("Type ./lab setup."))
