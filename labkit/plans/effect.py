"""What a plan will leave behind: the lab's state as it will be, worked out from its steps before anything is done.

Knows: plans, the model. Must not know: what any step does, how the state is drawn.
"""

from __future__ import annotations

from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState
from labkit.plans.plan import Plan


def state_after(state: LabState, plan: Plan) -> LabState:
    """Return the lab as it will be when a plan is carried out; a refused plan changes nothing.

    Sizes are those that the plan expects. What an act then leaves undone (a file that somebody else needs, a layer that
    cannot be merged just now) is reported in its outcome.
    """
    for step in plan.steps:
        state = step.after(state)
    return state


def tree_after(state: LabState, plan: Plan) -> SnapshotTree:
    """Return the snapshots of the machine that a plan is about as they will be when it is carried out."""
    return state_after(state, plan).tree_of(plan.names[0])
