"""Functions that let cells be run again: `tidy` removes what a run has left, `rewind` goes back before a snapshot.

Knows: the lab as a student uses it, which machines belong to exercises. Must not know: notebooks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from labkit.course.catalogue import exercise_disks, exercise_machines
from labkit.disk import Disk
from labkit.lab import Lab
from labkit.machine import Machine
from labkit.model.machine import MachineState

AT_ONCE = 8


def tidy(lab: Lab, *names: str) -> None:
    """Cut the power of these machines and delete them with their disks; then delete free disks of these names.

    A disk is unmounted and detached first. Names that do not exist are ignored, and what belongs to exercises stays
    even if it is named.
    """
    machines = [lab.machines[name] for name in names if name in lab.machines and name not in exercise_machines()]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        list(pool.map(_cut_power, machines))
    for machine in machines:
        machine.delete()
    for name in names:
        if name in lab.disks and name not in exercise_disks():
            _let_go(lab, lab.disks[name])
            lab.disks[name].delete()


def rewind(machine: Machine, *names: str) -> None:
    """Go back to where each of these snapshots was taken, and delete it with all that came after it.

    So a cell that takes them can be run again and finds what it found the first time. Names that do not exist are
    ignored.
    """
    for name in names:
        if name in machine.snapshots:
            machine.snapshots.restore(name).delete(name, branch=True)


def _cut_power(machine: Machine) -> None:
    if machine.facts.is_active:
        machine.kill()


def _let_go(lab: Lab, disk: Disk) -> None:
    facts = disk.facts
    if facts.machine is not None:
        machine = lab.machines[facts.machine]
        if machine.state is MachineState.RUNNING:
            machine.run(f"umount /dev/{facts.target}")  # fails if it is not mounted, which does not matter
        machine.detach(disk)
    disk.stop_serving()
