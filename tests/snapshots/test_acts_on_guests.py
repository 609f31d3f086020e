"""Random acts on a real machine: the smallest guest with data disks, written from outside while it is off."""

from __future__ import annotations

import os
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from labkit import Lab
from labkit.model.image import Format
from labkit.model.machine import MachineState
from labkit.model.state import LabState
from labkit.plans.plan import Plan
from tests.instance import Instance
from tests.snapshots.random_acts import CAPACITY, RandomActs

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

    @precondition(lambda self: self.state.machines["web"].state is MachineState.RUNNING)
    @rule()
    def pause(self) -> None:
        self.vm.pause()

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
