"""`tidy`: the clean-up at the end of a notebook: its own machines and disks, and no other.

Knows: the lab as a student uses it, which machines belong to exercises. Must not know: notebooks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from labkit.course.exercise import exercise_disks, exercise_machines
from labkit.lab import Lab
from labkit.machine import Machine

AT_ONCE = 8


def tidy(lab: Lab, *names: str) -> None:
    """Cut the power of these machines and delete them with their disks, then these free disks; others stay.

    What is not there is left out. What belongs to exercises stays, also when it is named.
    """
    machines = [lab.machines[name] for name in names if name in lab.machines and name not in exercise_machines()]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        list(pool.map(_cut_power, machines))
    for machine in machines:
        machine.delete()
    for name in names:
        if name in lab.disks and name not in exercise_disks() and lab.disks[name].machine is None:
            lab.disks[name].delete()


def _cut_power(machine: Machine) -> None:
    if machine.facts.is_active:
        machine.kill()
