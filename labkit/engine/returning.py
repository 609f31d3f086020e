"""Bringing back machines that the hypervisor has forgotten: they are defined again from the lab's record.

The reason may be a new or lost configuration of libvirt, a folder carried to another computer, or a backup. For a
machine that the hypervisor knows, its word counts, unless the lab was worked on elsewhere since.
Knows: the rooms below. Must not know: how the record is kept, plans.
"""

from __future__ import annotations

import os
from dataclasses import replace

from labkit.engine.boot_files import bring_boot_files
from labkit.engine.host import choose_accelerator
from labkit.engine.instances import SESSION, Instances
from labkit.engine.journal import Entry, find_unfinished, read_entries
from labkit.engine.locks import find_busy, lab_lock
from labkit.engine.record import Recorder
from labkit.engine.record_file import keep_aside, write_record
from labkit.engine.saved_memory import give_back
from labkit.engine.workspace import Workspace
from labkit.errors import HostTrouble, LabError
from labkit.hypervisor.domain_xml import parse_domain_xml
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.process import find_pid
from labkit.hypervisor.record_trust import is_readable, why_not_trust
from labkit.hypervisor.record_xml import accelerate, settle_in
from labkit.hypervisor.recording import define_again, is_alike, read_domains, read_machines, read_saved
from labkit.language import _, ngettext
from labkit.model.machine import Accelerator
from labkit.model.record import LabRecord, MachineRecord
from labkit.plans.steps import DropRecords, EndInstance, MigrateMachine, UndefineMachine
from labkit.storage.files import host_errors
from labkit.storage.headers import read_folder


def _removed_by(entry: Entry) -> set[str]:
    """The ids of the machines that an act removes from this hypervisor on purpose."""
    going = UndefineMachine | MigrateMachine | EndInstance | DropRecords
    return {getattr(step, "machine_id", "") for step in entry.plan.steps if isinstance(step, going)}


class Returning:
    """Brings back what the hypervisor of one lab has forgotten."""

    def __init__(self, workspace: Workspace, domains: Domains, instances: Instances, recorder: Recorder) -> None:
        self.workspace = workspace
        self.domains = domains
        self.instances = instances
        self.recorder = recorder

    def bring_back_what_is_missing(self) -> list[str]:
        """Define the machines that only the record knows, under the lab's lock; returns a sentence for each.

        If there is no such machine no lock is taken.
        """
        if self.instances.own != SESSION:
            return []
        told: list[str] = []
        try:
            record = self.recorder.read()
        except HostTrouble:
            with self.recorder.locked():
                record, sentence = self.recorder.read_or_set_aside()
            told += [sentence] if sentence else []
        if self._is_of_others(record):
            with lab_lock(self.workspace.locks):
                told += self._let_go_of_older()
        if self._find_missing(record):
            with lab_lock(self.workspace.locks):
                told += self._bring_back()
        return told

    def _is_of_others(self, record: LabRecord) -> bool:
        """Whether the record was last written beside other definitions than those of this hypervisor."""
        return bool(record.machines) and record.writer not in ("", self.recorder.writer)

    def _let_go_of_older(self) -> list[str]:
        """Undefine machines whose definitions here are older than the record, since the lab was worked on elsewhere.

        What this hypervisor knew of them is kept in a file beside the record.
        """
        with self.recorder.locked():
            record = self.recorder.read()
            if not self._is_of_others(record):
                return []
            here = read_machines(self.domains.connection, self.workspace.id)
            older = [here[each.id] for each in record.machines if each.id in here and not is_alike(each, here[each.id])]
            if not older:
                return []
            keep_aside(self.workspace.home, replace(record, machines=tuple(older), lost=()))
            return [self._let_go(record, each) for each in older]

    def _let_go(self, record: LabRecord, here: MachineRecord) -> str:
        newer = record.find(here.id)
        saved = read_saved(self.domains.connection)
        why = _("it is saved here.") if here.id in saved else self._why_not(self._fit(newer)) if newer else ""
        if why:
            sentence = _("{machine} was changed elsewhere since, and stays as libvirt knows it here: {why}")
            return sentence.format(machine=here.name, why=why)
        self.domains.undefine(here.id)
        return _("{machine} was worked on elsewhere since: the lab's record holds, not what libvirt knew here.").format(
            machine=here.name
        )

    def _bring_back(self) -> list[str]:
        with self.recorder.locked():
            record = self.recorder.read()
            told: list[str] = []
            missing = self._find_missing(record)
            with host_errors(self.workspace.images):
                bring_boot_files(self.workspace.home, self.workspace.images, missing)
            for machine in map(self._fit, missing):
                if why := self._why_not(machine):
                    told.append(
                        _(
                            "{machine} is in the lab's record and not in libvirt, and was not brought back: {why}"
                        ).format(machine=machine.name, why=why)
                    )
                    continue
                record = self._mark(record, machine, returning=True)
                try:
                    define_again(self.domains.connection, machine)
                except LabError as error:
                    self._take_back(machine)
                    record = self._mark(record, machine, returning=False)
                    sentence = _("{machine} could not be brought back from the lab's record: {why}")
                    told.append(sentence.format(machine=machine.name, why=error.message))
                    continue
                saved = give_back(self.workspace.home, self.domains.connection, machine)
                record = self._mark(record, machine, returning=False)
                told.append(self._tell(machine, saved=saved))
            return told

    @staticmethod
    def _tell(machine: MachineRecord, *, saved: bool) -> str:
        count = len(machine.snapshots)
        if saved:
            sentence = ngettext(
                "libvirt did not know {machine}: it came back from the lab's record, saved, with {count} snapshot.",
                "libvirt did not know {machine}: it came back from the lab's record, saved, with {count} snapshots.",
                count,
            )
        else:
            sentence = ngettext(
                "libvirt did not know {machine}: it came back from the lab's record, off, with {count} snapshot.",
                "libvirt did not know {machine}: it came back from the lab's record, off, with {count} snapshots.",
                count,
            )
        told = sentence.format(machine=machine.name, count=count)
        if machine.saved is None or saved:
            return told
        if not machine.saved.in_folder:
            return " ".join((told, _("It had been saved; its memory was not in the lab's folder.")))
        return " ".join((told, _("It had been saved; its memory does not fit its disks or this QEMU, and is kept.")))

    def _find_missing(self, record: LabRecord) -> list[MachineRecord]:
        """The machines that no instance knows, or only in part, since a kernel was killed while bringing them back."""
        if not record.machines:
            return []
        known = set(read_domains(self.domains.connection))
        here = [each for each in record.machines if each.uri in ("", self.instances.session_uri)]
        missing = [each for each in here if each.id not in known or each.returning]
        if missing and not self.instances.is_alone:
            elsewhere = {facts.id for facts in self.instances.read_elsewhere().machines.values()}
            missing = [each for each in missing if each.id not in elsewhere]
        removed = {id_ for entry in read_entries(self.workspace.journal) if entry.ours for id_ in _removed_by(entry)}
        busy = find_busy(self.workspace.locks, [each.name for each in missing])
        return [each for each in missing if each.id not in removed and each.name not in busy]

    def why_not_back(self, name: str) -> str:
        """Return why a recorded machine that libvirt does not know cannot come back, one sentence; "" if it can."""
        try:
            record = self.recorder.read()
        except HostTrouble as trouble:
            return trouble.message
        machine = next((each for each in self._find_missing(record) if each.name == name), None)
        return "" if machine is None else self._why_not(self._fit(machine))

    def find_elsewhere(self) -> list[str]:
        """Return a sentence for each machine that is on another hypervisor according to the record."""
        machines = self.recorder.read().machines
        away = [each for each in machines if not each.instance and each.uri not in ("", self.instances.session_uri)]
        sentence = _("{machine} is on another hypervisor: open the lab there, with Lab.open(uri={uri!r}).")
        known = set(read_domains(self.domains.connection)) if away else set()
        return [sentence.format(machine=each.name, uri=each.uri) for each in away if each.id not in known]

    def _why_not(self, machine: MachineRecord) -> str:
        """Why a machine cannot be brought back, one sentence; "" if nothing is in the way."""
        if (pid := find_pid(machine.id)) is not None:
            return _("it runs (process {pid}), out of this hypervisor's reach.").format(pid=pid)
        if why := why_not_trust(machine, str(self.workspace.home), str(self.workspace.images)):
            return why
        names = {name: id_ for id_, name in read_domains(self.domains.connection).items()}
        if names.get(machine.domain, machine.id) != machine.id:
            return _("another machine has the name {name} now.").format(name=machine.domain)
        spec = parse_domain_xml(machine.xml)
        paths = [disk.path for disk in spec.disks if not disk.served] if spec else []
        if gone := [os.path.basename(path) for path in paths if not os.path.lexists(path)]:
            return _("its image {name} is not there.").format(name=gone[0])
        machines = {**self.instances.read_elsewhere().machines, **self.domains.read_all(self.workspace.id)[0]}
        users = [facts for facts in machines.values() if facts.id != machine.id]
        used = {disk.path: facts.name for facts in users for disk in facts.spec.disks}
        begun = find_unfinished(read_entries(self.workspace.journal))  # files that an interrupted act was making
        above = [image for path, image in read_folder(self.workspace.disks).items() if path not in begun]
        used |= {image.backing: os.path.basename(image.path) for image in above if image.backing}
        if taken := [path for path in paths if path in used]:
            return _("its image {name} is used by {other} now.").format(
                name=os.path.basename(taken[0]), other=used[taken[0]]
            )
        return ""

    def _fit(self, machine: MachineRecord) -> MachineRecord:
        """A machine adapted to this computer: the folder of its kernels, its accelerator."""
        if not is_readable(machine):
            return machine
        spec = parse_domain_xml(machine.xml)
        if spec is not None and spec.accelerator is Accelerator.KVM:
            machine = accelerate(machine, choose_accelerator(self.workspace.images).accelerator)
        return settle_in(machine, images=self.workspace.images)

    def _mark(self, record: LabRecord, machine: MachineRecord, *, returning: bool) -> LabRecord:
        marked = replace(machine, returning=returning, instance=SESSION, uri=self.instances.session_uri)
        machines = tuple(marked if each.id == machine.id else each for each in record.machines)
        record = replace(record, machines=machines)
        write_record(self.workspace.home, record)
        return record

    def _take_back(self, machine: MachineRecord) -> None:
        """Undefine a machine of which libvirt accepted a part before it refused the rest; the record still has it."""
        try:
            self.domains.undefine(machine.id)
        except LabError:
            return  # it accepted nothing
