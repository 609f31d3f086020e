"""What is removed together with machines: domains, images that nothing else needs, saved memory, console logs.

Knows: the model, steps. Must not know: which acts ask.
"""

from __future__ import annotations

from collections.abc import Iterable

from labkit.model.machine import MachineFacts
from labkit.model.state import LabState
from labkit.plans.reclaim import find_unneeded, own_disks
from labkit.plans.steps import CutPower, DeleteFiles, Step, UndefineMachine


def removal_steps(state: LabState, machines: list[MachineFacts]) -> list[Step]:
    """Return the steps that remove machines with everything that only they need, whatever state they are in.

    For each: cut its power if it is on, undefine it, delete its own images that nothing else needs, the memory of its
    snapshots and its console log. Images made for other machines stay, even if only this one stood on them.
    """
    steps: list[Step] = []
    roots = state.roots
    for machine in machines:
        domain = machine.spec.domain_name
        if machine.is_active:
            steps.append(CutPower(machine_id=machine.id, domain=domain))
        steps.append(UndefineMachine(machine_id=machine.id, domain=domain))
        tree = state.tree_of(machine.name)
        own = {disk.path for spec in (machine.spec, machine.live) if spec for disk in spec.disks}
        roots -= own | {disk.path for node in tree.nodes.values() for disk in node.disks}
        dead = find_unneeded(state, roots | state.claimed, own_disks(machine, tree), machine=machine.id, goes=True)
        before = {path for step in steps if isinstance(step, DeleteFiles) for path in step.paths}
        images = tuple(path for path in dead if path not in before)
        missing = tuple(path for path in sorted(own) if path not in state.images)
        memories = [node.memory for node in tree.nodes.values() if node.memory]
        rest = (*memories, *state.beside(memories))
        log = (machine.spec.console_log,) if machine.spec.console_log else ()
        named = (*files_of(state, images), *missing, *rest, *log)
        files = tuple(path for path in named if path.startswith(f"{state.home}/"))  # never what lies elsewhere
        steps.append(DeleteFiles(paths=files, bytes=allocated_by(state, images)))
    return steps


def files_of(state: LabState, paths: Iterable[str]) -> tuple[str, ...]:
    """Return all files of some images; an image that cannot be read counts as one file."""
    return tuple(file for path in paths for file in (state.images[path].files if path in state.images else (path,)))


def allocated_by(state: LabState, paths: Iterable[str]) -> int:
    """Return the bytes some images take on the host."""
    return sum(state.images[path].allocated for path in paths if path in state.images)
