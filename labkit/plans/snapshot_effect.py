"""What an act on snapshots does to the tree, and what each snapshot costs: told from plans, before anything is done.

Knows: plans, the model. Must not know: how a step is carried out, how trees are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from labkit.model.machine import MachineFacts, MachineState
from labkit.model.snapshot import SnapshotFacts, SnapshotKind, SnapshotTree, sort_nodes
from labkit.model.state import LabState
from labkit.plans.plan import Plan
from labkit.plans.snapshot import SnapshotSurvey, plan_delete
from labkit.plans.steps import ForgetSnapshot, MarkCurrent, RelabelSnapshot, TakeSnapshot


def tree_after(state: LabState, plan: Plan) -> SnapshotTree:
    """Return the tree of a plan's machine as it will be when the plan is carried out.

    Args:
        state: what the plan was made from. plan: to take, restore, delete, rename or describe a snapshot.
    """
    name = plan.names[0]
    tree = state.snapshots.get(name, SnapshotTree())
    for step in plan.steps:
        match step:
            case TakeSnapshot():
                tree = _with(tree, _taken(state.machines[name], tree, step))
            case MarkCurrent():
                tree = replace(tree, current=step.snapshot)
            case ForgetSnapshot():
                tree = _without(tree, step.snapshot)
            case RelabelSnapshot():
                tree = _relabelled(tree, step)
    return tree


def find_costs(state: LabState, survey: SnapshotSurvey, machine: str) -> dict[str, int]:
    """Return how many bytes of the host deleting each snapshot alone would free, by name."""
    tree = state.snapshots.get(machine, SnapshotTree())
    return {name: plan_delete(state, survey, machine, name).bytes_freed for name in tree}


def _taken(facts: MachineFacts, tree: SnapshotTree, step: TakeSnapshot) -> SnapshotFacts:
    if step.memory:
        kind = SnapshotKind.PAUSED if facts.state is MachineState.PAUSED else SnapshotKind.RUNNING
    else:
        kind = SnapshotKind.DISK_ONLY if step.live else SnapshotKind.OFF
    return SnapshotFacts(
        name=step.name,
        description=step.description,
        parent=tree.current,
        created=1 + max((node.created for node in tree.nodes.values()), default=0),
        kind=kind,
        spec=facts.spec,
        memory=step.memory,
    )


def _with(tree: SnapshotTree, node: SnapshotFacts) -> SnapshotTree:
    return SnapshotTree(nodes=sort_nodes({**tree.nodes, node.name: node}), current=node.name)


def _without(tree: SnapshotTree, name: str) -> SnapshotTree:
    parent = tree[name].parent
    left = {key: node for key, node in tree.nodes.items() if key != name}
    nodes = {key: replace(node, parent=parent) if node.parent == name else node for key, node in left.items()}
    return SnapshotTree(nodes=sort_nodes(nodes), current=parent if tree.current == name else tree.current)


def _relabelled(tree: SnapshotTree, step: RelabelSnapshot) -> SnapshotTree:
    old = tree[step.old]
    text = old.description if step.description is None else step.description
    changed: Mapping[str, SnapshotFacts] = {
        (step.new if key == step.old else key): replace(
            node,
            name=step.new if key == step.old else node.name,
            description=text if key == step.old else node.description,
            parent=step.new if node.parent == step.old else node.parent,
        )
        for key, node in tree.nodes.items()
    }
    return SnapshotTree(nodes=dict(changed), current=step.new if tree.current == step.old else tree.current)


__all__ = ["find_costs", "tree_after"]
