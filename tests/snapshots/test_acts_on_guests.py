"""Random acts on a real machine: the smallest guest with data disks, written from outside while it is off."""

from __future__ import annotations

import os
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from labkit import Lab
from labkit.errors import TimedOut
from labkit.machine import Machine
from labkit.model.image import Format
from labkit.model.machine import DiskSpec, MachineState
from labkit.model.state import LabState
from labkit.plans.plan import Plan
from labkit.plans.snapshot_excuses import find_unsavable
from tests.instance import Instance
from tests.snapshots.clone_acts import MOST_MACHINES, CloneActs
from tests.snapshots.known import BLOCK, BLOCKS, CAPACITY, Content, Known, data_disks
from tests.snapshots.random_acts import STEPS, RandomActs
from tests.snapshots.struck import write_inside

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"


class GuestActs(RandomActs):
    """The machine is a real one."""

    lab: ClassVar[Lab]
    instance: ClassVar[Instance]

    @initialize()
    def begin(self) -> None:
        self.lab.clean()
        self.spent: set[str] = set()  # paused guests whose memory QEMU has kept, which it does once in a pause
        self.lab.create("web", image="sector", memory="64 MiB")

    @property
    def vm(self) -> Machine:
        """The machine at hand."""
        return self.lab.machines[self.at]

    @property
    def state(self) -> LabState:
        return self.lab.state

    def carry_out(self, plan: Plan) -> None:
        self.lab.carry_out(plan)

    def make_disk(self, name: str, format: Format) -> None:
        self.lab.disks.create(name, capacity=CAPACITY, format=format)

    def is_off(self, machine: str | None = None) -> bool:
        facts = self.state.machines.get(machine or self.at)  # before the first act there is none
        return facts is None or facts.state is MachineState.OFF

    def may_take(self) -> bool:
        if self.vm.state is MachineState.PAUSED:
            return self.at not in self.spent
        return self.vm.state is not MachineState.SAVED

    def _keep(self, name: str, before: LabState | None = None) -> None:
        super()._keep(name, before)
        self.spent.add(self.at)

    def runs(self) -> bool:
        """Whether the guest runs."""
        return self.vm.state is MachineState.RUNNING

    @precondition(lambda self: bool(self.own.now) and self.runs())
    @rule(data=st.data(), block=st.integers(0, BLOCKS - 1), value=st.integers(1, 255))
    def write_inside(self, data: st.DataObject, block: int, value: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.own.now)))
        spec = next(disk for disk in self.vm.facts.spec.disks if disk.name == name)
        write_inside(self.vm, spec.target, block * BLOCK, BLOCK, value)
        self._note(name, block, value)

    @precondition(lambda self: self.is_off())
    @rule()
    def start(self) -> None:
        self.vm.start()

    @precondition(lambda self: not self.is_off())
    @rule()
    def kill(self) -> None:
        if self.vm.state is MachineState.SAVED:
            self.vm.start()
        self.vm.kill()

    @precondition(lambda self: self.runs())
    @rule()
    def stop(self) -> None:
        """This guest does not listen: it goes on running."""
        with pytest.raises(TimedOut):
            self.vm.stop(timeout=0.1)
        assert self.runs()

    @precondition(lambda self: self.runs())
    @rule()
    def pause(self) -> None:
        self.spent.discard(self.at)
        self.vm.pause()

    @precondition(lambda self: self.vm.state is MachineState.PAUSED)
    @rule()
    def resume(self) -> None:
        self.vm.resume()

    @precondition(lambda self: self.runs())
    @rule()
    def save(self) -> None:
        state = self.state
        if find_unsavable(state, state.machines[self.at]) is None:
            self.vm.save()

    @rule()
    def lose_the_daemon(self) -> None:
        daemon = self.instance.daemon()
        daemon.kill()
        daemon.wait(60)
        assert sorted(self.state.machines) == sorted(self.known)


class TravellingGuestActs(GuestActs, CloneActs):
    """And with its clones, archives of them, and a second hypervisor."""

    @precondition(lambda self: self.may_take())
    @rule()
    def migrate_and_come_back(self) -> None:
        """Go over, and come back as it was; refused where clones stand on it, or a running guest's disks cannot."""
        vm, other, state = self.vm, self.lab.neighbour(), self.vm.state
        refusal = vm.migrate.plan(other).refusal
        if refusal is not None:
            STEPS["refused"] += 1
            assert state is not MachineState.OFF or refusal.dependants == self._standing_on(self.state, self.at)
            return
        vm.migrate(other)
        assert self.at in other.state.machines
        vm.migrate(self.lab)
        assert vm.state is state
        STEPS["migrations"] += 2

    @precondition(lambda self: self.is_off() and len(self.known) < MOST_MACHINES)
    @rule()
    def export_and_import(self) -> None:
        """Bring an archive of the machine back under another name: it stands alone then, with its snapshots."""
        self.counter += 1
        name = f"i{self.counter}"
        archive = self.lab.home.parent / f"{self.lab.name}-{name}.tar"
        try:
            self.vm.export(archive)
            self.lab.import_machine(archive, name, identity="new")
        finally:
            archive.unlink(missing_ok=True)
        state, own = self.state, self.own
        before, after = (state.tree_of(each) for each in (self.at, name))
        facts = state.machines
        self.known[name] = Known(
            now=_renamed(facts[self.at].spec.disks, own.now, facts[name].spec.disks),
            kept={each: _renamed(before[each].disks, own.kept[each], after[each].disks) for each in own.kept},
            memories=dict(own.memories),
            parents=dict(own.parents),
            current=own.current,
        )
        STEPS["imports"] += 1


def _renamed(old: tuple[DiskSpec, ...], contents: dict[str, Content], new: tuple[DiskSpec, ...]) -> dict[str, Content]:
    """The same contents under the names that a copy's disks have."""
    names = {spec.target: spec.name for spec in new}
    return {names[spec.target]: contents[spec.name] for spec in data_disks(old)}


@pytest.mark.timeout(1200)
def test_random_acts_on_a_real_machine_keep_every_state(lab: Lab, instance: Instance) -> None:
    GuestActs.lab, GuestActs.instance = lab, instance
    before = STEPS["acts"]
    run_state_machine_as_test(
        TravellingGuestActs if THOROUGH else GuestActs,
        settings=settings(
            max_examples=6 if THOROUGH else 3,  # the first one is the simplest there is: nearly nothing happens
            stateful_step_count=25 if THOROUGH else 14,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            derandomize=not THOROUGH,
        ),
    )
    assert STEPS["acts"] > before, "nothing has happened that could prove anything"
