"""A machine that the tests of a module use in turn; each brings it to where it needs it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import Lab
from labkit.machine import Machine
from labkit.model.machine import MachineState


@pytest.fixture(scope="module")
def used_machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine of the tiny image, running; a test may leave it in any state."""
    with Lab.open(f"used-{Path(request.path).stem}") as lab:
        yield lab.create("web", if_exists="replace").start(warm=True).wait_ready()
        lab.clean()


@pytest.fixture
def off(used_machine: Machine) -> Machine:
    """The machine of the module, off."""
    if used_machine.state is MachineState.SAVED:
        used_machine.start()
    return used_machine.kill()


@pytest.fixture
def ready(used_machine: Machine) -> Machine:
    """The machine of the module, running and answering; if it was off, as one that was never used."""
    if used_machine.state is MachineState.OFF:
        disk = used_machine.facts.spec.disks[0].path
        shutil.copyfile(used_machine.lab.state.guest_images["tiny"].disk, disk)
        return used_machine.start(warm=True).wait_ready()
    if used_machine.state is MachineState.SAVED:
        used_machine.start()
    if used_machine.state is MachineState.PAUSED:  # a saved one may go on so
        used_machine.resume()
    return used_machine.wait_ready()
