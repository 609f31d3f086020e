"""Whether an act can still be cancelled, for its progress reports: a Cancel button is only offered while it is heeded.

Up to its commit point a cancelled act is taken back, and the button is checked before each step. From there on an act
goes to its end, and cancelling only leaves out what is optional: a merge, clones that are not woken yet.

Knows: plans and their commit points. Must not know: how a step is done, who presses the button.
"""

from __future__ import annotations

from labkit.engine.progress import OnProgress, Progress
from labkit.limits import OnBytes
from labkit.plans.plan import Plan
from labkit.plans.steps import OnCancel


def heeds_cancel(plan: Plan, index: int, *, at_end: bool = False) -> bool:
    """Return whether an act that is at a certain step can still be cancelled.

    Args:
        index: of the step. at_end: whether the step itself is as good as done.
    """
    commit = plan.commit_point
    last = len(plan.steps) - 1 if commit is None else commit
    if index < last:
        return True
    then = plan.steps[index].on_cancel
    return not at_end and (then is OnCancel.LEAVES_THE_REST or (index == last and then is OnCancel.STOPS))


def step_reporter(on_progress: OnProgress, plan: Plan, index: int) -> OnBytes:
    """Return a function that turns a step's bytes done and bytes in all into progress of its act."""
    label = plan.steps[index].word
    steps = len(plan.steps)
    heeds, heeds_at_end = (heeds_cancel(plan, index, at_end=at_end) for at_end in (False, True))

    def report(done: int, total: int) -> None:
        can_cancel = heeds_at_end if 0 < total <= done else heeds
        on_progress(Progress(step=index + 1, steps=steps, label=label, done=done, total=total, can_cancel=can_cancel))

    return report
