"""`Machine`: one machine of a lab, as students use it. It holds no state: it reads again for every question.

Switching a guest (start, stop, pause …) is one call, made if no `why_not_…` objects (`engine/switching.py`); changing
its definition or its files is an act with a plan (`labkit/acts/`).

Knows: its handle, the acts. Must not know: libvirt's calls, widgets, how a guest is switched.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.acts import clone as clone_acts
from labkit.acts import machine as machine_acts
from labkit.acts import travel as travel_acts
from labkit.acts.act import act, planned_by, tell_remarks
from labkit.acts.names import NamedDisk, name_disk
from labkit.arguments import checked
from labkit.engine import awaiting, inside, resources, starting, switching
from labkit.engine.handle import Handle, SerialConsole
from labkit.engine.progress import OnProgress, of_one_step, watching
from labkit.engine.survey import survey_host
from labkit.errors import LabError
from labkit.language import _
from labkit.model.inside import CommandResult
from labkit.model.machine import MachineFacts, MachineState, Reason
from labkit.model.usage import DiskLimits, GuestProcess
from labkit.model.words import stand_word, under_way
from labkit.plans.plan import Plan
from labkit.plans.steps import DefineClones, MigrateMachine, WriteArchive
from labkit.printing import tell
from labkit.snapshots import Snapshots
from labkit.units import check_choice, parse_size

if TYPE_CHECKING:
    from labkit.lab import Lab


def _after(machine: Machine, plan: Plan, timeout: float | None) -> Machine:
    machine.lab.carry_out(plan, timeout=timeout)
    return machine


def _after_attach(machine: Machine, plan: Plan, timeout: float | None) -> Machine:
    machine.lab.carry_out(plan, timeout=timeout)
    inside.wait_for_device(machine.handle, plan.disks[0])
    return machine


def _after_delete(machine: Machine, plan: Plan, timeout: float | None) -> None:
    machine.lab.carry_out(plan, timeout=timeout)


def _after_clone(machine: Machine, plan: Plan, timeout: float | None) -> Machine | list[Machine]:
    tell_remarks(machine.lab.carry_out(plan, timeout=timeout))
    step = next(step for step in plan.steps if isinstance(step, DefineClones))
    made = [Machine(machine.lab, spec.id, spec.name) for spec in step.specs]
    return made if step.many else made[0]


def _after_migrate(machine: Machine, plan: Plan, timeout: float | None) -> Machine:
    tell_remarks(machine.lab.carry_out(plan, timeout=timeout))
    machine.handle.follow(next(step.to for step in plan.steps if isinstance(step, MigrateMachine)))
    return machine


def _after_export(machine: Machine, plan: Plan, timeout: float | None) -> Path:
    machine.lab.carry_out(plan, timeout=timeout)
    return next(Path(step.target) for step in plan.steps if isinstance(step, WriteArchive))


def _plan_start(
    machine: Machine,
    *,
    warm: bool | None = None,
    timeout: float = 120,  # noqa: ARG001 — used by the call, not by the plan
    cancel: threading.Event | None = None,  # noqa: ARG001
) -> Plan:
    return starting.plan(machine.handle, machine.snapshots.why_not_start, warm=warm)


class Machine:
    """A machine: a definition and disks, as returned by `lab.create(...)` or `lab.machines[name]`."""

    def __init__(self, lab: Lab, machine_id: str, name: str) -> None:
        self._lab = lab
        self._handle = Handle(lab.session, machine_id, name)
        self.id = machine_id

    # --- what it is -------------------------------------------------------------------------------

    @property
    def lab(self) -> Lab:
        """Its lab, as seen from the hypervisor instance that the machine is on."""
        return self._lab.sides[self._handle.session.instances.own]

    @property
    def handle(self) -> Handle:
        """The handle it uses, for code that builds on labkit."""
        return self._handle

    @property
    def facts(self) -> MachineFacts:
        """Everything the machine is now, read afresh, as one value.

        Raises:
            NotFound: it was deleted.
        """
        return self._handle.facts

    @property
    def name(self) -> str:
        """Its name in the lab."""
        return self.facts.name

    @property
    def state(self) -> MachineState:
        """Its state: off, running, paused or saved."""
        return self._handle.state

    @property
    def reason(self) -> Reason:
        """Why it is in that state, as the hypervisor says: booted, shut down, killed, crashed …."""
        return self._handle.reason

    @property
    def memory(self) -> int:
        """Bytes of memory it is defined with."""
        return self.facts.spec.memory

    @property
    def vcpus(self) -> int:
        """Virtual CPUs it is defined with."""
        return self.facts.spec.vcpus

    @property
    def console(self) -> SerialConsole:
        """Its serial console: `tail`, `send`, `expect`."""
        return self._handle.console

    @property
    def process(self) -> GuestProcess | None:
        """Its process on the host, read now; None when it is off or saved."""
        return self._handle.process

    @property
    def definition(self) -> str:
        """Its definition as libvirt keeps it: domain XML, as `virsh dumpxml --inactive` prints."""
        return self._handle.definition

    @property
    def snapshots(self) -> Snapshots:
        """Its snapshots by name: take, restore, delete; the tree; the current one."""
        return Snapshots(self._handle)

    # --- acts: each with `.plan(...)`; made from the functions in `labkit/acts/` ---------------

    configure = act(_after)(machine_acts.configure)
    rename = act(_after)(machine_acts.rename)
    delete = act(_after_delete)(machine_acts.delete)
    attach = act(_after_attach)(machine_acts.attach)
    detach = act(_after)(machine_acts.detach)
    clone = act(_after_clone)(clone_acts.clone)
    flatten = act(_after)(clone_acts.flatten)
    relink = act(_after)(clone_acts.relink)
    migrate = act(_after_migrate)(travel_acts.migrate)
    export = act(_after_export)(travel_acts.export)

    # --- switching it -----------------------------------------------------------------------------

    @planned_by(_plan_start)
    def start(
        self, *, warm: bool | None = None, timeout: float = 120, cancel: threading.Event | None = None
    ) -> Machine:
        """Boot the guest, or go on where it was saved; returns at once, see `wait_ready`. `start.plan()` says which.

        Args:
            warm: a machine that is as it was made need not boot: it can be resumed from the memory of a guest of its
                image that was booted once. None: do that if such memory is kept, else boot, and let it be made when
                the computer has nothing to do; True: make it first if there is none; False: boot. With LABKIT_WARM=0
                every machine boots.

        Raises:
            WrongState: it is running or paused. Refused: its disks cannot be used.
            HypervisorError: it could not start; it stays off. Cancelled: the message names its state.
        """
        cancel = cancel or threading.Event()
        with watching(under_way("start", self._handle.last_name), cancel=cancel) as shown:
            starting.start(
                self._handle,
                self.snapshots.why_not_start,
                warm=warm,
                timeout=timeout,
                cancel=cancel,
                on_progress=shown,
            )
        self._handle.session.executor.recorder.note_quietly()
        return self

    @checked
    def wait_ready(self, *, timeout: float = 120, cancel: threading.Event | None = None) -> Machine:
        """Wait until the guest's agent answers (without an agent: until its console says something).

        Raises:
            WrongState: it is not running, or ends meanwhile. GuestSilent: `timeout` seconds have passed;
                it goes on running.
        """
        cancel = cancel or threading.Event()
        with watching(_("Waiting for {name}").format(name=self._handle.last_name), cancel=cancel):
            awaiting.wait_ready(self._handle, timeout=timeout, cancel=cancel)
        return self

    @checked
    def wait_for(self, state: str, *, timeout: float = 60) -> Machine:
        """Wait until it is in a state, whoever brings it there.

        Args:
            state: "off", "running", "paused" or "saved".

        Raises:
            BadInput: no such state. TimedOut: `timeout` seconds have passed; the message names its state.
        """
        wanted = check_choice(MachineState, state, what="state")
        awaiting.wait_for_state(self._handle, wanted, timeout=timeout)
        return self

    def pause(self) -> Machine:
        """Stop its CPUs; memory and disks stay as they are."""
        switching.pause(self._handle)
        return self

    def resume(self) -> Machine:
        """Let a paused machine go on; requests that a failing disk had stopped are made again.

        Raises:
            WrongState: it is not paused; or its disk still fails, and it is paused again.
        """
        switching.resume(self._handle)
        return self

    @checked
    def save(
        self,
        *,
        timeout: float = 120,
        cancel: threading.Event | None = None,
        on_progress: OnProgress | None = None,
    ) -> Machine:
        """Write its memory to a file and switch it off; `start` goes on from that instant.

        Raises:
            WrongState: it is off or saved, or a disk has a format with which memory cannot be saved.
            Cancelled, TimedOut, NoSpace: it goes on as it was, and no file is left.
        """
        cancel = cancel or threading.Event()
        with watching(under_way("save", self._handle.last_name), cancel=cancel) as shown:
            report = on_progress or shown
            switching.save(
                self._handle,
                self._handle.session.read,
                timeout=timeout,
                cancel=cancel,
                on_bytes=of_one_step(report) if report else None,
            )
        self._handle.session.executor.recorder.note_quietly()
        return self

    @checked
    def stop(self, *, timeout: float = 60, cancel: threading.Event | None = None) -> Machine:
        """Ask the guest to shut down and wait until it has; does nothing when it is off.

        The agent is asked where it answers, else the ACPI power button is pressed.

        Raises:
            WrongState: paused or saved. TimedOut, Cancelled: it goes on running, and may still shut down.
        """
        cancel = cancel or threading.Event()
        with watching(under_way("stop", self._handle.last_name), cancel=cancel):
            switching.stop(self._handle, timeout=timeout, cancel=cancel)
        return self

    def kill(self) -> Machine:
        """Cut its power: the guest ends at once, unsaved data is lost. Does nothing when it is off."""
        switching.kill(self._handle)
        return self

    @checked
    def pin(self, cpu: int | None) -> Machine:
        """Bind all its vCPUs to one CPU of the host; None: let them run on any.

        Raises:
            BadInput: the host has no such CPU.
        """
        resources.pin(self._handle, cpu, host_cpus=survey_host(self._handle.workspace).host_cpus)
        return self

    @checked
    def throttle(self, disk: NamedDisk | str, *, iops: int = 0, bytes_per_second: str | int = 0) -> Machine:
        """Limit how fast a disk works, now and from every start.

        Args:
            disk: one of its disks. iops: requests a second; 0: no limit.
            bytes_per_second: a size such as "1 MiB"; 0: no limit.

        Raises:
            BadInput: a number that cannot be used. NotFound: it has no such disk.
        """
        size = 0 if bytes_per_second == 0 else parse_size(bytes_per_second, what="bytes_per_second")
        resources.throttle(self._handle, name_disk(disk), iops=iops, bytes_per_second=size)
        return self

    @property
    def limits(self) -> Mapping[str, DiskLimits]:
        """How fast each of its disks may work, as `throttle` set it, by the disk's name."""
        return resources.limits(self._handle)

    # --- inside -----------------------------------------------------------------------------------

    def answers(self) -> bool:
        """Whether it is running and its agent answers at once."""
        return inside.answers(self._handle)

    @checked
    def run(
        self,
        command: str | Sequence[str],
        *,
        timeout: float = 60,
        stdin: bytes = b"",
        cancel: threading.Event | None = None,
    ) -> CommandResult:
        """Run a command inside the guest, as root, and return what it said.

        Args:
            command: a line for the guest's shell, or a sequence: program and arguments, no shell.
            timeout: seconds; then the command is ended, with everything it has started.
            stdin: bytes the command reads, at most 8 MiB.

        Returns:
            What it said: the first MiB of its output and of its errors; if either was cut, a sentence says so.

        Raises:
            WrongState: not running, or no agent. GuestSilent: the agent does not answer. GuestError: it answers
                nonsense, or there is no such program. TimedOut: the time is up, also where only a child in the
                background is left that holds the output open; write "server >/dev/null 2>&1 &".
        """
        result = inside.run(self._handle, command, timeout=timeout, stdin=stdin, cancel=cancel)
        if result.cut:
            tell(result.cut)  # the student should hear of it where the command was called
        return result

    def __repr__(self) -> str:
        try:
            facts = self.facts
        except LabError:
            return f"Machine {self._handle.last_name!r} (" + _("deleted") + ")"
        return f"Machine {facts.name!r} ({stand_word(facts)})"
