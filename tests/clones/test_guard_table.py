"""The table of dangerous acts: every act, in every state, whoever stands on what; asked of the plans, nothing is done.

What should be refused is told here from the images alone: an act is dangerous if it takes away what another machine
reads. `./lab test tests/clones/test_guard_table.py -s` prints the table.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from labkit.model.disk import chain
from labkit.model.machine import MachineState
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState
from labkit.plans import machine as machines
from labkit.plans import snapshot as snapshots
from labkit.plans.flatten import FlattenSurvey, plan_flatten
from labkit.plans.guard import why_not_write
from labkit.plans.migration import MigrationSurvey, plan_migrate
from labkit.plans.refusal import Refusal
from labkit.units import GIB
from tests.clones.lab import Builder
from tests.snapshots.known import images_of

OFF, RUNNING, PAUSED, SAVED = MachineState
STATES = tuple(MachineState)
SURVEY = snapshots.SnapshotSurvey(free_bytes=100 * GIB)


def nobody(lab: Builder, state: str) -> None:
    """Nobody stands on it."""
    lab.add("web", snapshots=3, state=state)


def a_clone(lab: Builder, state: str) -> None:
    """A linked clone stands on its second snapshot."""
    web = lab.add("web", snapshots=3, state=state)
    lab.add("link", on=web[1])


def two_clones(lab: Builder, state: str) -> None:
    """Linked clones stand on its first and last snapshots; one of them runs."""
    web = lab.add("web", snapshots=3, state=state)
    lab.add("first", on=web[0], state="running")
    lab.add("last", on=web[2])


def a_clone_of_a_clone(lab: Builder, state: str) -> None:
    """A linked clone that has a snapshot of its own, on which another one stands."""
    web = lab.add("web", snapshots=2, state=state)
    link = lab.add("link", on=web[1], snapshots=1)
    lab.add("deep", on=link[0])


def clones_with_snapshots(lab: Builder, state: str) -> None:
    """Only a snapshot of the clone still stands on the original's first snapshot, and so does its current state."""
    web = lab.add("web", snapshots=1, state=state)
    lab.add("link", on=web[0], snapshots=2, state="running")


FAMILIES = (nobody, a_clone, two_clones, a_clone_of_a_clone, clones_with_snapshots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An act in a lab: what the plan says of it, and whether it should be refused."""

    act: str
    state: MachineState
    dependants: frozenset[str]
    expected: bool
    refusal: Refusal | None

    @property
    def is_right(self) -> bool:
        """Whether it is refused where it should be, and only there, with all who depend on it and a way out."""
        if (self.refusal is not None) is not self.expected:
            return False
        if self.refusal is None:
            return True
        named = not self.refusal.dependants or set(self.refusal.dependants) == self.dependants
        return named and bool(self.refusal.ways_out)


def below(state: LabState, machine: str) -> set[str]:
    """All images that a machine and its snapshots read."""
    return {layer.path for path in images_of(state, machine) for layer in chain(state.images, path)}


def standing_on(state: LabState, machine: str, images: set[str], *, directly: bool = False) -> frozenset[str]:
    """The other machines that read some of these images; or whose own images stand on them with none in between."""

    def reads(other: str) -> set[str]:
        if not directly:
            return below(state, other)
        return {state.images[path].backing or "" for path in images_of(state, other)}

    return frozenset(other for other in state.machines if other != machine and images & reads(other))


def cases(state: LabState) -> Iterator[Case]:
    """Every act on every machine of a lab, and on each of its snapshots."""
    for name, facts in state.machines.items():
        tree = state.tree_of(name)
        own = images_of(state, name)
        on_it = standing_on(state, name, own)
        active = facts.state in (RUNNING, PAUSED)

        def case(
            act: str,
            refusal: Refusal | None,
            *,
            expected: bool,
            on: frozenset[str] = on_it,
            at: MachineState = facts.state,
        ) -> Case:
            return Case(act=act, state=at, dependants=on, expected=expected, refusal=refusal)

        yield case("delete the machine", machines.plan_delete(state, name).refusal, expected=active or bool(on_it))
        yield case("start", why_not_write(state, facts.spec.disks), expected=False)
        yield case("take", snapshots.plan_take(state, SURVEY, name, "new", "").refusal, expected=facts.state is SAVED)
        moved = plan_migrate(state, MigrationSurvey(to="other", same_lab=True, reached=True), name).refusal
        yield case("migrate", moved, expected=bool(on_it) or facts.state is SAVED)
        if below(state, name) - own:
            flat = plan_flatten(state, FlattenSurvey(free_bytes=100 * GIB), name).refusal
            held_up = active and bool(tree)  # what runs is flattened only where it has no snapshots of its own
            yield case("flatten", flat, expected=held_up, on=frozenset())
        for point in tree.nodes.values():
            on_point = standing_on(state, name, {disk.path for disk in point.disks}, directly=True)
            one = snapshots.plan_delete(state, SURVEY, name, point.name).refusal
            yield case("delete a snapshot", one, expected=bool(on_point), on=on_point)
            branch = snapshots.plan_delete(state, SURVEY, name, point.name, branch=True).refusal
            disks = {disk.path for each in branch_of(tree, point.name) for disk in tree[each].disks}
            on_branch = standing_on(state, name, disks, directly=True)
            yield case("delete a branch", branch, expected=bool(on_branch), on=on_branch)
            back = snapshots.plan_restore(state, SURVEY, name, point.name).refusal
            yield case("restore", back, expected=False)


def branch_of(tree: SnapshotTree, name: str) -> set[str]:
    """A snapshot and all that came after it."""
    children = (node.name for node in tree.nodes.values() if node.parent == name)
    return {name}.union(*(branch_of(tree, child) for child in children))


def every_case(families: tuple[Callable[[Builder, str], None], ...] = FAMILIES) -> Iterator[Case]:
    """All acts in all labs there are here."""
    for family, state in itertools.product(families, STATES):
        lab = Builder()
        family(lab, state)
        lab.add("stranger")
        yield from cases(lab.state)


def as_table(found: list[Case]) -> str:
    """How often each act was refused, by the state of its machine and whether others stand on what it takes away."""
    told = Counter((case.act, case.state, bool(case.dependants), case.refusal is not None) for case in found)
    lines = [f"{'act':20} {'state':8} {'others need it':15} refused   of"]
    for act, state, needed in sorted({key[:3] for key in told}):
        refused, done = (told[act, state, needed, each] for each in (True, False))
        lines.append(f"{act:20} {state:8} {'yes' if needed else 'no':15} {refused:7} {refused + done:4}")
    wrong = sum(not case.is_right for case in found)
    return "\n".join((*lines, f"{len(found)} acts asked, {wrong} wrongly answered"))


def test_every_dangerous_act_is_refused_and_no_other() -> None:
    found = list(every_case())
    sys.stdout.write(f"\n{as_table(found)}\n")
    assert [case for case in found if not case.is_right] == []
    assert {case.act for case in found if case.refusal} >= {"delete the machine", "delete a snapshot", "migrate"}
