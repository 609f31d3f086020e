"""How machines are defined, configured, renamed, powered off and undefined.

Knows: the hypervisor. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

import contextlib
from typing import assert_never

from labkit.engine.context import Context
from labkit.errors import NotFound, WrongState
from labkit.model.state import LabState
from labkit.plans.steps import ConfigureMachine, CutPower, DefineMachine, MachineStep, RenameMachine, UndefineMachine


def do(step: MachineStep, context: Context) -> None:
    """Carry a step out."""
    domains = context.domains
    match step:
        case DefineMachine():
            domains.define(step.spec)
        case ConfigureMachine():
            domains.configure(step.machine_id, step.changes)
        case RenameMachine():
            domains.rename(step.machine_id, step.new_domain, step.new)
        case CutPower():
            with contextlib.suppress(NotFound, WrongState):  # it is gone, or already off
                domains.kill(step.machine_id)
        case UndefineMachine():
            with contextlib.suppress(NotFound):
                domains.undefine(step.machine_id)
        case _:
            assert_never(step)


def is_done(step: MachineStep, state: LabState) -> bool:
    """Whether a step has been carried out."""
    match step:
        case DefineMachine():
            return state.find_machine(step.spec.id) is not None
        case ConfigureMachine():
            machine = state.find_machine(step.machine_id)
            wanted = step.changes
            return machine is not None and all(
                asked is None or asked == now
                for asked, now in (
                    (wanted.memory, machine.spec.memory),
                    (wanted.vcpus, machine.spec.vcpus),
                    (wanted.cpu_model, machine.spec.cpu_model),
                )
            )
        case RenameMachine():
            machine = state.find_machine(step.machine_id)
            return machine is not None and machine.name == step.new
        case CutPower():
            machine = state.find_machine(step.machine_id)
            return machine is None or not machine.is_active
        case UndefineMachine():
            return state.find_machine(step.machine_id) is None
        case _:
            assert_never(step)
