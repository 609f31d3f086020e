"""The list of the guests that run on this computer, for other computers that see the same lab (lease.py).

A machine is listed before it can run, and struck out only when both the hypervisor and the process table show that it
is off here. A list with too many names costs a question; one with too few could cost a disk.

Knows: the lease's files, processes of this computer. Must not know: the hypervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psutil

from labkit.engine import lease_files
from labkit.engine.computer import Computer
from labkit.engine.lease_files import GuestMark
from labkit.engine.locks import is_locked, lab_lock
from labkit.hypervisor.process import find_pid
from labkit.storage.files import host_errors


class GuestList:
    """The guests of one lab on this computer, since the computer's last start."""

    def __init__(self, folder: Path, computer: Computer) -> None:
        self.folder = folder
        self.computer = computer

    def listed(self) -> list[GuestMark]:
        """Return the listed guests."""
        found = lease_files.read_guests(self.folder)
        return [mark for _path, computer, marks in found if computer.boot == self.computer.boot for mark in marks]

    def expect(self, machines: Iterable[tuple[str, str]]) -> None:
        """List machines, given by id and name, before they may run."""
        with lab_lock(self.folder / "lease"), host_errors(self.folder):
            listed = {mark.id: mark for mark in self.listed()}
            fresh = {id_: GuestMark(id=id_, name=name, pid=None) for id_, name in machines if id_ not in listed}
            self._write(listed, [*listed.values(), *fresh.values()])

    def note(self, machine_id: str, name: str, *, runs: bool) -> None:
        """List a machine that runs, with its process, or strike out one that is off."""
        with lab_lock(self.folder / "lease"), host_errors(self.folder):
            listed = {mark.id: mark for mark in self.listed()}
            marks = [mark for id_, mark in listed.items() if id_ != machine_id]
            if runs or find_pid(machine_id) is not None:
                marks.append(_mark(machine_id, name, listed.get(machine_id)))
            self._write(listed, marks)

    def update(self, find_guests: Callable[[], Mapping[str, str]]) -> None:
        """List all machines that run, and strike out those that are off.

        Args:
            find_guests: returns the names of the lab's running machines by id.
        """
        with lab_lock(self.folder / "lease"), host_errors(self.folder):
            listed = {mark.id: mark for mark in self.listed()}
            running = find_guests()
            marks = [_mark(id_, name, listed.get(id_)) for id_, name in running.items()]
            marks += [mark for id_, mark in listed.items() if id_ not in running and self._may_run(mark)]
            self._write(listed, marks)

    def _write(self, before: Mapping[str, GuestMark], marks: list[GuestMark]) -> None:
        if {mark.id: mark for mark in marks} != before:
            lease_files.write_guests(self.folder, self.computer, marks)

    def _may_run(self, mark: GuestMark) -> bool:
        """Whether a guest that the hypervisor takes for off is just being started, or runs out of its reach."""
        return is_locked(self.folder, mark.name) or find_pid(mark.id) is not None


def _mark(machine_id: str, name: str, known: GuestMark | None) -> GuestMark:
    if known is not None and known.pid is not None and psutil.pid_exists(known.pid) and known.name == name:
        return known
    return GuestMark(id=machine_id, name=name, pid=find_pid(machine_id))
