"""Random acts with clones: made, many and of one another; let stand alone; their originals deleted.

Every rule of `random_acts` is then on the machine at hand, which may be any of them.
Knows: plans, the model of contents. Must not know: who carries plans out.
"""

from __future__ import annotations

import uuid

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from labkit.model.disk import chain, disk_name
from labkit.model.state import LabState
from labkit.plans import machine as machine_plans
from labkit.plans.clone import plan_clone
from labkit.plans.clone_request import CloneKind, CloneRequest, CloneSurvey, NewClone, origin_of
from labkit.plans.flatten import FlattenSurvey, plan_flatten
from labkit.plans.steps import CopySnapshots, DefineClones, TakeSnapshot
from labkit.units import GIB
from tests.snapshots.known import Content, Known, data_disks, images_of
from tests.snapshots.random_acts import MOST_SNAPSHOTS, STEPS, RandomActs

MOST_MACHINES = 5


class CloneActs(RandomActs):
    """A machine, its clones, and theirs."""

    @precondition(lambda self: len(self.known) > 1)
    @rule(data=st.data())
    def turn_to(self, data: st.DataObject) -> None:
        """Let the next acts be on another machine."""
        self.at = data.draw(st.sampled_from(sorted(set(self.known) - {self.at})))

    @precondition(lambda self: self.is_off() and len(self.known) < MOST_MACHINES)
    @rule(data=st.data(), tree=st.booleans())
    def clone_full(self, data: st.DataObject, tree: bool) -> None:
        snapshot = None if tree else data.draw(st.sampled_from([None, *sorted(self.own.kept)]))
        self._clone(CloneKind.FULL, snapshot, tree=tree)

    @precondition(lambda self: self.may_take() and len(self.known) < MOST_MACHINES)
    @rule(data=st.data(), many=st.booleans())
    def clone_linked(self, data: st.DataObject, many: bool) -> None:
        new = [None] if len(self.own.kept) < MOST_SNAPSHOTS else []
        choices = [*sorted(self.own.kept), *new]
        count = MOST_MACHINES - len(self.known) if many else 1
        self._clone(CloneKind.LINKED, data.draw(st.sampled_from(choices)), count=count)

    @precondition(lambda self: self.is_off() and len(self.known) > 1)
    @rule()
    def flatten(self) -> None:
        plan = plan_flatten(self.state, FlattenSurvey(free_bytes=1024 * GIB), self.at)
        if plan.refusal is not None:
            STEPS["refused"] += 1
            assert set(plan.refusal.dependants) <= set(self._standing_on(self.state, self.at))
            assert not any(map(self.is_off, plan.refusal.dependants))
            return
        self._act(plan)
        state = self.state
        others = {path for machine in self.known if machine != self.at for path in images_of(state, machine)}
        below = {layer.path for path in images_of(state, self.at) for layer in chain(state.images, path)}
        assert not below & others

    @precondition(lambda self: len(self.known) > 1 and any(map(self.is_off, self.known)))
    @rule(data=st.data())
    def delete_machine(self, data: st.DataObject) -> None:
        """Delete any; what others stand on stays until they stand alone."""
        self.at = data.draw(st.sampled_from([name for name in sorted(self.known, reverse=True) if self.is_off(name)]))
        state = self.state
        plan = machine_plans.plan_delete(state, self.at)
        clones = self._standing_on(state, self.at)
        if clones:
            STEPS["refused"] += 1
            assert plan.refusal is not None
            assert plan.refusal.dependants == clones
            return
        self._act(plan)
        del self.known[self.at]
        self.at = min(self.known)

    # --- helpers ----------------------------------------------------------------------------------

    def _clone(self, kind: CloneKind, snapshot: str | None, *, tree: bool = False, count: int = 1) -> None:
        names = [f"k{self.counter + number}" for number in range(1, count + 1)]
        self.counter += count
        request = CloneRequest(
            machine=self.at,
            clones=tuple(NewClone(name=name, id=str(uuid.uuid4()), genid=str(uuid.uuid4())) for name in names),
            kind=kind,
            snapshot=snapshot,
            snapshots=tree,
            many=count > 1,
        )
        state = self.state
        plan = plan_clone(state, CloneSurvey(free_bytes=1024 * GIB, host_memory=1024 * GIB), request)
        self._act(plan)
        STEPS["clones"] += count
        for step in plan.steps:
            if isinstance(step, TakeSnapshot):
                self._keep(step.name)
        held = self.own.now if snapshot is None else self.own.kept[snapshot]
        origin = origin_of(state, request).disks
        define = next(step for step in plan.steps if isinstance(step, DefineClones))
        for spec in define.specs:
            pairs = zip(data_disks(origin), data_disks(spec.disks), strict=True)
            self.known[spec.name] = Known(now={disk_name(new.path): held[old.name] for old, new in pairs})
        for step in plan.steps:
            if isinstance(step, CopySnapshots):
                self._know_tree(state, step)

    def _know_tree(self, state: LabState, step: CopySnapshots) -> None:
        """A clone has got the tree of the machine at hand."""
        clone, paths = self.known[step.spec.name], dict(step.paths)
        for name, disks in self.own.kept.items():
            specs = data_disks(state.snapshots[self.at][name].disks)
            copied: dict[str, Content] = {disk_name(paths[spec.path]): disks[spec.name] for spec in specs}
            clone.kept[name] = copied
        clone.memories = dict(self.own.memories)
        clone.parents = dict(self.own.parents)
        clone.current = self.own.current

    def _standing_on(self, state: LabState, machine: str) -> tuple[str, ...]:
        """The other machines with an image of a machine below theirs, told from the headers."""
        images = images_of(state, machine)
        return tuple(
            sorted(
                other
                for other in self.known
                if other != machine
                and any(layer.path in images for path in images_of(state, other) for layer in chain(state.images, path))
            )
        )
