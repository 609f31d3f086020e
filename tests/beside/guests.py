"""Random histories of running guests under two kernels: memory is taken and restored; kernels, QEMU, the daemon die.

In every round each kernel gets an act, at the same time, on the same guest or on two. What a data disk holds at every
point is compared with a ledger, block by block, also on the disks of guests that run.
Knows: what acts mean for contents and for guests. Must not know: how labkit does them.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from labkit import Lab
from labkit.machine import Machine
from labkit.model.disk import disk_name
from labkit.model.machine import DiskSpec, MachineState
from labkit.model.state import LabState
from tests.beside.history import EXPECTED
from tests.beside.reading import told
from tests.beside.tools import run_tool
from tests.beside.workers import Worker
from tests.engine.kernel import Answer
from tests.instance import Instance
from tests.snapshots.known import BLOCK, BLOCKS, CAPACITY, EMPTY, Content
from tests.snapshots.struck import write_inside

MACHINES = ("ada", "bob")
MOST_SNAPSHOTS = 5

_CALLS = {
    "start": "start()",
    "kill": "kill()",
    "pause": "pause()",
    "resume": "resume()",
    "save": "save()",
    "take": "snapshots.take({new!r})",
    "restore": "snapshots.restore({name!r})",
    "restore and save": "snapshots.restore({name!r}, save_current={new!r})",
    "delete": "snapshots.delete({name!r}, merge='always')",
    "rename": "snapshots.rename({name!r}, {new!r})",
}
_FITTING = {
    MachineState.RUNNING: (
        *("take", "take", "restore", "restore", "restore and save", "pause", "save", "kill", "delete", "rename"),
    ),
    MachineState.PAUSED: ("resume", "resume", "restore", "delete", "kill"),
    MachineState.SAVED: ("start", "start", "restore", "delete"),
    MachineState.OFF: ("start", "start", "start", "take", "restore", "delete"),
}
_TROUBLE = ("none", "none", "none", "kernel", "QEMU", "daemon")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestDeed:
    """What one kernel is told to do with a guest; `name`, `new`: of snapshots."""

    kind: str
    machine: str
    name: str = ""
    new: str = ""

    @property
    def code(self) -> str:
        """The call."""
        return f"lab.machines[{self.machine!r}].{_CALLS[self.kind].format(name=self.name, new=self.new)}"


@dataclass(slots=True)
class GuestHistory:
    """Two guests and a ledger: what the data disk holds at each snapshot, by machine and name, and now."""

    lab: Lab
    instance: Instance
    chance: random.Random
    points: dict[tuple[str, str], Content] = field(default_factory=dict)
    now: dict[str, Content] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    _workers: list[Worker] = field(default_factory=list)
    _number: int = 0

    def begin(self) -> None:
        """Make the guests and let them run."""
        for name in MACHINES:
            vm = self.lab.create(name, image="sector", memory="16 MiB")
            vm.attach(self.lab.disks.create(f"{name}-data", capacity=CAPACITY))
            self.now[name] = EMPTY
            vm.start()
        self._workers = [Worker(self.lab) for _kernel in range(2)]

    def end(self) -> None:
        """Let the kernels end."""
        for worker in self._workers:
            worker.close()

    def round(self) -> None:
        """Let both kernels do something at the same time, perhaps with trouble beside them; then compare."""
        self._write(self.chance.choice(MACHINES))
        before, files = self.lab.state, self._files()
        first = self.chance.choice(MACHINES)
        second = first if self.chance.random() < 0.4 else next(name for name in MACHINES if name != first)
        deeds = [self._choose(before, machine) for machine in (first, second)]
        for worker, deed in zip(self._workers, deeds, strict=True):
            worker.tell(deed.code)
        trouble = self.chance.choice(_TROUBLE)
        struck = self._make_trouble(trouble, before)
        answers = [worker.answer() if index != struck else Answer() for index, worker in enumerate(self._workers)]
        if struck is not None:
            self._workers[struck].kill()
            self._workers[struck] = Worker(self.lab)
        self.counts["guest rounds"] += 1
        self.counts["guest steps"] += len(deeds)
        self.counts["guest steps done"] += sum(not answer.error for answer in answers)
        self.counts[f"guest: {trouble} killed"] += trouble != "none"
        for deed, answer in zip(deeds, answers, strict=True):
            fair = trouble == "none" and before.machines[deed.machine].state is not MachineState.PAUSED
            assert answer.error in EXPECTED if fair else "raw" not in answer.error, (deed, answer)
            assert not answer.error or answer.message, (deed, answer)
            self.counts[f"guest: {deed.kind}"] += not answer.error
        self._compare(files, deeds, trouble, answers)

    # --- what is done -----------------------------------------------------------------------------

    def _choose(self, state: LabState, machine: str) -> GuestDeed:
        names = sorted(state.tree_of(machine))
        self._number += 1
        fitting = _FITTING[state.machines[machine].state]
        kinds = [kind for kind in fitting if names or "name" not in _CALLS[kind]]
        if len(names) >= MOST_SNAPSHOTS:
            kinds = ["delete", "delete", "restore"]
        kind = self.chance.choice(kinds)
        name = self.chance.choice(names) if "name" in _CALLS[kind] else ""
        return GuestDeed(kind=kind, machine=machine, name=name, new=f"n{self._number}")

    def _make_trouble(self, kind: str, state: LabState) -> int | None:
        """Let something die; returns the kernel that was killed, if one was."""
        struck = self.chance.randrange(len(self._workers))
        victim: psutil.Process | None = None
        with contextlib.suppress(psutil.NoSuchProcess, LookupError):
            if kind == "QEMU":
                name = self.chance.choice(sorted(state.machines))
                guest = self.lab.machines[name].process
                victim = psutil.Process(guest.pid) if guest else None
            elif kind == "daemon":
                victim = self.instance.daemon()
        self._workers[struck].process.join(self.chance.random() * 0.4 if kind != "none" else 0)
        if kind == "kernel":
            self._workers[struck].process.kill()
            return struck
        if victim is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
                victim.wait(60)
        return None

    def _write(self, machine: str) -> None:
        """Write a block, through the guest's QEMU if it runs, into the image if it is off."""
        vm = self.lab.machines[machine]
        spec, state = _data(vm), vm.state
        block, value = self.chance.randrange(BLOCKS), self.chance.randrange(1, 256)
        if state is MachineState.RUNNING:
            write_inside(vm, spec.target, block * BLOCK, BLOCK, value)
        elif state is MachineState.OFF:
            command = f"write -P {value} {block * BLOCK} {BLOCK}"
            run_tool("qemu-io", "-f", spec.format.driver, "-c", command, spec.path)
        else:
            return
        old = self.now[machine]
        self.now[machine] = (*old[:block], value, *old[block + 1 :])
        self.counts["guest writes"] += 1

    # --- what must hold ---------------------------------------------------------------------------

    def _compare(self, files: set[str], deeds: list[GuestDeed], trouble: str, answers: list[Answer]) -> None:
        with Lab.open(self.lab.name) as again:
            pass  # ends what a killed kernel was at
        state = self.lab.state
        assert not state.acts
        assert not self.lab.orphans, (deeds, trouble, answers, again.recovered, told(state))
        assert sorted(state.machines) == sorted(MACHINES)
        for machine in MACHINES:
            self._follow(state, machine, [deed for deed in deeds if deed.machine == machine])
        for (machine, name), content in self.points.items():
            node = state.snapshots[machine][name]
            assert _read(_of(node.disks)) == content, f"{name} of {machine} holds something else after {deeds}"
            assert node.memory is None or Path(node.memory).exists(), f"the memory of {name} is gone after {deeds}"
            self.counts["guest contents compared"] += 1
        acting = {deed.machine for deed in deeds if deed.kind.startswith(("restore", "delete", "take"))}
        gone = files - self._files()
        assert all(disk_name(name).partition(".")[0].partition("-")[0] in acting for name in gone), (gone, deeds)
        self._see_who_runs(state, deeds, trouble, answers)

    def _follow(self, after: LabState, machine: str, mine: list[GuestDeed]) -> None:
        old = {name: content for (owner, name), content in self.points.items() if owner == machine}
        there = set(after.tree_of(machine))
        gone, come = set(old) - there, there - set(old)
        deleted = {deed.name for deed in mine if deed.kind == "delete"}
        for name in gone:
            heirs = {deed.new for deed in mine if deed.kind == "rename" and deed.name == name}
            assert name in deleted or heirs & there, f"{name} of {machine} is lost: {there} after {mine}"
            del self.points[machine, name]
        assert come <= {deed.new for deed in mine}, f"{come} of {machine} have come after {mine}"
        possible = {self.now[machine], *(old[deed.name] for deed in mine if deed.kind.startswith("restore"))}
        now = _read(_of(after.machines[machine].spec.disks))
        assert now in possible, f"{machine} holds what it never held, after {mine}"
        for name in come:
            found = _read(_of(after.snapshots[machine][name].disks))
            renamed = {old[deed.name] for deed in mine if deed.kind == "rename" and deed.new == name}
            assert found in (renamed or possible), f"{name} of {machine} after {mine}"
            self.points[machine, name] = found
        self.now[machine] = now

    def _see_who_runs(self, state: LabState, deeds: list[GuestDeed], trouble: str, answers: list[Answer]) -> None:
        """Whoever acted alone on its guest, undisturbed and done, has left it as the act says."""
        if trouble != "none" or deeds[0].machine == deeds[1].machine:
            return
        for deed, answer in zip(deeds, answers, strict=True):
            stands = state.machines[deed.machine].state
            if answer.error or deed.kind not in ("start", "kill", "pause", "resume", "save", "restore"):
                continue
            memory = deed.kind == "restore" and state.snapshots[deed.machine][deed.name].memory
            expected = {
                "kill": (MachineState.OFF,),
                "start": (MachineState.RUNNING, MachineState.PAUSED),  # paused where it was saved so
                "pause": (MachineState.PAUSED,),
                "save": (MachineState.SAVED,),
                "restore": (MachineState.RUNNING, MachineState.PAUSED) if memory else (MachineState.OFF,),
            }.get(deed.kind, (MachineState.RUNNING,))
            assert stands in expected, (deed, stands)
            self.counts["guests restored with their memory"] += bool(memory)

    def _files(self) -> set[str]:
        return {path.name for path in (self.lab.home / "disks").iterdir() if path.is_file()}


def _of(disks: tuple[DiskSpec, ...]) -> DiskSpec:
    return next(disk for disk in disks if disk.name.endswith("-data"))


def _data(vm: Machine) -> DiskSpec:
    return _of(vm.facts.spec.disks)


def _read(disk: DiskSpec) -> Content:
    """What a data disk holds, block by block, also while a guest runs that has written nothing since its last flush."""
    with tempfile.NamedTemporaryFile(prefix="content-") as raw:
        run_tool("qemu-img", "convert", "-U", "-f", disk.format.driver, "-O", "raw", disk.path, raw.name)
        data = Path(raw.name).read_bytes()
    blocks = [data[at * BLOCK : (at + 1) * BLOCK] for at in range(BLOCKS)]
    assert all(len(set(block)) == 1 for block in blocks)
    return tuple(block[0] for block in blocks)
