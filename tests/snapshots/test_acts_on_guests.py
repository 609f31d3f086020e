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
from labkit.model.image import Format
from labkit.model.machine import MachineState
from labkit.model.state import LabState
from labkit.plans.plan import Plan
from labkit.plans.snapshot_excuses import find_unsavable
from tests.instance import Instance
from tests.snapshots.random_acts import BLOCK, BLOCKS, CAPACITY, RandomActs
from tests.snapshots.struck import write_inside

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"


class GuestActs(RandomActs):
    """The machine is a real one."""

    lab: ClassVar[Lab]
    instance: ClassVar[Instance]

    @initialize()
    def begin(self) -> None:
        self.lab.clean()
        self.vm = self.lab.create("web", image="sector", memory="64 MiB")

    @property
    def state(self) -> LabState:
        return self.lab.state

    def carry_out(self, plan: Plan) -> None:
        self.lab.carry_out(plan)

    def make_disk(self, name: str, format: Format) -> None:
        self.lab.disks.create(name, capacity=CAPACITY, format=format)

    def is_off(self) -> bool:
        return "web" not in self.lab.machines or self.state.machines["web"].state is MachineState.OFF

    def may_take(self) -> bool:
        return self.vm.state is not MachineState.SAVED

    def runs(self) -> bool:
        """Whether the guest runs."""
        return self.vm.state is MachineState.RUNNING

    @precondition(lambda self: bool(self.now) and self.runs())
    @rule(data=st.data(), block=st.integers(0, BLOCKS - 1), value=st.integers(1, 255))
    def write_inside(self, data: st.DataObject, block: int, value: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.now)))
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
        self.vm.pause()

    @precondition(lambda self: self.vm.state is MachineState.PAUSED)
    @rule()
    def resume(self) -> None:
        self.vm.resume()

    @precondition(lambda self: self.runs())
    @rule()
    def save(self) -> None:
        state = self.state
        if find_unsavable(state, state.machines["web"]) is None:
            self.vm.save()

    @rule()
    def lose_the_daemon(self) -> None:
        daemon = self.instance.daemon()
        daemon.kill()
        daemon.wait(10)
        assert self.lab.state.machines["web"].name == "web"


@pytest.mark.timeout(1200)
def test_random_acts_on_a_real_machine_keep_every_state(lab: Lab, instance: Instance) -> None:
    GuestActs.lab, GuestActs.instance = lab, instance
    run_state_machine_as_test(
        GuestActs,
        settings=settings(
            max_examples=6 if THOROUGH else 1,
            stateful_step_count=25 if THOROUGH else 14,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            derandomize=not THOROUGH,
        ),
    )
