"""Random acts on a machine with disks, compared with a pure model of what each state holds, after each act.

The same rules run over image files alone (`test_acts_on_files`) and over real guests (`test_acts_on_guests`).
Knows: plans and contents. Must not know: who carries plans out.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from abc import abstractmethod
from collections import Counter
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from labkit.model.disk import disk_name
from labkit.model.image import Allocation, Format
from labkit.model.machine import DiskSpec, MachineChanges
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState
from labkit.plans import disk as disk_plans
from labkit.plans import machine as machine_plans
from labkit.plans import snapshot as plans
from labkit.plans.plan import Plan
from labkit.plans.steps import RenameImage
from labkit.units import KIB, MIB

BLOCK = 64 * KIB
BLOCKS = 16
CAPACITY = BLOCK * BLOCKS
MOST_SNAPSHOTS = 8
MOST_DISKS = 4

Content = tuple[int, ...]
"""What a disk holds: one byte value for each block."""

EMPTY: Content = (0,) * BLOCKS

STEPS: Counter[str] = Counter()
"""How much was tried in this process; told at the end of the run."""


class RandomActs(RuleBasedStateMachine):
    """A machine "web" under random acts."""

    def __init__(self) -> None:
        super().__init__()
        self.now: dict[str, Content] = {}
        self.free: dict[str, Content] = {}
        self.kept: dict[str, dict[str, Content]] = {}
        self.memories: dict[str, int] = {}
        self.parents: dict[str, str | None] = {}
        self.current: str | None = None
        self.counter = 0
        self._known: dict[tuple[str, ...], Content] = {}

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

    def is_off(self) -> bool:
        """Whether images may be written and read from outside."""
        return True

    def may_take(self) -> bool:
        """Whether a snapshot can be taken as the machine stands."""
        return True

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

    @precondition(lambda self: self.is_off() and (self.now or self.free))
    @rule(data=st.data(), block=st.integers(0, BLOCKS - 1), value=st.integers(1, 255))
    def write(self, data: st.DataObject, block: int, value: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.now | self.free)))
        self.write_block(self._active(name), block, value)
        self._note(name, block, value)

    @precondition(lambda self: self.may_take() and len(self.kept) < MOST_SNAPSHOTS)
    @rule()
    def take(self) -> None:
        self.counter += 1
        name = f"s{self.counter}"
        self._act(plans.plan_take(self.state, self._survey(), "web", name, ""))
        self._keep(name)

    @precondition(lambda self: bool(self.kept))
    @rule(data=st.data(), save=st.booleans(), memory=st.booleans())
    def restore(self, data: st.DataObject, save: bool, memory: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.kept)))
        state = self.state
        saved = f"saved{self.counter}" if save and self.may_take() and len(self.kept) < MOST_SNAPSHOTS else None
        plan = plans.plan_restore(state, self._survey(), "web", name, save_current=saved, memory=memory)
        if plan.refusal is not None:
            assert "another disk of that name is attached" in plan.refusal.why
            return
        moved = {disk_name(step.old): disk_name(step.new) for step in plan.steps if isinstance(step, RenameImage)}
        self._act(plan)
        if saved is not None:
            self.counter += 1
            self._keep(saved)
        point = self.kept[name]
        self.free = {moved.get(disk, disk): content for disk, content in self.free.items()}
        self.free |= {disk: content for disk, content in self.now.items() if disk not in point}
        self.now = dict(point)
        self.current = name
        assert state.machines["web"].spec.id == self.state.machines["web"].spec.id
        assert self.state.machines["web"].spec.memory == self.memories[name]

    @precondition(lambda self: bool(self.kept))
    @rule(data=st.data(), branch=st.booleans(), merge=st.sampled_from(["auto", "always", "never"]))
    def delete(self, data: st.DataObject, branch: bool, merge: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.kept)))
        gone = self._branch(name) if branch else [name]
        self._act(plans.plan_delete(self.state, self._survey(), "web", name, branch=branch, merge=merge))
        for each in gone:
            parent = self.parents.pop(each)
            del self.kept[each]
            self.parents = {key: parent if value == each else value for key, value in self.parents.items()}
            self.current = parent if self.current == each else self.current

    @precondition(lambda self: bool(self.kept))
    @rule(data=st.data())
    def rename(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.kept)))
        self.counter += 1
        new = f"r{self.counter}"
        self._act(plans.plan_relabel(self.state, "web", name, new=new))
        self.kept[new] = self.kept.pop(name)
        self.memories[new] = self.memories.pop(name)
        self.parents[new] = self.parents.pop(name)
        self.parents = {key: new if value == name else value for key, value in self.parents.items()}
        self.current = new if self.current == name else self.current

    @precondition(lambda self: bool(self.kept))
    @rule(data=st.data(), description=st.sampled_from(["", "x", "<é & \"'>\n2"]))
    def describe(self, data: st.DataObject, description: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.kept)))
        self._act(plans.plan_relabel(self.state, "web", name, description=description))
        assert self.state.snapshots["web"][name].description == description

    @precondition(lambda self: self.is_off() and bool(self.now or self.free) and self._has_room())
    @rule(data=st.data(), format=st.sampled_from([Format.QCOW2, Format.RAW, Format.VDI]))
    def convert(self, data: st.DataObject, format: Format) -> None:
        name = data.draw(st.sampled_from(sorted(self.now | self.free)))
        self.counter += 1
        new = f"c{self.counter}"
        survey = disk_plans.DiskSurvey(free_bytes=64 * 1024 * MIB)
        self._act(disk_plans.plan_convert(self.state, survey, name, new, format, Allocation.DYNAMIC))
        self.free[new] = (self.now | self.free)[name]

    @precondition(lambda self: self.is_off() and bool(self.free))
    @rule(data=st.data())
    def attach(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.free)))
        self._act(disk_plans.plan_attach(self.state, name, "web"))
        self.now[name] = self.free.pop(name)

    @precondition(lambda self: self.is_off() and bool(self.now))
    @rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.now)))
        survey = disk_plans.DiskSurvey(free_bytes=64 * 1024 * MIB)
        self._act(disk_plans.plan_detach(self.state, survey, name, "web"))
        self.free[name] = self.now.pop(name)

    @precondition(lambda self: bool(self.free))
    @rule(data=st.data())
    def delete_disk(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.free)))
        self._act(disk_plans.plan_delete(self.state, name))
        del self.free[name]

    @precondition(lambda self: self.is_off())
    @rule(memory=st.sampled_from([64, 96, 128]))
    def configure(self, memory: int) -> None:
        spec = self.state.machines["web"].spec
        host = machine_plans.Survey(
            host_memory=1024 * 1024 * MIB, host_cpus=8, free_bytes=1024 * 1024 * MIB, accelerator=spec.accelerator
        )
        changes = MachineChanges(memory=memory * MIB)
        self._act(machine_plans.plan_configure(self.state, host, "web", changes))

    # --- what must hold after each act ------------------------------------------------------------

    @invariant()
    def the_tree_is_as_the_model_says(self) -> None:
        STEPS["steps"] += 1
        tree = self.state.snapshots.get("web", SnapshotTree())
        assert {name: node.parent for name, node in tree.nodes.items()} == self.parents
        assert tree.current == self.current

    @invariant()
    def every_state_holds_what_it_held(self) -> None:
        state = self.state
        tree = state.snapshots.get("web", SnapshotTree())
        for name, disks in self.kept.items():
            assert {spec.name: self._read(state, spec.path) for spec in self._data(tree[name].disks)} == disks, name
        if not self.is_off():
            return
        own = state.machines["web"].spec.disks
        assert {spec.name: self._read(state, spec.path) for spec in self._data(own)} == self.now
        free = {name: disk.active.path for name, disk in state.disks.items() if disk.machine is None}
        assert {name: self._read(state, path) for name, path in free.items()} == self.free

    @invariant()
    def no_file_is_there_that_nothing_needs_and_what_is_kept_is_closed(self) -> None:
        state = self.state
        alive: set[str] = set()
        for root in state.roots:
            path: str | None = root
            while path is not None:
                alive.add(path)
                path = state.images[path].backing
        assert set(state.images) == alive
        assert all(state.images[path].frozen for path in state.kept)
        assert not any(image.frozen for image in state.images.values() if image.path in self._writable(state))

    # --- helpers ----------------------------------------------------------------------------------

    def _act(self, plan: Plan) -> None:
        assert plan.refusal is None, plan.refusal
        STEPS["acts"] += 1
        self.carry_out(plan)
        left = [path for path in plan.files.deleted if Path(path).exists()]
        assert not left, left

    def _keep(self, name: str) -> None:
        self.kept[name] = dict(self.now)
        self.memories[name] = self.state.machines["web"].spec.memory
        self.parents[name] = self.current
        self.current = name

    def _has_room(self) -> bool:
        return len(self.now) + len(self.free) < MOST_DISKS

    def _note(self, name: str, block: int, value: int) -> None:
        """A block of a disk was written."""
        holder = self.now if name in self.now else self.free
        old = holder[name]
        holder[name] = (*old[:block], value, *old[block + 1 :])

    def _branch(self, name: str) -> list[str]:
        below = [child for child, parent in self.parents.items() if parent == name]
        return [*(deeper for child in below for deeper in self._branch(child)), name]

    @staticmethod
    def _survey() -> plans.SnapshotSurvey:
        return plans.SnapshotSurvey(free_bytes=1024 * 1024 * MIB)

    def _data(self, disks: tuple[DiskSpec, ...]) -> list[DiskSpec]:
        """The disks that the model follows: all but the one a guest boots from."""
        return [spec for spec in disks if not spec.name.startswith("web")]

    def _active(self, name: str) -> tuple[str, Format]:
        active = self.state.disks[name].active
        return active.path, active.format

    @staticmethod
    def _writable(state: LabState) -> set[str]:
        return {spec.path for spec in state.machines["web"].spec.disks}

    def _read(self, state: LabState, path: str) -> Content:
        """What a guest would read; asked of qemu-img once for each content of the files of a chain."""
        files: list[str] = []
        below: str | None = path
        while below is not None:
            files += [self._hash(file) for file in state.images[below].files]
            below = state.images[below].backing
        key = tuple(files)
        if key not in self._known:
            self._known[key] = read_content(path, state.images[path].format)
        return self._known[key]

    def _hash(self, file: str) -> str:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def read_content(path: str, format: Format) -> Content:
    """Return what an image, with all below it, holds."""
    with tempfile.NamedTemporaryFile(prefix="content-") as raw:
        subprocess.run(["qemu-img", "convert", "-f", format.driver, "-O", "raw", path, raw.name], check=True)
        data = Path(raw.name).read_bytes()
    blocks = [data[at * BLOCK : (at + 1) * BLOCK] for at in range(BLOCKS)]
    assert all(len(set(block)) == 1 for block in blocks)
    return tuple(block[0] for block in blocks)
