"""The lab's record: `record.json` in its folder, updated with each act.

It is written whole or not at all, before an act is removed from the journal. So what an act deleted on purpose is no
longer in the record when the act has ended, and what vanished otherwise still is.
Knows: the file, whom to ask. Must not know: how steps are done, how a machine is brought back (`returning.py`).
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from labkit.engine.boot_files import keep_boot_files
from labkit.engine.instances import SESSION, Instances
from labkit.engine.journal import read_entries
from labkit.engine.older import put_aside_older
from labkit.engine.record_file import read_record, read_version, read_writer, record_file, write_record
from labkit.engine.saved_memory import drop_stale, keep_saved
from labkit.engine.workspace import Workspace
from labkit.errors import HostTrouble, LabError
from labkit.language import _
from labkit.model.disk import disk_name
from labkit.model.image import Allocation
from labkit.model.record import (
    LabRecord,
    LostSnapshot,
    MachineRecord,
    MadeFor,
    update_record,
)
from labkit.model.state import LabState
from labkit.plans.plan import Plan
from labkit.plans.steps import Step, UndefineMachine
from labkit.storage.files import host_errors, list_files, open_lock
from labkit.storage.whole_files import free_name


class Recorder:
    """Keeps the record of one lab.

    Args:
        instances: the lab's hypervisor instances, seen from the one that acts are carried out on.
    """

    def __init__(self, workspace: Workspace, instances: Instances) -> None:
        self.workspace = workspace
        self.instances = instances
        self._seen: object = None
        self._version = read_version(workspace.home)
        self._told: list[str] = []

    @functools.cached_property
    def writer(self) -> str:
        """The id of the record's writer here, see `read_writer`."""
        return read_writer(self.workspace.locks, self.instances.session_uri)

    def read(self) -> LabRecord:
        """Return the record; an empty one if there is none.

        Raises:
            HostTrouble: it cannot be read.
        """
        home = self.workspace.home
        return read_record(home) or LabRecord(lab_id=self.workspace.id, home=str(home))

    def read_or_set_aside(self) -> tuple[LabRecord, str]:
        """Return the record, and "" or a sentence that it could not be read: then it is renamed and a new one begun."""
        try:
            return self.read(), ""
        except HostTrouble as trouble:
            path = record_file(self.workspace.home)
            aside = free_name(path, "unreadable")
            with host_errors(path):
                path.rename(aside)
            told = _("{trouble} It is kept as {name}, and made again from what the hypervisor knows.")
            return self.read(), told.format(trouble=trouble.message, name=aside.name)

    def notice_exchanged_folder(self) -> list[str]:
        """Return a sentence for each machine of which the folder's record and the hypervisor now tell different things.

        The folder may be exchanged for an older or newer one while the lab is open. Its record is put aside before it
        is written over, as when a lab is opened (`older.py`).
        """
        if self._version != read_version(self.workspace.home):
            with contextlib.suppress(LabError), self.locked():
                self._put_exchanged_aside()
        told, self._told = self._told, []
        return told

    def _put_exchanged_aside(self) -> None:
        """Put the record aside if it is not the one last seen here; the record's lock is held."""
        version = read_version(self.workspace.home)
        if version != self._version:
            connection = self.instances.domains(SESSION).connection
            self._told += put_aside_older(self.workspace, connection, beside=True)
            self._version = version

    def note(
        self,
        own: Iterable[str] = (),
        *,
        entry: Path | None = None,
        whole_lab: bool = False,
        removed: frozenset[str] = frozenset(),
        steps: Iterable[Step] = (),
    ) -> None:
        """Write what the hypervisor knows now into the record.

        Args:
            own: the machines of the act that ends now. entry: its file in the journal.
            whole_lab: whether it was about the whole lab.
            removed: the ids of the machines that it removed from the hypervisor. steps: all that it has done.

        Raises:
            LabError: the record cannot be read or written, or no hypervisor answers.
        """
        from labkit.hypervisor.recording import is_same_snapshot

        with self.locked():
            self._put_exchanged_aside()
            old, _sentence = self.read_or_set_aside()
            names = frozenset(own)
            if whole_lab:
                names |= {machine.name for machine in old.machines}
                removed |= {machine.id for machine in old.machines}
            found, asked = self._ask(old)
            others, unfinished = self._find_others(entry)
            new = update_record(
                old, found, asked=asked, own=names, others=others, removed=removed, same=is_same_snapshot
            )
            new = replace(new, lab_id=self.workspace.id, writer=self.writer)
            new = self._with_allocations(self._with_images(new, unfinished), steps)
            if new != old:
                write_record(self.workspace.home, new)
                with host_errors(self.workspace.home):
                    keep_boot_files(self.workspace.home, new)
                    drop_stale(self.workspace.home, new.machines)
            self._version = read_version(self.workspace.home)

    def note_act(self, plan: Plan, entry: Path, *, taken_back: bool = False) -> bool:
        """Call `note` for an act that is done but still in the journal.

        Args:
            taken_back: whether the act was taken back: then it has removed nothing, and what is missing vanished
                otherwise.

        Returns:
            Whether the act may be removed from the journal. If the record could not be written it stays and is ended
            once more; otherwise what it deleted on purpose would come back.
        """
        try:
            if taken_back:
                self.note(entry=entry)
            else:
                gone = frozenset(step.machine_id for step in plan.steps if isinstance(step, UndefineMachine))
                self.note(plan.names, entry=entry, whole_lab=plan.whole_lab, removed=gone, steps=plan.steps)
        except LabError:
            return plan.commit_point is None
        return True

    def note_quietly(self) -> None:
        """Call `note` after a change that is not an act; if that fails, the next act does it."""
        with contextlib.suppress(LabError):
            self.note()

    def note_if_changed(self, state: LabState) -> None:
        """Call `note` if what the hypervisors know has changed since it was last read here."""
        seen = ({name: each.spec for name, each in state.everywhere.items()}, state.every_tree)
        if seen != self._seen:
            with contextlib.suppress(LabError):  # a full disk: the act will say so itself
                self.note()
                self._seen = seen

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the record's lock, so that two kernels do not write it at once."""
        place = self.workspace.locks / ".record"
        with host_errors(place), open_lock(place) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _ask(self, old: LabRecord) -> tuple[dict[str, MachineRecord], frozenset[str]]:
        """What the instances know, and the ids of the old record's machines that they were asked about."""
        from labkit.hypervisor.recording import read_machines, with_uri

        found: dict[str, MachineRecord] = {}
        reached = set()
        for name in {SESSION, self.instances.own, *self.instances.names()}:
            with contextlib.suppress(LabError):
                connection = self.instances.domains(name).connection
                machines = read_machines(connection, self.workspace.id)
                before = {id_: old.find(id_) for id_ in machines}
                machines = keep_saved(self.workspace.home, connection, machines, before)
                uri = self.instances.session_uri
                found |= {id_: with_uri(machine, instance=name, uri=uri) for id_, machine in machines.items()}
                reached.add(name)
        here = self.instances.session_uri
        asked = (each for each in old.machines if each.instance in reached and each.uri in ("", here))
        return found, frozenset(each.id for each in asked) | (found.keys() & {each.id for each in old.machines})

    def _find_others(self, own: Path | None) -> tuple[frozenset[str], frozenset[str]]:
        """The machines that other acts in the journal are about, and the files that they make."""
        entries = read_entries(self.workspace.journal, but=own)
        names = frozenset(name for entry in entries for name in entry.plan.names)
        return names, frozenset(path for entry in entries for path in entry.plan.files.created)

    def _with_images(self, record: LabRecord, unfinished: frozenset[str]) -> LabRecord:
        """The record with what the images in the folder were made for, without images that are gone."""
        files = [path for path in list_files(self.workspace.disks) if path not in unfinished]
        there = {self._within(path) for path in files}
        made: dict[str, MadeFor] = {name: each for name, each in record.made.items() if name in there}
        for path, each in self._owners(record).items():
            if self._within(path) in there:
                made.setdefault(self._within(path), each)
        for path in files:
            made.setdefault(self._within(path), MadeFor(disk=disk_name(path)))
        lost = tuple(each for each in record.lost if self._has_images(each))
        return replace(record, made=dict(sorted(made.items())), lost=lost)

    def _with_allocations(self, record: LabRecord, steps: Iterable[Step]) -> LabRecord:
        """The record with how the images were made that an act has just made: their formats may not tell."""
        known = {path: each.allocation for path, each in record.made.items()}
        for step in steps:
            for path, given in step.allocations.items():
                made_so = given if isinstance(given, Allocation) else self._as(given, known)
                known[self._within(path)] = made_so or known.get(self._within(path))
        made = {path: replace(each, allocation=known[path]) for path, each in record.made.items()}
        return replace(record, made=made)

    def _as(self, path: str, known: Mapping[str, Allocation | None]) -> Allocation | None:
        """How another image was made, as far as that is known: those of guest images are dynamic."""
        return Allocation.DYNAMIC if self.workspace.images in Path(path).parents else known.get(self._within(path))

    def _owners(self, record: LabRecord) -> Mapping[str, MadeFor]:
        from labkit.hypervisor.recording import find_lost_images

        owners: dict[str, MadeFor] = {}
        for machine in record.machines:
            for path, point in find_lost_images(machine).items():
                owners.setdefault(path, MadeFor(disk=point.disk, machine_id=machine.id, machine=machine.name))
        return owners

    def _has_images(self, lost: LostSnapshot) -> bool:
        from labkit.hypervisor.recording import find_lost_points

        return any(os.path.lexists(path) for path in find_lost_points(lost))

    def _within(self, path: str) -> str:
        return path.removeprefix(f"{self.workspace.home}{os.sep}")
