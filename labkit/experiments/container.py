"""`Container`: an isolated system on the existing kernel, with namespaces and a folder of its own but no machine.

    with Container("box") as box:
        box.run("hostname; uname -r")

An ordinary user makes it with `unshare` and `chroot` from the host's static busybox. If the host does not let users
make namespaces, it is made inside a guest instead, if one is offered.
Knows: Linux's namespaces, busybox. Must not know: labs, hypervisors.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from labkit.errors import HostTrouble
from labkit.experiments.given import check_command, check_machine
from labkit.language import _
from labkit.model.inside import CommandResult
from labkit.units import check_name

if TYPE_CHECKING:
    from labkit.machine import Machine

_LIMIT = 60.0
"""Seconds a command may take."""

_OWN = ("--mount", "--uts", "--ipc", "--net", "--pid", "--fork")
"""The namespaces of a container: mounts, host name, IPC, network, process ids."""

_ON_HOST = ("unshare", "--user", "--map-root-user", *_OWN, "--kill-child")
_IN_GUEST = ("unshare", "-m", "-u", "-i", "-n", "-p", "-f")

_INSIDE = 'hostname "$1" && exec sh -c "$2"'  # through /proc only the host's root may set the name
_ENTER = f'mount -t proc proc "$2/proc" && exec chroot "$2" /bin/sh -c \'{_INSIDE}\' sh "$1" "$3"'
_ENTER_IN_GUEST = 'mount -t proc proc /proc && echo "$1" >/proc/sys/kernel/hostname && exec sh -c "$2"'


class Container:
    """A container. It exists inside a `with` block, and has processes only while commands run.

    Args:
        name: its host name.
        spare: a running machine; if the host cannot make a container, one inside this guest takes its place.
    """

    def __init__(self, name: str, *, spare: Machine | None = None) -> None:
        self.name = check_name(name, what=_("container"))
        if spare is not None:
            check_machine(spare, "spare")
        self._spare = spare
        self._folder: Path | None = None
        self._inside_guest = False

    def __enter__(self) -> Self:
        """Make it.

        Raises:
            HostTrouble: the host cannot make one, and no machine was offered.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="labkit-container-"))
        try:
            self._fill(self._folder)
            self._try()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._remove()

    @property
    def outside(self) -> OutsideContainer:
        """The system whose kernel it runs on: this host, or the guest that it was made in."""
        return OutsideContainer(self._spare if self._inside_guest else None)

    def run(self, command: str) -> CommandResult:
        """Run a line for the shell inside.

        Raises:
            HostTrouble: the container does not exist (any more), or the command did not end. BadInput: it is not a
                command.
        """
        check_command(command)
        if self._inside_guest and self._spare is not None:
            return self._spare.run([*_IN_GUEST, "sh", "-c", _ENTER_IN_GUEST, "sh", self.name, command])
        if self._folder is None:
            raise HostTrouble(_("The container {name} is gone.").format(name=self.name), _("Make it again: with …"))
        return _run([*_ON_HOST, "sh", "-c", _ENTER, "sh", self.name, str(self._folder), command])

    def _try(self) -> None:
        tried = self.run("true")
        if tried:
            return
        if self._spare is None:
            raise HostTrouble(
                _("This host makes no container: {why}").format(why=tried.stderr.strip()),
                _("It lets no ordinary user make namespaces. Offer a running machine: Container(…, spare=vm)."),
            )
        self._inside_guest = True

    def _fill(self, folder: Path) -> None:
        busybox = shutil.which("busybox")
        if busybox is None:
            raise HostTrouble(_("busybox is missing."), _("Run ./lab setup: it installs what is needed."))
        for name in ("bin", "proc"):
            (folder / name).mkdir()
        shutil.copy(busybox, folder / "bin/busybox")
        for applet in _run([busybox, "--list"]).stdout.split():
            if applet != "busybox":
                (folder / "bin" / applet).symlink_to("busybox")

    def _remove(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    def __repr__(self) -> str:
        return f"Container {self.name!r}"


class OutsideContainer:
    """The system around a container."""

    def __init__(self, guest: Machine | None) -> None:
        self._guest = guest

    def run(self, command: str) -> CommandResult:
        """Run a line for the shell there."""
        check_command(command)
        return self._guest.run(command) if self._guest is not None else _run(["sh", "-c", command])


def _run(argv: list[str]) -> CommandResult:
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        return CommandResult(stdout="", stderr=_("{program} is missing.").format(program=argv[0]), exit_code=127)
    except subprocess.TimeoutExpired as error:
        raise HostTrouble(
            _("{program} has not ended within {seconds:g} s.").format(program=argv[0], seconds=_LIMIT),
            _("Give the container a command that ends."),
        ) from error
    return CommandResult(stdout=done.stdout, stderr=done.stderr, exit_code=done.returncode)
