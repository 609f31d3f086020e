"""Whose a lab is, if two computers see its folder (NFS, a cluster): only one computer at a time may act and switch.

Locks do not always show what another computer does, and its hypervisor cannot be asked. So a lab belongs to one start
of one computer, identified by its boot id; if that is the same, nothing is asked. Another computer takes the lab by
itself when no kernel there has it open (no counter has changed for `DEAD_AFTER` seconds of *our* clock; clocks of
computers are never compared) and no guest is listed there. A guest's entry never expires: only a labkit on that
computer removes it, when it sees that the guest is off. While guests are listed, only a command that names them takes
the lab over.

After a restart the same computer has another boot id; everything that ran before has ended, and is treated so.

Knows: the lease's files, processes of this computer. Must not know: plans, what is done under it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from labkit.engine import lease_files
from labkit.engine.computer import Computer, read_computer
from labkit.engine.guest_list import GuestList
from labkit.engine.lease_files import GuestMark, KernelMark
from labkit.errors import Busy, LabError
from labkit.hypervisor.process import find_pid
from labkit.language import _
from labkit.storage.files import host_errors

RENEWED_EVERY = 10.0
"""Seconds between two signs of life that a kernel gives."""

DEAD_AFTER = 60.0
"""Seconds of the reader's own clock without a sign of life after which a kernel counts as dead."""

SETTLES = 2.0
"""Seconds after which it is checked again that a lab taken from another computer is still ours."""

_LOOK = 0.5  # seconds between two looks at the signs of others
_SAME_START = 2.0  # seconds: by how much two readings of one process's start time may differ


class Lease:
    """A lab's lease as this process sees it.

    Args:
        locks: the folder of the lab's locks. computer: this computer; None: read from the system.
        clock: returns seconds since some instant, on this computer only.

    Attributes:
        guests: those that run on this computer.
    """

    def __init__(
        self, locks: Path, computer: Computer | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = locks
        self._clock = clock
        self.computer = computer or read_computer()
        self.guests = GuestList(locks, self.computer)
        self._watched: dict[Path, tuple[int, float]] = {}
        self._counter = 0
        self._users = 0
        self._stop = threading.Event()

    # --- whose it is ------------------------------------------------------------------------------

    @property
    def is_ours(self) -> bool:
        """Whether the lab is this computer's now."""
        holder = lease_files.read_holder(self.folder)
        return holder is not None and holder.boot == self.computer.boot

    def require(self) -> None:
        """Make sure that the lab is this computer's; take it if it is nobody's any more.

        Raises:
            Busy: another computer has it; the message names it and its guests.
        """
        if self.is_ours:
            return
        if why := self.why_not_take():
            raise Busy(
                why,
                _("Close the lab there. If that is not possible: ./lab run labkit lab take-over {lab}").format(
                    lab=self.folder.parent.name
                ),
            )
        self._take()

    def why_not_take(self) -> str | None:
        """Return why the lab cannot be taken without a command, or None if it is ours, or nobody's any more."""
        if self.is_ours:
            return None
        guests = [f"{mark.name} ({computer.name}, {mark.pid or '?'})" for computer, mark in self._guests_of_others()]
        if guests:
            return _("The lab is another computer's, and guests run there (name, computer, process): {guests}.").format(
                guests=", ".join(guests)
            )
        living = [kernel for kernel in self._kernels_of_holder() if self._lives(kernel)]
        if living:
            return _(
                "The lab is open on another computer, {name}. Once it is closed there, this is noticed here after "
                "{seconds:.0f} s."
            ).format(name=living[0].computer.name, seconds=DEAD_AFTER)
        return None

    def take_over(self) -> tuple[str, ...]:
        """Take the lab although guests of another computer are listed; returns their names. Only call it on request.

        It waits up to `DEAD_AFTER` seconds to be sure that no kernel there gives signs of life.

        Raises:
            Busy: a kernel there gives signs of life.
        """
        first = {kernel.path: kernel.counter for kernel in self._kernels_of_holder()}
        while living := [kernel for kernel in self._kernels_of_holder() if self._lives(kernel)]:
            here = self._was_here(living[0].computer)
            if here or any(kernel.counter != first.get(kernel.path) for kernel in living):
                raise Busy(
                    _("The lab is open on another computer, {name}, which gives signs of life.").format(
                        name=living[0].computer.name
                    ),
                    _("Close it there: restart its kernels."),
                )
            time.sleep(_LOOK)
        names = tuple(mark.name for _computer, mark in self._guests_of_others())
        if not self.is_ours:
            self._take()
        self._forget_guests_of_others()
        return names

    def _forget_guests_of_others(self) -> None:
        for path, computer, _marks in lease_files.read_guests(self.folder):
            if computer.boot != self.computer.boot:
                path.unlink(missing_ok=True)

    def _take(self) -> None:
        holder, left = lease_files.read_holder(self.folder), self._kernels_of_holder()
        with host_errors(self.folder):
            if holder is not None:
                lease_files.remove_holder(self.folder, holder)
            lease_files.make_holder(self.folder, self.computer)
            if holder is not None and holder.id != self.computer.id:
                time.sleep(SETTLES)  # another computer may have come to the same conclusion at the same time
            if not self.is_ours:
                raise Busy(_("Another computer has just taken this lab."), _("Open it again to see which."))
            for kernel in left:
                kernel.path.unlink(missing_ok=True)
            self._forget_guests_of_others()

    # --- who else there is ------------------------------------------------------------------------

    def guests_elsewhere(self) -> Mapping[str, tuple[str, int | None]]:
        """Return the guests that run on other computers: the computer's name and the process id, by machine id."""
        return {mark.id: (computer.name, mark.pid) for computer, mark in self._guests_of_others()}

    def _guests_of_others(self) -> list[tuple[Computer, GuestMark]]:
        """The guests listed for other computers, without those of this computer before its restart that are off."""
        found = []
        for _path, computer, marks in lease_files.read_guests(self.folder):
            if computer.boot != self.computer.boot:
                here = self._was_here(computer)
                found += [(computer, mark) for mark in marks if not here or find_pid(mark.id) is not None]
        return found

    def _kernels_of_holder(self) -> list[KernelMark]:
        """The kernels of the other computer that has the lab; those of a third computer are only readers, like us."""
        holder = lease_files.read_holder(self.folder)
        if holder is None or holder.boot == self.computer.boot:
            return []
        return [kernel for kernel in lease_files.read_kernels(self.folder) if kernel.computer.boot == holder.boot]

    def _was_here(self, computer: Computer) -> bool:
        """Whether a mark is of this computer, before its restart."""
        return computer.id != "" and computer.id == self.computer.id

    def _lives(self, kernel: KernelMark) -> bool:
        """Whether a kernel of another start may be alive: by its process here, or by a counter that has changed."""
        if self._was_here(kernel.computer):
            return _runs(kernel)
        now = self._clock()
        counter, since = self._watched.setdefault(kernel.path, (kernel.counter, now))
        if counter != kernel.counter:
            self._watched[kernel.path] = (kernel.counter, now)
            return True
        return now - since < DEAD_AFTER

    # --- signs of life ----------------------------------------------------------------------------

    def join(self, find_guests: Callable[[], Mapping[str, str]]) -> str | None:
        """Give signs of life from now on; returns why the lab is not ours, or None if it is.

        Args:
            find_guests: returns the names of the lab's running machines by id.
        """
        self._users += 1
        if self._users == 1:
            self._stop = threading.Event()
            self._give_sign()
            arguments = (self._stop, find_guests)
            threading.Thread(target=self._renew, args=arguments, name="labkit-lease", daemon=True).start()
        try:
            self.require()
            self.guests.update(find_guests)
        except LabError as error:
            return f"{error.message} {error.hint}"
        return None

    def is_available(self) -> bool:
        """Return whether the lab is ours, after taking it if it is nobody's any more."""
        try:
            self.require()
        except LabError:
            return False
        return True

    def leave(self, find_guests: Callable[[], Mapping[str, str]]) -> None:
        """Stop giving signs of life; the last kernel on this computer gives the lab back if no guest runs."""
        with contextlib.suppress(LabError):  # the daemon is away: listed guests stay listed
            if self.is_ours and self.guests.listed():
                self.guests.update(find_guests)
        self._users -= 1
        if self._users > 0:
            return
        self._stop.set()
        with contextlib.suppress(OSError):
            _kernel_file(self.folder, self.computer).unlink(missing_ok=True)
            self._bury()
            kernels = (kernel for kernel in lease_files.read_kernels(self.folder))
            ours = [kernel for kernel in kernels if kernel.computer.boot == self.computer.boot]
            if not ours and not self.guests.listed() and self.is_ours:
                lease_files.remove_holder(self.folder, self.computer)

    def _renew(self, stop: threading.Event, find_guests: Callable[[], Mapping[str, str]]) -> None:
        while not stop.wait(RENEWED_EVERY):
            with contextlib.suppress(Exception):  # the folder is gone or the daemon away: try again next time
                if not self.folder.is_dir():
                    return
                self._give_sign()
                for kernel in self._kernels_of_holder():
                    self._lives(kernel)
                if self.is_ours:
                    self.guests.update(find_guests)

    def _give_sign(self) -> None:
        self._counter += 1
        started = psutil.Process().create_time()
        with contextlib.suppress(OSError):  # the folder cannot be written: acts will report that
            lease_files.write_kernel(
                self.folder, self.computer, pid=os.getpid(), started=started, counter=self._counter
            )

    def _bury(self) -> None:
        """Remove the files of this computer's kernels that were killed."""
        for kernel in lease_files.read_kernels(self.folder):
            if kernel.computer.boot == self.computer.boot and not _runs(kernel):
                kernel.path.unlink(missing_ok=True)


def _runs(kernel: KernelMark) -> bool:
    """Whether a kernel's process runs here, and is not a later one with the same id."""
    with contextlib.suppress(psutil.Error):
        return abs(psutil.Process(kernel.pid).create_time() - kernel.started) < _SAME_START
    return False


def _kernel_file(folder: Path, computer: Computer) -> Path:
    return folder / f"{computer.boot}.{os.getpid()}.kernel"


_leases: dict[tuple[int, Path], Lease] = {}
_leases_lock = threading.Lock()


def lease_of(locks: Path) -> Lease:
    """Return the one lease that this process has of the lab with this folder of locks."""
    key = os.getpid(), locks
    with _leases_lock:
        if key not in _leases:
            _leases[key] = Lease(locks)
        return _leases[key]
