"""`Machine`: one machine of a lab, as students use it. It holds no state: it looks again at every question.

Switching a guest (start, stop, pause …) is one call behind an excuse; changing its definition or its files
is an act with a plan.

Knows: the lab it is of. Must not know: libvirt's calls, widgets.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.acts import act
from labkit.engine.locks import MachineLocks
from labkit.engine.survey import survey_host
from labkit.errors import (
    BadInput,
    ConnectionLost,
    GuestError,
    GuestSilent,
    LabError,
    NotFound,
    Refused,
    TimedOut,
    WrongState,
)
from labkit.guest import agent
from labkit.guest.agent import CommandResult
from labkit.guest.console import Console
from labkit.language import _
from labkit.limits import Limit
from labkit.model import machine as model
from labkit.model.machine import MachineChanges, MachineFacts, MachineState, Reason
from labkit.model.words import reason_word, state_word
from labkit.plans import disk as disk_plans
from labkit.plans import machine as plans
from labkit.plans.plan import Plan
from labkit.plans.snapshot_excuses import find_unsavable
from labkit.snapshots import Snapshots
from labkit.units import check_choice, check_count, check_name, check_word, parse_memory, parse_size

if TYPE_CHECKING:
    from labkit.disk import Disk
    from labkit.hypervisor.domains import Domains
    from labkit.hypervisor.process import GuestProcess
    from labkit.lab import Lab
    from labkit.model.state import LabState

ASK_AGAIN = 3.0
"""Seconds after which a guest that has not begun to shut down is asked again."""

FINDS_A_DISK = 10.0
"""Seconds a running guest may take to find a disk that was attached to it."""

GOES_ON_FOR, PATIENCE_AFTER_ERROR = 0.7, 8.0
"""Seconds a guest stopped by a failing disk must go on to count as resumed, and for how long that is tried."""


class Machine:
    """A machine: a definition and disks. Got from `lab.create(...)` or `lab.machines[name]`."""

    def __init__(self, lab: Lab, machine_id: str, name: str) -> None:
        self._lab = lab
        self.id = machine_id
        self._last_name = name

    # --- what it is -------------------------------------------------------------------------------

    @property
    def lab(self) -> Lab:
        """The lab it is of."""
        return self._lab

    @property
    def facts(self) -> MachineFacts:
        """Everything the machine is now, read afresh, as one value.

        Raises:
            NotFound: it was deleted.
        """
        facts = self._domains.read_one(self.id, self._lab._workspace.id)
        if facts is None:
            raise self._gone()
        self._last_name = facts.name
        return facts

    @property
    def name(self) -> str:
        """Its name in the lab."""
        return self.facts.name

    @property
    def state(self) -> MachineState:
        """Where it is: off, running, paused or saved."""
        return self._stands()[0]

    @property
    def reason(self) -> Reason:
        """Why it is there, as the hypervisor says: booted, shut down, killed, crashed …."""
        return self._stands()[1]

    @property
    def memory(self) -> int:
        """Bytes of memory it is defined with."""
        return self.facts.spec.memory

    @property
    def vcpus(self) -> int:
        """Virtual CPUs it is defined with."""
        return self.facts.spec.vcpus

    @property
    def console(self) -> Console:
        """Its serial console: `tail`, `send`, `expect`."""
        spec = self.facts.spec
        log = Path(spec.console_log) if spec.console_log else None
        return Console(
            subject=spec.name,
            log=log,
            send=lambda data: self._domains.send_to_console(self.id, data, subject=spec.name),
        )

    @property
    def process(self) -> GuestProcess | None:
        """The process it is on the host, read now; None when it is off or saved."""
        from labkit.hypervisor.process import read_process

        facts = self.facts
        return read_process(self.id, (facts.live or facts.spec).memory) if facts.is_active else None

    @property
    def definition(self) -> str:
        """Its definition as libvirt keeps it: domain XML, as `virsh dumpxml --inactive` prints."""
        return self._domains.xml(self.id)

    @property
    def snapshots(self) -> Snapshots:
        """Its snapshots by name: take, restore, delete; the tree; the current one."""
        return Snapshots(self)

    def answers(self) -> bool:
        """Whether it runs and its agent answers at once."""
        facts = self.facts
        if model.why_not_run(facts):
            return False
        try:
            agent.ping(self._channel(facts.name), timeout=1)
        except (GuestError, TimedOut):
            return False
        return True

    # --- switching it -----------------------------------------------------------------------------

    def start(self, *, timeout: float = 120) -> Machine:
        """Boot the guest, or go on where it was saved; returns at once, see `wait_ready`.

        Raises:
            WrongState: it is running or paused. HypervisorError: it could not start; it stays off.
        """
        with self._switching(model.why_not_start, _("Call stop() first, or resume() if it is paused.")) as name:
            if refusal := self.snapshots.why_not_start():
                raise Refused(refusal.why, refusal.hint)
            self._domains.start(self.id, subject=name, timeout=timeout)
        return self

    def wait_ready(self, *, timeout: float = 120, cancel: threading.Event | None = None) -> Machine:
        """Wait until the guest's agent answers (without an agent: until its console says something).

        Raises:
            WrongState: it is not running, or ends meanwhile. GuestSilent: `timeout` seconds have passed;
                it goes on running.
        """
        facts = self._check(model.why_not_pause, _("Call start() first."))
        limit = Limit(timeout, cancel=cancel, what=_("Waiting for {name}").format(name=facts.name))
        console = self.console
        answered = self._domains.wait_for(lambda: self._has_answered(facts, console), limit)
        if answered is None:
            if limit.cancelled:
                limit.check()
            raise GuestSilent(
                _("{name} is running but has not answered within {seconds:g} s.").format(
                    name=facts.name, seconds=timeout
                ),
                _("Look at its console, give it more time with timeout=…, or cut its power with kill()."),
                details=console.tail(),
            )
        if not answered:
            raise WrongState(
                _("{name} went {state} while it booted ({reason}).").format(
                    name=facts.name, state=state_word(self.state), reason=reason_word(self.reason)
                ),
                _("Its console says why: vm.console.tail()."),
                details=console.tail(),
            )
        return self

    def wait_for(self, state: str, *, timeout: float = 60) -> Machine:
        """Wait until it is in a state, whoever brings it there.

        Args:
            state: "off", "running", "paused" or "saved".

        Raises:
            BadInput: no such state. TimedOut: `timeout` seconds have passed; the message names its state.
        """
        wanted = check_choice(MachineState, state, what="state")
        if self._domains.wait_for(lambda: True if self.state is wanted else None, Limit(timeout)) is None:
            raise TimedOut(
                _("{name} is {state}, and not {wanted} after {seconds:g} s.").format(
                    name=self.name, state=self.state, wanted=wanted, seconds=timeout
                ),
                _("Bring it there, or give it more time with timeout=…."),
            )
        return self

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
            timeout: seconds; after them the command is ended.
            stdin: bytes the command reads.

        Raises:
            WrongState: not running, or no agent. GuestSilent: the agent does not answer. TimedOut.
        """
        facts = self._check(model.why_not_run, _("Call start() and wait_ready() first."))
        limit = Limit(timeout, cancel=cancel, what=f"{facts.name}: {command!r}")
        try:
            return agent.run(self._channel(facts.name), command, limit=limit, stdin=stdin)
        except (GuestSilent, WrongState) as error:
            state, reason = self.state, self.reason
            if state is not MachineState.PAUSED:
                raise
            raise WrongState(
                _("{name} was paused while it ran that ({reason}).").format(
                    name=facts.name, reason=reason_word(reason) or state_word(state)
                ),
                _("Remove the cause, then call resume(); the command itself goes on inside."),
            ) from error

    def pause(self) -> Machine:
        """Stop its CPUs; memory and disks stay as they are."""
        with self._switching(model.why_not_pause, _("Only a running machine is paused.")) as name:
            self._domains.pause(self.id, subject=name)
        return self

    def resume(self) -> Machine:
        """Let a paused machine go on; what a failing disk had stopped is asked again.

        Raises:
            WrongState: it is not paused, or its disk still fails: it is paused again.
        """
        with self._switching(model.why_not_resume, _("Only a paused machine is resumed; see start().")) as name:
            failing = self.reason is Reason.IO_ERROR
            self._domains.resume(self.id, subject=name)
            if failing:
                self._see_whether_it_goes_on(name)
        return self

    def _see_whether_it_goes_on(self, name: str) -> None:
        """The first request may fail once more: a server that came back is found only by asking."""
        patience = Limit(PATIENCE_AFTER_ERROR)
        while not patience.reached:
            wait = Limit(GOES_ON_FOR)
            if self._domains.wait_for(lambda: True if self.state is MachineState.PAUSED else None, wait) is None:
                return
            time.sleep(GOES_ON_FOR)
            self._domains.resume(self.id, subject=name)
        raise WrongState(
            _("{name} goes on and is paused again: its disk still fails.").format(name=name),
            _("Is the host's disk full, or the server of a network disk away? Remove the cause, then resume()."),
        )

    def save(self, *, timeout: float = 120) -> Machine:
        """Write its memory to a file and switch it off; `start` goes on from that instant.

        Raises:
            WrongState: it is off or saved, or a disk has a format with which memory cannot be saved.
        """
        with self._switching(model.why_not_save, _("Only a running or paused machine is saved.")) as name:
            state = self._lab.state
            if layer := find_unsavable(state, state.machines[name]):
                raise WrongState(
                    _("The memory of {machine} cannot be saved: its disk {disk} has a layer in {format}.").format(
                        machine=name, disk=layer.disk, format=layer.format
                    ),
                    _("Stop it instead, or detach that disk, or convert it to qcow2."),
                )
            self._domains.save(self.id, subject=name, timeout=timeout)
        return self

    def stop(self, *, timeout: float = 60) -> Machine:
        """Ask the guest to shut down and wait until it has; does nothing when it is off.

        The agent is asked where it answers, else the ACPI power button is pressed.

        Raises:
            WrongState: paused or saved. TimedOut: it did not shut down in time and goes on running.
        """
        limit = Limit(timeout)
        hint = _("Call resume() or start() first, or kill() to cut its power.")
        with self._unless_off(), self._switching(model.why_not_stop, hint) as name:
            while not self._has_shut_down(name, limit):
                if limit.reached:
                    raise TimedOut(
                        _("{name} did not shut down within {seconds:g} s; it is still running.").format(
                            name=name, seconds=timeout
                        ),
                        _("It may still be booting, or hang: look at its console, or cut its power with kill()."),
                        details=self.console.tail(),
                    )
        return self

    def kill(self) -> Machine:
        """Cut its power: the guest ends at once, unsaved data is lost. Does nothing when it is off."""
        hint = _("A saved machine has no power to cut; start() goes on.")
        with self._unless_off(), self._switching(model.why_not_kill, hint) as name:
            self._domains.kill(self.id, subject=name)
        return self

    def pin(self, cpu: int | None) -> Machine:
        """Bind all its vCPUs to one CPU of the host, or (None) to none in particular.

        Raises:
            BadInput: the host has no such CPU.
        """
        cpus = survey_host(self._lab._workspace).host_cpus
        if cpu is not None and (cpu not in range(cpus)):
            raise BadInput(
                _("This host has no CPU {cpu!r}.").format(cpu=cpu),
                _("Its CPUs are numbered 0 to {last}.").format(last=cpus - 1),
            )
        with self._switching(model.why_not_pin, _("Start it first.")) as name:
            self._domains.pin(self.id, cpu, host_cpus=cpus, subject=name)
        return self

    # --- acts -------------------------------------------------------------------------------------

    def _after(self, plan: Plan, timeout: float | None) -> Machine:
        self._lab.carry_out(plan, timeout=timeout)
        return self

    def _after_attach(self, plan: Plan, timeout: float | None) -> Machine:
        self._lab.carry_out(plan, timeout=timeout)
        self._wait_for_device(plan.disks[0])
        return self

    def _wait_for_device(self, disk: str) -> None:
        """A running guest needs a moment to find a new disk; one whose agent is silent is not waited for."""
        target = next((spec.target for spec in self.facts.spec.disks if spec.name == disk), None)
        if target is not None and self.answers():
            with contextlib.suppress(GuestError, TimedOut, WrongState):
                self.run(f"until [ -b /dev/{target} ]; do sleep 0.05; done", timeout=FINDS_A_DISK)

    def _after_delete(self, plan: Plan, timeout: float | None) -> None:
        self._lab.carry_out(plan, timeout=timeout)

    @act(_after)
    def configure(
        self,
        *,
        memory: str | int | None = None,
        vcpus: int | None = None,
        cpu_model: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 — used by the call, not by the plan
    ) -> Plan:
        """Change its definition; a running guest sees it when it next starts.

        Args:
            memory: a size such as "256 MiB". vcpus: number of virtual CPUs.
            cpu_model: a CPU model of QEMU. None leaves each as it is.

        Raises:
            BadInput: a size or number that cannot be used. Refused: see `.plan(...).refusal`.
        """
        changes = MachineChanges(
            memory=None if memory is None else parse_memory(memory),
            vcpus=None if vcpus is None else check_count(vcpus, what="vcpus"),
            cpu_model=None if cpu_model is None else check_word(cpu_model, what="cpu_model"),
        )
        state, name = self._find()
        return plans.plan_configure(state, survey_host(self._lab._workspace), name, changes)

    @act(_after)
    def rename(self, new: str, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Give it another name; its disk images keep theirs.

        Raises:
            BadInput: not a name. Refused: the name is taken, or the machine is not off.
        """
        new = check_name(new, what=_("machine"))
        return plans.plan_rename(*self._find(), new)

    @act(_after_delete)
    def delete(self, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Delete it with its disks.

        Raises:
            Refused: it is running or paused.
        """
        return plans.plan_delete(*self._find())

    @act(_after_attach)
    def attach(self, disk: Disk | str, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Attach a free disk as the guest's next (vdb, vdc …), also while the guest runs.

        Raises:
            NotFound: no such disk. Refused: it is attached already, or cannot be attached; see the refusal.
        """
        name = self._lab.disks[disk if isinstance(disk, str) else disk.name].name
        return disk_plans.plan_attach(self._lab.state, name, self.name)

    @act(_after)
    def detach(self, disk: Disk | str, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Take a disk from the machine, also while the guest runs; it stays in the lab with its content.

        Raises:
            NotFound: no such disk. Refused: it is not attached here, or mounted inside.
            TimedOut: the running guest does not let go of it.
        """
        name = self._lab.disks[disk if isinstance(disk, str) else disk.name].name
        return disk_plans.plan_detach(self._lab.state, self._lab.survey_disks(self._find_mounted()), name, self.name)

    def throttle(self, disk: Disk | str, *, iops: int = 0, bytes_per_second: str | int = 0) -> Machine:
        """Limit how fast a disk works, now and from every start.

        Args:
            disk: one of its disks. iops: requests per second; 0: no limit.
            bytes_per_second: a size such as "1 MiB"; 0: no limit.

        Raises:
            NotFound: it has no such disk.
        """
        name = disk if isinstance(disk, str) else disk.name
        targets = {spec.name: spec.target for spec in self.facts.spec.disks}
        if name not in targets:
            raise NotFound(
                _("{machine} has no disk {disk!r}.").format(machine=self.name, disk=name),
                _("It has: {names}.").format(names=", ".join(targets)),
            )
        if type(iops) is not int or iops < 0:
            raise BadInput(
                _("iops={iops!r} is not a number of requests per second.").format(iops=iops),
                _("Write a whole number; 0 is no limit."),
            )
        size = 0 if bytes_per_second == 0 else parse_size(bytes_per_second, what="bytes_per_second")
        with self._switching(model.why_not_pin, _("Start it first.")) as subject:
            self._domains.throttle(self.id, targets[name], iops=iops, bytes_per_second=size, subject=subject)
        return self

    # --- inside -----------------------------------------------------------------------------------

    @property
    def _domains(self) -> Domains:
        return self._lab._domains

    def _channel(self, name: str) -> agent.Channel:
        def send(command: Mapping[str, Any], timeout: float) -> Any:
            return self._domains.agent_command(self.id, command, subject=name, timeout=timeout)

        return send

    def _find_mounted(self) -> dict[str, str]:
        """Where the running guest has its disks mounted, by target; empty where no agent answers."""
        facts = self.facts
        if model.why_not_run(facts):
            return {}
        try:
            table = agent.run(self._channel(facts.name), ["cat", "/proc/mounts"], limit=Limit(5)).stdout
        except (GuestError, TimedOut):
            return {}
        mounts = [line.split()[:2] for line in table.splitlines()]
        mounted: dict[str, str] = {}
        for disk in facts.spec.disks:
            for device, place in mounts:
                if device.startswith(f"/dev/{disk.target}") or (device == "/dev/root" and disk.target == "vda"):
                    mounted.setdefault(disk.target, place)
        return mounted

    def _find(self) -> tuple[LabState, str]:
        """The lab as it is now, and the machine's name in it."""
        state = self._lab.state
        for facts in state.machines.values():
            if facts.id == self.id:
                return state, facts.name
        raise self._gone()

    def _stands(self) -> tuple[MachineState, Reason]:
        try:
            return self._domains.state(self.id)
        except NotFound:
            raise self._gone() from None

    def _gone(self) -> NotFound:
        return NotFound(
            _("The machine {name!r} is no longer there.").format(name=self._last_name),
            _("It was deleted. List what there is: lab.machines."),
        )

    def _check(self, why_not: Callable[[MachineFacts], str | None], hint: str) -> MachineFacts:
        facts = self.facts
        if excuse := why_not(facts):
            raise WrongState(excuse, hint)
        return facts

    @contextmanager
    def _unless_off(self) -> Iterator[None]:
        """A guest may end by itself at any instant: then what was asked for has happened."""
        try:
            yield
        except WrongState:
            if self.state is not MachineState.OFF:
                raise

    def _switching(self, why_not: Callable[[MachineFacts], str | None], hint: str) -> _Switching:
        return _Switching(self, why_not, hint)

    def _has_answered(self, facts: MachineFacts, console: Console) -> bool | None:
        """True: ready. False: it ended. None: not yet."""
        if self.state is not MachineState.RUNNING:
            return False
        if not facts.spec.agent:
            # A machine that goes on from its saved memory has been ready before, and may have nothing to say.
            return True if console.position or facts.reason is Reason.RESTORED else None
        try:
            agent.ping(self._channel(facts.name), timeout=2)
        except (GuestSilent, TimedOut, ConnectionLost):
            return None
        return True

    def _has_shut_down(self, name: str, limit: Limit) -> bool:
        """Ask once, and wait a while for the end."""
        if self.facts.spec.agent:
            try:
                agent.ping(self._channel(name), timeout=1)
                self._domains.ask_shutdown(self.id, subject=name, agent=True)
            except (GuestError, TimedOut, WrongState):
                self._press_power_button(name)
        else:
            self._press_power_button(name)
        wait = Limit(max(0.0, min(limit.left, ASK_AGAIN)))
        return self._domains.wait_for(lambda: True if self.state is MachineState.OFF else None, wait) is not None

    def _press_power_button(self, name: str) -> None:
        try:
            self._domains.ask_shutdown(self.id, subject=name, agent=False)
        except WrongState:
            return  # it has just ended

    def __repr__(self) -> str:
        try:
            facts = self.facts
        except LabError:
            return f"Machine {self._last_name!r} ({_('deleted')})"
        return f"Machine {facts.name!r} ({state_word(facts.state)})"


class _Switching:
    """Switch one machine: nobody else may be changing it, and it must be in a fitting state."""

    def __init__(self, machine: Machine, why_not: Callable[[MachineFacts], str | None], hint: str) -> None:
        self._machine, self._why_not, self._hint = machine, why_not, hint
        self._locks: MachineLocks | None = None

    def __enter__(self) -> str:
        name = self._machine.name
        self._locks = MachineLocks(self._machine._lab._workspace.locks, [name], shared=True)
        try:
            self._machine._check(self._why_not, self._hint)
        except BaseException:
            self._locks.release()
            raise
        return name

    def __exit__(self, *_error: object) -> None:
        if self._locks is not None:
            self._locks.release()
