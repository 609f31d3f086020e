"""`make_plan`: how every plan is made, so that no act can be planned past the guard.

Knows: the guard, what a plan was made from. Must not know: which acts there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from labkit.model.state import LabState
from labkit.plans.guard import why_not_now
from labkit.plans.plan import Plan
from labkit.plans.refusal import Refusal
from labkit.plans.steps import Step


def make_plan(
    act: str,
    state: LabState,
    subject: str,
    *,
    names: Iterable[str] = (),
    disks: Iterable[str] = (),
    steps: Iterable[Step] = (),
    refusal: Refusal | None = None,
    notes: Iterable[str] = (),
    whole_lab: bool = False,
) -> Plan:
    """Return a plan, or its refusal: that of the act, or the guard's. A refused plan has neither steps nor notes.

    Args:
        act, subject, names, disks, steps, refusal, notes, whole_lab: as in `Plan`.
    """
    about, involved = tuple(names), tuple(disks)
    plan = Plan(
        act=act,
        subject=subject,
        home=state.home,
        names=about,
        disks=involved,
        basis=state.fingerprint(about, involved),
        steps=() if refusal else tuple(steps),
        refusal=refusal,
        notes=() if refusal else tuple(notes),
        whole_lab=whole_lab,
    )
    if danger := why_not_now(state, plan):
        return replace(plan, steps=(), notes=(), refusal=danger)
    return plan
