"""Plans of acts on snapshots: take, restore, delete, rename, describe.

Each is a pure function of the lab's state, a survey and a request. Which files are deleted is decided by `reclaim`.
Knows: the model, steps. Must not know: libvirt, files.
"""

from __future__ import annotations

from labkit.plans.snapshot.delete import MERGE_BOUND, Merge, plan_delete
from labkit.plans.snapshot.relabel import plan_relabel
from labkit.plans.snapshot.restore import plan_restore
from labkit.plans.snapshot.take import DEEP, plan_take
from labkit.plans.snapshot_survey import SnapshotSurvey

__all__ = [
    "DEEP",
    "MERGE_BOUND",
    "Merge",
    "SnapshotSurvey",
    "plan_delete",
    "plan_relabel",
    "plan_restore",
    "plan_take",
]
