"""What each snapshot costs: taken from the plans to delete it.

Knows: plans, the model. Must not know: how a step is carried out, how trees are drawn.
"""

from __future__ import annotations

from labkit.model.state import LabState
from labkit.plans.snapshot.delete import plan_delete
from labkit.plans.snapshot_survey import SnapshotSurvey


def find_costs(state: LabState, survey: SnapshotSurvey, machine: str) -> dict[str, int]:
    """Return how many bytes of the host deleting each snapshot alone would free, by name."""
    tree = state.tree_of(machine)
    return {name: plan_delete(state, survey, machine, name).bytes_freed for name in tree}
