"""Random acts on a machine with disks, compared with a pure model of what each state holds, after each act.

The same rules run over image files alone (`test_acts_on_files`) and over real guests (`test_acts_on_guests`).
Knows: plans, the model of contents. Must not know: who carries plans out.
"""

from __future__ import annotations

import subprocess
from abc import abstractmethod
from collections import Counter
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from labkit.model.disk import chain, disk_name
from labkit.model.image import Allocation, Format
from labkit.model.machine import MachineChanges
from labkit.model.state import LabState
from labkit.plans import disk as disk_plans
from labkit.plans import disk_change
from labkit.plans import machine as machine_plans
from labkit.plans import snapshot as plans
from labkit.plans.effect import state_after
from labkit.plans.plan import Plan
from labkit.plans.steps import RenameImage
from labkit.units import MIB
from tests.plans.foreseen import differences
from tests.snapshots.known import BLOCK, BLOCKS, EMPTY, Content, Contents, Known, data_disks, images_of

MOST_SNAPSHOTS = 8
MOST_DISKS = 4

STEPS: Counter[str] = Counter()
"""How much was tried in this process; told at the end of the run."""


class RandomActs(RuleBasedStateMachine):
    """A machine "web", and others if any are made, under random acts; each is on the machine at hand."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Known] = {"web": Known()}
        self.at = "web"
        self.free: dict[str, Content] = {}
        self.counter = 0
        self._contents = Contents()

    @property
    def own(self) -> Known:
        """What is known of the machine at hand."""
        return self.known[self.at]

    # --- what differs between files and guests ----------------------------------------------------

    @property
    @abstractmethod
    def state(self) -> LabState:
        """The lab as it is."""

    @abstractmethod
    def carry_out(self, plan: Plan) -> None:
        """Do what a plan says."""

    @abstractmethod
    def make_disk(self, name: str, format: Format) -> None:
        """Make a free disk of `CAPACITY`."""

    def is_off(self, machine: str | None = None) -> bool:  # noqa: ARG002
        """Whether images of a machine, the one at hand if none is named, may be written and read from outside."""
        return True

    def may_take(self) -> bool:
        """Whether a snapshot can be taken as the machine stands."""
        return bool(self.state.machines[self.at].spec.disks)

    def write_block(self, spec: tuple[str, Format], block: int, value: int) -> None:
        """Write one block into an image that no guest has open."""
        argv = ["qemu-io", "-f", spec[1].driver, "-c", f"write -P {value} {block * BLOCK} {BLOCK}", spec[0]]
        subprocess.run(argv, check=True, capture_output=True)

    # --- rules ------------------------------------------------------------------------------------

    @precondition(lambda self: self._has_room())
    @rule(format=st.sampled_from([Format.QCOW2, Format.RAW, Format.VDI]))
    def create(self, format: Format) -> None:
        self.counter += 1
        name = f"d{self.counter}"
        self.make_disk(name, format)
        self.free[name] = EMPTY

    @precondition(lambda self: self.is_off() and (self.own.now or self.free))
    @rule(data=st.data(), block=st.integers(0, BLOCKS - 1), value=st.integers(1, 255))
    def write(self, data: st.DataObject, block: int, value: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.own.now | self.free)))
        self.write_block(self._active(name), block, value)
        self._note(name, block, value)

    @precondition(lambda self: self.may_take() and len(self.own.kept) < MOST_SNAPSHOTS)
    @rule()
    def take(self) -> None:
        self.counter += 1
        name = f"s{self.counter}"
        self._act(plans.plan_take(self.state, self._survey(), self.at, name, ""))
        self._keep(name)

    @precondition(lambda self: bool(self.own.kept))
    @rule(data=st.data(), save=st.booleans(), memory=st.booleans())
    def restore(self, data: st.DataObject, save: bool, memory: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.own.kept)))
        state = self.state
        saved = f"saved{self.counter}" if save and self.may_take() and len(self.own.kept) < MOST_SNAPSHOTS else None
        plan = plans.plan_restore(state, self._survey(), self.at, name, save_current=saved, memory=memory)
        if plan.refusal is not None:
            assert "another disk of that name is attached" in plan.refusal.why
            return
        moved = {disk_name(step.old): disk_name(step.new) for step in plan.steps if isinstance(step, RenameImage)}
        self._act(plan)
        if saved is not None:
            self.counter += 1
            self._keep(saved, state)
        point = self.own.kept[name]
        self.free = {moved.get(disk, disk): content for disk, content in self.free.items()}
        self.free |= {disk: content for disk, content in self.own.now.items() if disk not in point}
        self.own.now = dict(point)
        self.own.current = name
        assert state.machines[self.at].spec.id == self.state.machines[self.at].spec.id
        assert self.state.machines[self.at].spec.memory == self.own.memories[name]

    @precondition(lambda self: bool(self.own.kept))
    @rule(data=st.data(), branch=st.booleans(), merge=st.sampled_from(["auto", "always", "never"]))
    def delete(self, data: st.DataObject, branch: bool, merge: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.own.kept)))
        gone = self._branch(name) if branch else [name]
        state = self.state
        plan = plans.plan_delete(state, self._survey(), self.at, name, branch=branch, merge=merge)
        points = {disk.path for each in gone for disk in state.snapshots[self.at][each].disks}
        others = {path for machine in self.known if machine != self.at for path in images_of(state, machine)}
        if plan.refusal is not None:
            STEPS["refused"] += 1
            assert any(layer.path in points for path in others for layer in chain(state.images, path))
            return
        assert not any(state.images[path].backing in points for path in others)
        self._act(plan)
        for each in gone:
            parent = self.own.parents.pop(each)
            del self.own.kept[each]
            self.own.parents = {key: parent if value == each else value for key, value in self.own.parents.items()}
            self.own.current = parent if self.own.current == each else self.own.current

    @precondition(lambda self: bool(self.own.kept))
    @rule(data=st.data())
    def rename(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.own.kept)))
        self.counter += 1
        new = f"r{self.counter}"
        self._act(plans.plan_relabel(self.state, self.at, name, new=new))
        self.own.kept[new] = self.own.kept.pop(name)
        self.own.memories[new] = self.own.memories.pop(name)
        self.own.parents[new] = self.own.parents.pop(name)
        self.own.parents = {key: new if value == name else value for key, value in self.own.parents.items()}
        self.own.current = new if self.own.current == name else self.own.current

    @precondition(lambda self: bool(self.own.kept))
    @rule(data=st.data(), description=st.sampled_from(["", "x", "<é & \"'>\n2"]))
    def describe(self, data: st.DataObject, description: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.own.kept)))
        self._act(plans.plan_relabel(self.state, self.at, name, description=description))
        assert self.state.snapshots[self.at][name].description == description

    @precondition(lambda self: self.is_off() and bool(self.own.now or self.free) and self._has_room())
    @rule(data=st.data(), format=st.sampled_from([Format.QCOW2, Format.RAW, Format.VDI]))
    def convert(self, data: st.DataObject, format: Format) -> None:
        name = data.draw(st.sampled_from(sorted(self.own.now | self.free)))
        self.counter += 1
        new = f"c{self.counter}"
        survey = disk_plans.DiskSurvey(free_bytes=64 * 1024 * MIB)
        self._act(disk_change.plan_convert(self.state, survey, name, new, format, Allocation.DYNAMIC))
        self.free[new] = (self.own.now | self.free)[name]

    @precondition(lambda self: self.is_off() and bool(self.free))
    @rule(data=st.data())
    def attach(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.free)))
        plan = disk_plans.plan_attach(self.state, name, self.at)
        if plan.refusal is not None:
            assert len(self.known) > 1
            assert "it can be attached only there" in plan.refusal.why
            STEPS["refused"] += 1
            return
        self._act(plan)
        self.own.now[name] = self.free.pop(name)

    @precondition(lambda self: self.is_off() and bool(self.own.now))
    @rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.own.now)))
        survey = disk_plans.DiskSurvey(free_bytes=64 * 1024 * MIB)
        self._act(disk_plans.plan_detach(self.state, survey, name, self.at))
        self.free[name] = self.own.now.pop(name)

    @precondition(lambda self: bool(self.free))
    @rule(data=st.data())
    def delete_disk(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.free)))
        self._act(disk_plans.plan_delete(self.state, name))
        del self.free[name]

    @precondition(lambda self: self.is_off())
    @rule(memory=st.sampled_from([64, 96, 128]))
    def configure(self, memory: int) -> None:
        spec = self.state.machines[self.at].spec
        host = machine_plans.Survey(
            host_memory=1024 * 1024 * MIB, host_cpus=8, free_bytes=1024 * 1024 * MIB, accelerator=spec.accelerator
        )
        changes = MachineChanges(memory=memory * MIB)
        self._act(machine_plans.plan_configure(self.state, host, self.at, changes))

    # --- what must hold after each act ------------------------------------------------------------

    @invariant()
    def the_trees_are_as_the_model_says(self) -> None:
        STEPS["steps"] += 1
        state = self.state
        assert sorted(state.machines) == sorted(self.known)
        for machine, known in self.known.items():
            tree = state.tree_of(machine)
            assert {name: node.parent for name, node in tree.nodes.items()} == known.parents
            assert tree.current == known.current

    @invariant()
    def every_state_holds_what_it_held(self) -> None:
        state = self.state
        read = self._contents.reader(state)
        for machine, known in self.known.items():
            tree = state.tree_of(machine)
            for name, disks in known.kept.items():
                assert {spec.name: read(spec.path) for spec in data_disks(tree[name].disks)} == disks, (machine, name)
            if self.is_off(machine):
                own = state.machines[machine].spec.disks
                assert {spec.name: read(spec.path) for spec in data_disks(own)} == known.now, machine
        free = {name: disk.active.path for name, disk in state.disks.items() if disk.machine is None}
        assert {name: read(path) for name, path in free.items()} == self.free

    @invariant()
    def no_file_is_there_that_nothing_needs_and_what_is_kept_is_closed(self) -> None:
        state = self.state
        alive: set[str] = set()
        for root in state.roots:
            path: str | None = root
            while path is not None:
                alive.add(path)
                path = state.images[path].backing
        assert set(state.images) == alive, sorted(set(state.images) ^ alive)
        assert all(state.images[path].frozen for path in state.kept)
        writable = {disk.path for machine in state.machines.values() for disk in machine.spec.disks}
        assert not any(state.images[path].frozen for path in writable)

    # --- helpers ----------------------------------------------------------------------------------

    def _act(self, plan: Plan, *, brought: bool = False) -> None:
        """Carry a plan out: what it said it leaves is there.

        Args:
            brought: whether it brings a file in of which nobody knew beforehand what it is.
        """
        assert plan.refusal is None, plan.refusal
        STEPS["acts"] += 1
        foreseen = state_after(self.state, plan)
        self.carry_out(plan)
        left = [path for path in plan.files.deleted if Path(path).exists()]
        assert not left, left
        unforeseen = {} if brought else differences(foreseen, self.state)
        assert not unforeseen, unforeseen

    def _keep(self, name: str, before: LabState | None = None) -> None:
        """A snapshot of the machine was taken; it is configured as it was before, if that is given, else as it is."""
        self.own.kept[name] = dict(self.own.now)
        self.own.memories[name] = (before or self.state).machines[self.at].spec.memory
        self.own.parents[name] = self.own.current
        self.own.current = name

    def _has_room(self) -> bool:
        return len(self.own.now) + len(self.free) < MOST_DISKS

    def _note(self, name: str, block: int, value: int) -> None:
        """A block of a disk was written."""
        holder = self.own.now if name in self.own.now else self.free
        old = holder[name]
        holder[name] = (*old[:block], value, *old[block + 1 :])

    def _branch(self, name: str) -> list[str]:
        below = [child for child, parent in self.own.parents.items() if parent == name]
        return [*(deeper for child in below for deeper in self._branch(child)), name]

    @staticmethod
    def _survey() -> plans.SnapshotSurvey:
        return plans.SnapshotSurvey(free_bytes=1024 * 1024 * MIB)

    def _active(self, name: str) -> tuple[str, Format]:
        active = self.state.disks[name].active
        return active.path, active.format
