"""Whether an act can still be cancelled, told with its progress: what is not heeded is not offered.

Up to its commit point an act is taken back, and each step waits for a look at the cancel button. From there on it goes
to its end; only what is a gain and no duty is then left undone: a merge, clones that are not woken yet.

Knows: plans and their commit points. Must not know: how a step is done, who presses the button.
"""

from __future__ import annotations

from labkit.plans.plan import Plan
from labkit.plans.steps import OnCancel


def heeds_cancel(plan: Plan, index: int, *, at_end: bool = False) -> bool:
    """Return whether a plan that is at a step can still be cancelled.

    Args:
        index: of the step. at_end: whether that has nothing left to stop.
    """
    commit = plan.commit_point
    last = len(plan.steps) - 1 if commit is None else commit
    if index < last:
        return True
    then = plan.steps[index].on_cancel
    return not at_end and (then is OnCancel.LEAVES_THE_REST or (index == last and then is OnCancel.STOPS))
