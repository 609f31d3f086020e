"""Plans to give a snapshot another name or description.

Knows: the model, steps. Must not know: libvirt.
"""

from __future__ import annotations

from labkit.model.state import LabState
from labkit.plans.plan import Plan
from labkit.plans.snapshot.common import snapshot_plan
from labkit.plans.snapshot_excuses import why_not_named, why_not_there
from labkit.plans.steps import RelabelSnapshot


def plan_relabel(
    state: LabState, machine: str, name: str, *, new: str | None = None, description: str | None = None
) -> Plan:
    """Plan to give a snapshot another name or description."""
    facts, tree = state.machines[machine], state.tree_of(machine)
    act = "rename" if new is not None else "describe"
    refusal = why_not_there(facts, tree, name) or (why_not_named(tree, new) if new not in (None, name) else None)
    if refusal or (new in (None, name) and description in (None, tree[name].description)):
        return snapshot_plan(act, state, machine, name, refusal=refusal)
    step = RelabelSnapshot(
        machine_id=facts.id,
        domain=facts.spec.domain_name,
        old=name,
        new=new or name,
        description=description,
        current=tree.current == name,
        children=tree.children(name),
        current_child=tree.current if tree.current in tree.children(name) else None,
    )
    return snapshot_plan(act, state, machine, name, steps=[step])
