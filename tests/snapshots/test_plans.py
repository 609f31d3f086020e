"""What the plans of take, restore, delete and rename say: steps, files, bytes, notes and refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.model.image import Format, ImageFacts
from labkit.model.machine import Accelerator, Boot, DiskSpec, MachineFacts, MachineState
from labkit.model.snapshot import SnapshotFacts, SnapshotTree, sort_nodes
from labkit.model.state import LabState
from labkit.plans.plan import Plan
from labkit.plans.snapshot import DEEP, SnapshotSurvey, plan_delete, plan_relabel, plan_restore, plan_take
from labkit.plans.steps import (
    CutPower,
    DefineFromSnapshot,
    DeleteFiles,
    DropSaved,
    ForgetSnapshot,
    MergeLayer,
    RestoreMemory,
    TakeSnapshot,
)
from labkit.units import GIB, MIB
from tests.snapshots.world import HOME, disk, image, machine, snapshot

SURVEY = SnapshotSurvey(free_bytes=100 * GIB)
MEMORY = f"{HOME}/memory/web.0.mem"


def _state(
    facts: MachineFacts, *images: ImageFacts, nodes: tuple[SnapshotFacts, ...] = (), current: str | None = None
) -> LabState:
    tree = SnapshotTree(nodes=sort_nodes({node.name: node for node in nodes}), current=current)
    return LabState(
        lab="default",
        lab_id="lab-id",
        home=HOME,
        machines={"web": facts},
        snapshots={"web": tree} if nodes else {},
        images={each.path: each for each in images},
        memories=frozenset(node.memory for node in nodes if node.memory),
    )


def _line(count: int, state: MachineState = MachineState.OFF, **changes: object) -> LabState:
    """A machine after `count` snapshots "s1" … in a row, each one layer."""
    specs = [disk("web.vda", number) for number in range(count + 1)]
    images = [
        image(spec, specs[number - 1] if number else None, frozen=number < count) for number, spec in enumerate(specs)
    ]
    nodes = tuple(
        snapshot(f"s{number + 1}", machine(spec).spec, f"s{number}" if number else None)
        for number, spec in enumerate(specs[:-1])
    )
    state_ = _state(machine(specs[-1], state=state), *images, nodes=nodes, current=f"s{count}" if count else None)
    return replace(state_, **changes)  # type: ignore[arg-type]


def _names(plan: Plan) -> list[str]:
    return [type(step).__name__ for step in plan.steps]


def _why(plan: Plan) -> str:
    assert plan.refusal is not None
    assert plan.steps == ()
    return plan.refusal.why


def _holding_snapshots(number: int) -> dict[str, ImageFacts]:
    """The images of a line, of which the active one holds snapshots that another tool made inside."""
    images = dict(_line(number).images)
    path = disk("web.vda", number).path
    return images | {path: replace(images[path], internal=2)}


# --- take ------------------------------------------------------------------------------------------


def test_take_makes_an_overlay_for_every_disk_switches_once_and_freezes() -> None:
    vda, vdb = disk("web.vda"), disk("data", target="vdb", format=Format.RAW)
    plan = plan_take(_state(machine(vda, vdb), image(vda), image(vdb)), SURVEY, "web", "clean", "")
    assert _names(plan) == ["CreateOverlay", "CreateOverlay", "TakeSnapshot", "FreezeImages"]
    assert plan.files.created == (f"{HOME}/disks/web.vda.1.qcow2", f"{HOME}/disks/data.1.qcow2")
    assert plan.commit_point == 2
    assert plan.commands[1] == "qemu-img create -f qcow2 -b data.0.raw -F raw disks/data.1.qcow2"


@pytest.mark.parametrize(
    ("state", "memory"),
    [(MachineState.OFF, None), (MachineState.RUNNING, MEMORY), (MachineState.PAUSED, MEMORY)],
)
def test_memory_is_kept_where_there_is_one(state: MachineState, memory: str | None) -> None:
    plan = plan_take(_line(0, state), SURVEY, "web", "clean", "")
    assert [step.memory for step in plan.steps if isinstance(step, TakeSnapshot)] == [memory]


@pytest.mark.parametrize("format", [Format.VDI, Format.VMDK, Format.VHD])
def test_with_a_layer_that_cannot_be_saved_a_running_machine_keeps_only_its_disks(format: Format) -> None:
    base, top = disk("data", target="vdb", format=format), disk("data", 1, target="vdb")
    state = _state(machine(top, state=MachineState.RUNNING), image(base), image(top, base))
    plan = plan_take(state, SURVEY, "web", "clean", "")
    assert [step.memory for step in plan.steps if isinstance(step, TakeSnapshot)] == [None]
    assert "Disks only, as after a power cut" in plan.notes[0]
    assert f"a layer in {format} (data)" in plan.notes[0]


def test_take_numbers_beyond_every_file_there_is() -> None:
    state = _line(1, strays=(f"{HOME}/disks/web.vda.7.qcow2",))
    assert plan_take(state, SURVEY, "web", "s2", "").files.created == (f"{HOME}/disks/web.vda.8.qcow2",)


def test_take_warns_of_many_layers() -> None:
    assert plan_take(_line(DEEP - 3), SURVEY, "web", "more", "").notes == ()
    assert f"{DEEP} layers" in plan_take(_line(DEEP - 2), SURVEY, "web", "more", "").notes[0]


@pytest.mark.parametrize(
    ("state", "survey", "name", "why"),
    [
        (_line(1), SURVEY, "s1", "already a snapshot 's1'"),
        (_line(1, MachineState.SAVED), SURVEY, "s2", "is saved"),
        (_line(1, images={}), SURVEY, "s2", "image web.vda.1.qcow2 of web.vda is gone"),
        (_state(machine()), SURVEY, "s1", "web has no disks: there is nothing to freeze"),
        (_line(1), replace(SURVEY, free_bytes=MIB), "s2", "1 MiB free; 64 MiB stay as a margin"),
        (
            _line(1, images=_holding_snapshots(1)),
            SURVEY,
            "s2",
            "web.vda.1.qcow2 has 2 snapshots of another tool inside",
        ),
        (_line(3), replace(SURVEY, deepest=4), "s4", "has 4 layers"),
        (_line(1, MachineState.RUNNING), replace(SURVEY, free_bytes=MIB), "s2", "may need 128 MiB"),
    ],
)
def test_take_is_refused(state: LabState, survey: SnapshotSurvey, name: str, why: str) -> None:
    assert why in _why(plan_take(state, survey, "web", name, ""))


def test_beside_a_snapshot_of_a_foreign_kind_nothing_is_done() -> None:
    state = _line(1)
    foreign = replace(state.snapshots["web"]["s1"], excuse="It was taken inside its image file.")
    state = replace(state, snapshots={"web": SnapshotTree(nodes={"s1": foreign}, current="s1")})
    for plan in (
        plan_take(state, SURVEY, "web", "s2", ""),
        plan_restore(state, SURVEY, "web", "s1"),
        plan_delete(state, SURVEY, "web", "s1"),
    ):
        assert "s1 is not a snapshot of labkit's kind. It was taken inside" in _why(plan)


# --- restore ---------------------------------------------------------------------------------------


def test_restore_discards_only_the_current_image() -> None:
    plan = plan_restore(_line(3), SURVEY, "web", "s1")
    assert _names(plan) == ["CreateOverlay", "DefineFromSnapshot", "MarkCurrent", "DeleteFiles"]
    assert plan.files.created == (f"{HOME}/disks/web.vda.4.qcow2",)
    assert plan.files.deleted == (f"{HOME}/disks/web.vda.3.qcow2",)
    assert plan.bytes_freed == MIB
    assert plan.notes == ("What was written since s3 is discarded: 1 MiB.",)


@pytest.mark.parametrize(
    ("state", "first"),
    [(MachineState.RUNNING, CutPower), (MachineState.PAUSED, CutPower), (MachineState.SAVED, DropSaved)],
)
def test_restore_begins_by_ending_what_runs(state: MachineState, first: type) -> None:
    plan = plan_restore(_line(2, state), SURVEY, "web", "s1")
    assert plan.commit_point == 1
    assert isinstance(plan.steps[1], first)


def test_restore_that_saves_first_takes_before_it_cuts_the_power_and_keeps_the_current_images() -> None:
    plan = plan_restore(_line(1, MachineState.RUNNING), SURVEY, "web", "s1", save_current="before")
    names = _names(plan)
    assert names.index("TakeSnapshot") < names.index("CutPower")
    assert f"{HOME}/disks/web.vda.1.qcow2" not in plan.files.deleted
    assert plan.files.deleted == ()  # what goes again was never there
    assert plan.files.drafts == (f"{HOME}/disks/web.vda.2.qcow2",)
    assert plan.notes == ("The current state stays as before.",)


def test_a_machine_that_is_off_is_not_told_to_be_stopped() -> None:
    refusal = plan_take(_line(1), replace(SURVEY, free_bytes=MIB), "web", "s2", "").refusal
    assert refusal is not None
    assert "stop" not in refusal.hint
    assert "0 B" not in refusal.why


def test_what_another_tool_keeps_inside_is_neither_discarded_nor_merged_away() -> None:
    plan = plan_restore(_line(1, images=_holding_snapshots(1)), SURVEY, "web", "s1")
    assert "snapshots of another tool inside" in _why(plan)
    images = dict(_line(3).images)
    layer = disk("web.vda", 1).path
    state = _line(3, images=images | {layer: replace(images[layer], internal=1)})
    assert not any(isinstance(step, MergeLayer) for step in plan_delete(state, SURVEY, "web", "s2").steps)


def _with_memory() -> LabState:
    state = _line(1)
    node = replace(state.snapshots["web"]["s1"], memory=MEMORY, kind="running")  # type: ignore[arg-type]
    return replace(
        state, snapshots={"web": SnapshotTree(nodes={"s1": node}, current="s1")}, memories=frozenset({MEMORY})
    )


@pytest.mark.parametrize(("run", "saved"), [(True, False), (False, True)])
def test_a_kept_memory_goes_on_or_is_left_saved(run: bool, saved: bool) -> None:
    plan = plan_restore(_with_memory(), SURVEY, "web", "s1", run=run)
    assert [step.saved for step in plan.steps if isinstance(step, RestoreMemory)] == [saved]


def test_disks_alone_can_be_asked_for() -> None:
    plan = plan_restore(_with_memory(), SURVEY, "web", "s1", memory=False)
    assert not any(isinstance(step, RestoreMemory) for step in plan.steps)


def test_a_memory_file_that_is_gone_is_named_and_the_disks_are_offered() -> None:
    state = replace(_with_memory(), memories=frozenset())
    plan = plan_restore(state, SURVEY, "web", "s1")
    assert "memory file web.0.mem of s1 is gone" in _why(plan)
    assert plan.refusal is not None
    assert "restore('s1', memory=False)" in plan.refusal.hint
    assert plan_restore(state, SURVEY, "web", "s1", memory=False).refusal is None


def test_an_image_that_is_gone_is_named() -> None:
    state = _line(2)
    images = {path: facts for path, facts in state.images.items() if not path.endswith("vda.0.qcow2")}
    assert "image web.vda.0.qcow2" in _why(plan_restore(replace(state, images=images), SURVEY, "web", "s2"))


def test_a_kernel_that_is_gone_is_named() -> None:
    state = _with_memory()
    node = state.snapshots["web"]["s1"]
    node = replace(node, spec=replace(node.spec, boot=Boot(kernel="/images/vmlinuz")))
    state = replace(state, snapshots={"web": SnapshotTree(nodes={"s1": node}, current="s1")})
    survey = replace(SURVEY, lost=frozenset({"/images/vmlinuz"}))
    assert "vmlinuz that s1 was running from is gone" in _why(plan_restore(state, survey, "web", "s1"))
    assert plan_restore(state, survey, "web", "s1", memory=False).refusal is None


@pytest.mark.parametrize(
    ("survey", "why"),
    [
        (replace(SURVEY, accelerator=Accelerator.TCG), "taken with KVM, this host runs TCG"),
        (replace(SURVEY, cpu_models=frozenset({"Nehalem"})), "on a CPU qemu64, which this host does not offer"),
        (replace(SURVEY, qemu="10.0.3"), "taken with QEMU 7.2.22, this host has 10.0.3"),
    ],
    ids=["accelerator", "CPU", "QEMU"],
)
def test_memory_of_another_host_is_refused_and_the_disks_are_offered(survey: SnapshotSurvey, why: str) -> None:
    state = _with_memory()
    node = state.snapshots["web"]["s1"]
    node = replace(node, qemu="7.2.22", spec=replace(node.spec, accelerator=Accelerator.KVM, cpu_model="qemu64"))
    state = replace(state, snapshots={"web": SnapshotTree(nodes={"s1": node}, current="s1")})
    plan = plan_restore(state, survey, "web", "s1")
    assert why in _why(plan)
    assert plan.refusal is not None
    assert "restore('s1', memory=False)" in plan.refusal.hint
    disks = plan_restore(state, survey, "web", "s1", memory=False)
    assert [step.accelerator for step in disks.steps if isinstance(step, DefineFromSnapshot)] == [survey.accelerator]


def test_memory_of_the_same_series_of_qemu_and_of_translated_guests_goes_on() -> None:
    state = _with_memory()
    node = replace(state.snapshots["web"]["s1"], qemu="7.2.17")
    state = replace(state, snapshots={"web": SnapshotTree(nodes={"s1": node}, current="s1")})
    survey = replace(SURVEY, qemu="7.2.22", accelerator=Accelerator.KVM, cpu_models=frozenset({node.spec.cpu_model}))
    assert plan_restore(state, survey, "web", "s1").refusal is None


def test_a_snapshot_too_deep_for_this_host_is_refused() -> None:
    plan = plan_restore(_line(4), replace(SURVEY, deepest=3), "web", "s3")
    assert "has 3 layers: with one more it could not start" in _why(plan)
    assert plan.refusal is not None
    assert "disk.convert" in plan.refusal.hint


def test_beside_checkpoints_of_another_tool_images_neither_freeze_nor_merge() -> None:
    survey = replace(SURVEY, checkpoints=("monday", "it's"))
    state = _line(2)
    for plan in (
        plan_take(state, survey, "web", "s3", ""),
        plan_restore(state, survey, "web", "s1"),
        plan_delete(state, survey, "web", "s1"),
    ):
        assert "web has checkpoints of another tool (monday, it's)" in _why(plan)
        assert plan.refusal is not None
        assert "virsh checkpoint-delete web monday; virsh checkpoint-delete web 'it'" in plan.refusal.hint
    assert plan_relabel(state, "web", "s1", new="s9").refusal is None


@pytest.mark.parametrize("save", ["s1", "s2"])
def test_the_name_to_save_under_must_be_free(save: str) -> None:
    assert f"already a snapshot '{save}'" in _why(plan_restore(_line(2), SURVEY, "web", "s1", save_current=save))


def test_a_snapshot_that_is_not_there_is_refused_with_the_names_there_are() -> None:
    plan = plan_restore(_line(2), SURVEY, "web", "nope")
    assert "web has no snapshot 'nope'" in _why(plan)
    assert plan.refusal is not None
    assert plan.refusal.hint == "There are: s1, s2."


def _disk_changed(attached: DiskSpec | None) -> LabState:
    """Snapshot s1 has the disks web.vda and data; now data is free and, maybe, another disk is attached."""
    vda = [disk("web.vda", number) for number in (0, 1)]
    data = [disk("data", number, target="vdb") for number in (0, 1)]
    node = snapshot("s1", machine(vda[0], data[0]).spec)
    now = machine(vda[1], attached) if attached else machine(vda[1])
    images = [image(vda[0]), image(vda[1], vda[0]), image(data[0]), image(data[1], data[0])]
    return _state(now, *images, *([image(attached)] if attached else []), nodes=(node,), current="s1")


def test_a_disk_detached_since_comes_back_and_the_free_one_stays_under_another_name() -> None:
    plan = plan_restore(_disk_changed(None), SURVEY, "web", "s1")
    assert "mv disks/data.1.qcow2 disks/data-2.0.qcow2" in plan.commands
    assert "data comes back as it was; what it became since stays as data-2." in plan.notes
    assert plan.files.deleted == (f"{HOME}/disks/web.vda.1.qcow2",)
    assert plan.disks == ("data",)


def test_a_disk_attached_since_is_detached_and_stays_whole() -> None:
    other = disk("other", target="vdb")
    plan = plan_restore(_disk_changed(other), SURVEY, "web", "s1")
    assert "other was attached since: it is detached, and stays whole." in plan.notes
    assert other.path not in plan.files.deleted


def test_another_disk_with_a_name_the_snapshot_needs_must_be_detached_first() -> None:
    namesake = disk("data", 5, target="vdb")
    state = _disk_changed(namesake)
    images = {path: facts for path, facts in state.images.items() if not path.endswith("data.1.qcow2")}
    assert "another disk of that name is attached to web" in _why(
        plan_restore(replace(state, images=images), SURVEY, "web", "s1")
    )


# --- delete ----------------------------------------------------------------------------------------


def test_an_inner_snapshots_layer_is_merged_up_into_its_only_child() -> None:
    plan = plan_delete(_line(3), SURVEY, "web", "s2")
    assert _names(plan) == ["ForgetSnapshot", "MergeLayer"]
    merge = plan.steps[1]
    assert isinstance(merge, MergeLayer)
    assert (merge.layer[-7:], merge.child[-7:], (merge.onto or "")[-7:]) == ("1.qcow2", "2.qcow2", "0.qcow2")
    assert plan.bytes_copied == MIB
    assert plan.files.rewritten == (f"{HOME}/disks/web.vda.2.qcow2",)


def test_a_root_keeps_its_base_as_a_layer_without_a_name() -> None:
    plan = plan_delete(_line(1), SURVEY, "web", "s1")
    assert _names(plan) == ["ForgetSnapshot"]
    assert plan.notes == ("web.vda.0.qcow2 (1 MiB) stays as a layer without a name.",)


def test_merging_can_be_left_out() -> None:
    assert _names(plan_delete(_line(3), SURVEY, "web", "s2", merge="never")) == ["ForgetSnapshot"]


def test_a_branch_goes_from_its_tips_down() -> None:
    state = _line(3)
    first = state.snapshots["web"]["s1"].spec.disks[0]
    here = disk("web.vda", 9)
    tree = replace(state.snapshots["web"], current="s1")
    state = replace(
        state,
        machines={"web": machine(here)},
        snapshots={"web": tree},
        images={
            **{path: facts for path, facts in state.images.items() if not path.endswith(".3.qcow2")},
            here.path: image(here, first),
        },
    )
    plan = plan_delete(state, SURVEY, "web", "s2", branch=True)
    assert [step.snapshot for step in plan.steps if isinstance(step, ForgetSnapshot)] == ["s3", "s2"]
    assert plan.files.deleted == (f"{HOME}/disks/web.vda.2.qcow2", f"{HOME}/disks/web.vda.1.qcow2")


def test_a_memory_file_goes_with_its_snapshot() -> None:
    survey = replace(SURVEY, memory_bytes={MEMORY: 5 * MIB})
    plan = plan_delete(_with_memory(), survey, "web", "s1")
    assert plan.files.deleted == (MEMORY,)
    assert plan.bytes_freed == 5 * MIB


@pytest.mark.parametrize("state", [MachineState.RUNNING, MachineState.PAUSED])
def test_under_a_guest_only_its_active_image_takes_up_a_layer(state: MachineState) -> None:
    into_active = plan_delete(_line(3, state), SURVEY, "web", "s3")
    assert [step.disk_target for step in into_active.steps if isinstance(step, MergeLayer)] == ["vda"]
    assert _names(plan_delete(_line(3, state), SURVEY, "web", "s2")) == ["ForgetSnapshot"]


def test_under_a_saved_memory_no_layer_is_merged() -> None:
    assert _names(plan_delete(_line(3, MachineState.SAVED), SURVEY, "web", "s3")) == ["ForgetSnapshot"]


def test_a_large_layer_stays() -> None:
    state = _line(3)
    large = {path: replace(facts, allocated=GIB) for path, facts in state.images.items()}
    plan = plan_delete(replace(state, images=large), SURVEY, "web", "s2")
    assert _names(plan) == ["ForgetSnapshot"]
    assert "stays as a layer without a name" in plan.notes[0]


def _forked() -> LabState:
    """A line of two, and a second machine state on top of s2's image: s2's layer has two children."""
    state = _line(3)
    second = state.snapshots["web"]["s2"].spec.disks[0]
    other = disk("web.vda", 9)
    node = snapshot("other", machine(other).spec, "s2")
    tree = state.snapshots["web"]
    return replace(
        state,
        snapshots={"web": SnapshotTree(nodes=sort_nodes({**tree.nodes, "other": node}), current="s3")},
        images={**state.images, other.path: image(other, second, frozen=True)},
    )


def test_a_layer_with_two_children_stays_and_the_plan_says_what_merging_would_add() -> None:
    plan = plan_delete(_forked(), SURVEY, "web", "s2")
    assert _names(plan) == ["ForgetSnapshot"]
    assert "2 images depend on it, and merging it into each would add 1 MiB" in plan.notes[0]


def test_asked_for_a_layer_is_merged_into_each_of_its_children_and_goes_with_the_last() -> None:
    plan = plan_delete(_forked(), SURVEY, "web", "s2", merge="always")
    merges = [step for step in plan.steps if isinstance(step, MergeLayer)]
    assert [(step.child[-7:], step.frozen, step.keeps_layer) for step in merges] == [
        ("2.qcow2", True, True),
        ("9.qcow2", True, False),
    ]
    assert plan.files.deleted == (f"{HOME}/disks/web.vda.1.qcow2",)
    assert plan.bytes_copied == 2 * MIB


def test_asked_for_a_large_layer_is_merged_too() -> None:
    state = _line(3)
    large = {path: replace(facts, allocated=GIB) for path, facts in state.images.items()}
    plan = plan_delete(replace(state, images=large), SURVEY, "web", "s2", merge="always")
    assert _names(plan) == ["ForgetSnapshot", "MergeLayer"]


# --- rename and describe ---------------------------------------------------------------------------


def test_a_name_that_is_taken_is_refused_and_the_same_one_is_nothing_to_do() -> None:
    state = _line(2)
    assert "already a snapshot 's2'" in _why(plan_relabel(state, "web", "s1", new="s2"))
    assert plan_relabel(state, "web", "s1", new="s1").steps == ()
    assert _names(plan_relabel(state, "web", "s1", new="s9")) == ["RelabelSnapshot"]
    assert _names(plan_relabel(state, "web", "s1", description="first")) == ["RelabelSnapshot"]


def test_no_plan_deletes_what_it_makes_or_rewrites() -> None:
    for plan in (
        plan_restore(_line(3), SURVEY, "web", "s2", save_current="now"),
        plan_delete(_line(5), SURVEY, "web", "s3"),
    ):
        files = plan.files
        kept = set(files.rewritten) & set(files.deleted)
        assert not kept
        assert not any(isinstance(step, DeleteFiles) and not step.paths for step in plan.steps)
