"""`tidy`: the clean-up at the end of a notebook: its own machines, and no other.

Knows: the lab as a student uses it, which machines belong to exercises. Must not know: notebooks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from labkit.course.exercise import exercise_machines
from labkit.lab import Lab
from labkit.machine import Machine

AT_ONCE = 8


def tidy(lab: Lab, *names: str) -> None:
    """Cut the power of these machines and delete them with their disks; those not there are left out.

    Machines of exercises stay, also when they are named.
    """
    machines = [lab.machines[name] for name in names if name in lab.machines and name not in exercise_machines()]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        list(pool.map(_cut_power, machines))
    for machine in machines:
        machine.delete()


def _cut_power(machine: Machine) -> None:
    if machine.facts.is_active:
        machine.kill()
