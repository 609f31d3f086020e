"""Steps of snapshots: what libvirt keeps of them.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

from labkit.language import _
from labkit.model.machine import DiskSpec, MachineState
from labkit.model.snapshot import SnapshotFacts, SnapshotKind
from labkit.model.state import LabState
from labkit.plans.steps.afterwards import (
    find_machine,
    make_tree,
    newest,
    tree_by_id,
    using,
    with_machine,
    with_specs,
    with_tree,
)
from labkit.plans.steps.base import (
    BaseStep,
    OnCancel,
    Phase,
    Touched,
    definition_paper,
    image_paths,
    line,
    lines,
    own_step,
    snapshot_paper,
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSnapshot(BaseStep):
    """Freeze a machine's disks and go on in overlays; a running guest's memory is kept if a file is named.

    Attributes:
        memory: absolute path of the file for the memory, or None.
        frozen, overlays: the active images before and after, disk by disk.
        console: absolute path of its console log, whose last line is recorded with the memory, or None.
        live: whether the guest is on. quiesce: whether its agent flushes its file systems meanwhile.
        parent: the snapshot that was current before, or None.
    """

    machine_id: str
    domain: str
    name: str
    description: str
    memory: str | None
    frozen: tuple[DiskSpec, ...]
    overlays: tuple[DiskSpec, ...]
    console: str | None = None
    live: bool = False
    quiesce: bool = False
    parent: str | None = None
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        specs = [f"--diskspec={disk.target},file={_doubled(disk.path)}" for disk in self.overlays]
        memory = [f"--memspec=file={_doubled(self.memory)}"] if self.memory else ["--disk-only"]
        quiesce = ["--quiesce"] if self.quiesce and not self.memory else []
        text = [f"--description={self.description}"] if self.description else []
        create = ["virsh", "snapshot-create-as", self.domain, self.name, *text]
        take = line(*create, *memory, *quiesce, "--reuse-external", "--atomic", *specs)
        # libvirt writes a running guest's new chain into its definition, where it would be wrong after a merge.
        note = _("noted before what the console said last, and which QEMU it was; nothing else tells them later.")
        return lines(
            take,
            line("virsh", "define", *self.papers) if self.papers else "",
            own_step(note) if self.memory else "",
        )

    @property
    def papers(self) -> tuple[str, ...]:
        return (definition_paper(self.domain),) if self.live else ()

    @property
    def word(self) -> str:
        return _("writing the memory") if self.memory else _("going on in new images")

    @property
    def touches(self) -> Touched:
        memory = (self.memory,) if self.memory else ()
        below = tuple((disk.path, disk.format) for disk in self.frozen)
        return Touched(creates=memory, hands_over=image_paths(self.overlays), stands_on=below)

    def after(self, state: LabState) -> LabState:
        facts = find_machine(state, self.machine_id)
        if facts is None:
            return state
        tree = tree_by_id(state, self.machine_id)
        node = SnapshotFacts(
            name=self.name,
            description=self.description,
            parent=tree.current,
            created=newest(tree),
            kind=self._kind(facts.state),
            spec=facts.spec,
            memory=self.memory,
        )
        after = with_tree(state, self.machine_id, make_tree([*tree.nodes.values(), node], self.name))
        after = replace(after, memories=after.memories.union([self.memory] if self.memory else ()))
        return with_machine(
            after, self.machine_id, lambda facts: with_specs(facts, lambda spec: using(spec, self.overlays))
        )

    def _kind(self, state: MachineState) -> SnapshotKind:
        if self.memory:
            return SnapshotKind.PAUSED if state is MachineState.PAUSED else SnapshotKind.RUNNING
        return SnapshotKind.DISK_ONLY if self.live else SnapshotKind.OFF


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetSnapshot(BaseStep):
    """Drop libvirt's record of a snapshot; its children become those of its parent.

    Attributes:
        then_current: the snapshot that the current state begins from afterwards; None: the same as before.
        children: the snapshots taken right after it. They are moved to its parent first, since a snapshot whose parent
            is forgotten would take over that one's images.
        current_child: the one of them that the current state begins from, or None.
    """

    machine_id: str
    domain: str
    snapshot: str
    then_current: str | None = None
    children: tuple[str, ...] = ()
    current_child: str | None = None
    phase: ClassVar[Phase] = Phase.CLEAN_UP
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        create = ["virsh", "snapshot-create", self.domain]
        moved = zip(self.children, self.papers, strict=True)
        return lines(
            *(line(*create, paper, "--redefine", *_current(child == self.current_child)) for child, paper in moved),
            line("virsh", "snapshot-delete", self.domain, self.snapshot, "--metadata"),
            line("virsh", "snapshot-current", self.domain, self.then_current) if self.then_current else "",
        )

    @property
    def papers(self) -> tuple[str, ...]:
        return tuple(snapshot_paper(self.domain, child) for child in self.children)

    @property
    def word(self) -> str:
        return _("forgetting the snapshot")

    @property
    def touches(self) -> Touched:
        return Touched()

    def after(self, state: LabState) -> LabState:
        tree = tree_by_id(state, self.machine_id)
        if self.snapshot not in tree:
            return state
        parent = tree[self.snapshot].parent
        left = (node for name, node in tree.nodes.items() if name != self.snapshot)
        nodes = [replace(node, parent=parent) if node.parent == self.snapshot else node for node in left]
        current = self.then_current or (parent if tree.current == self.snapshot else tree.current)
        return with_tree(state, self.machine_id, make_tree(nodes, current))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ReviveSnapshot(BaseStep):
    """Bring back a snapshot that libvirt was made to forget; its images and its memory are still there.

    Attributes:
        xml: what libvirt kept of it. parent: the nearest snapshot before it that still exists, or None.
        frozen: its images. memory: absolute path of the file with its memory, or None.
    """

    machine_id: str
    domain: str
    snapshot: str
    xml: str
    parent: str | None
    frozen: tuple[DiskSpec, ...]
    memory: str | None = None
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return line("virsh", "snapshot-create", self.domain, *self.papers, "--redefine")

    @property
    def papers(self) -> tuple[str, ...]:
        return (snapshot_paper(self.domain, self.snapshot),)

    @property
    def word(self) -> str:
        return _("making the snapshot known again")

    @property
    def touches(self) -> Touched:
        below = tuple((disk.path, disk.format) for disk in self.frozen)
        return Touched(reads=(self.memory,) if self.memory else (), stands_on=below)

    def after(self, state: LabState) -> LabState:
        facts = find_machine(state, self.machine_id)
        points = [state.forgotten[disk.path] for disk in self.frozen if disk.path in state.forgotten]
        if facts is None or not points:
            return state
        tree = tree_by_id(state, self.machine_id)
        node = SnapshotFacts(
            name=self.snapshot,
            description=points[0].description,
            parent=self.parent,
            created=newest(tree),
            kind=SnapshotKind.RUNNING if points[0].memory else SnapshotKind.OFF,
            spec=replace(facts.spec, disks=self.frozen),
            memory=points[0].memory,
        )
        known = {disk.path for disk in self.frozen}
        forgotten = {path: point for path, point in state.forgotten.items() if path not in known}
        after = with_tree(state, self.machine_id, make_tree([*tree.nodes.values(), node], tree.current))
        return replace(after, forgotten=forgotten)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RelabelSnapshot(BaseStep):
    """Give a snapshot another name or description.

    Attributes:
        current: whether the current state begins from it. children: the snapshots taken after it.
        current_child: the one of them that the current state begins from, or None.
    """

    machine_id: str
    domain: str
    old: str
    new: str
    description: str | None
    current: bool = False
    children: tuple[str, ...] = ()
    current_child: str | None = None
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        own, *others = self.papers
        create = ["virsh", "snapshot-create", self.domain]
        if self.new == self.old:
            return line(*create, own, "--redefine", *_current(self.current))
        moved = zip(self.children, others, strict=True)
        return lines(
            line(*create, own, "--redefine"),
            *(line(*create, paper, "--redefine", *_current(child == self.current_child)) for child, paper in moved),
            line("virsh", "snapshot-delete", self.domain, self.old, "--metadata"),
            line("virsh", "snapshot-current", self.domain, self.new) if self.current else "",
        )

    @property
    def papers(self) -> tuple[str, ...]:
        named = (self.new, *(self.children if self.new != self.old else ()))
        return tuple(snapshot_paper(self.domain, name) for name in named)

    @property
    def word(self) -> str:
        return _("renaming the snapshot")

    @property
    def touches(self) -> Touched:
        return Touched()

    def after(self, state: LabState) -> LabState:
        tree = tree_by_id(state, self.machine_id)

        def relabelled(node: SnapshotFacts) -> SnapshotFacts:
            parent = self.new if node.parent == self.old else node.parent
            if node.name != self.old:
                return replace(node, parent=parent)
            text = node.description if self.description is None else self.description
            return replace(node, parent=parent, name=self.new, description=text)

        current = self.new if tree.current == self.old else tree.current
        return with_tree(state, self.machine_id, make_tree(map(relabelled, tree.nodes.values()), current))


def _doubled(path: str) -> str:
    """Return a path as virsh reads it in a list separated by commas: with its own commas doubled."""
    return path.replace(",", ",,")


def _current(is_it: bool) -> list[str]:
    return ["--current"] if is_it else []
