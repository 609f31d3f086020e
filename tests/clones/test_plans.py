"""What the plans of clones say: steps, files, bytes, notes and refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.engine.journal import dump_plan, load_plan
from labkit.model.image import Allocation, Format
from labkit.model.machine import Boot, DiskSpec, MachineSpec, MachineState
from labkit.model.mapped import files_beside
from labkit.model.snapshot import SnapshotKind
from labkit.model.state import LabState
from labkit.plans.clone import plan_clone
from labkit.plans.clone_request import CloneKind, CloneRequest, CloneSurvey, Identity, Mapping
from labkit.plans.effect import state_after
from labkit.plans.plan import Plan
from labkit.plans.snapshot_survey import SnapshotSurvey
from labkit.plans.steps import BackUpDisks, ConvertImage, CopyImage, DefineClones, LinkImages
from labkit.units import GIB, MIB
from tests.clones.lab import MIB_EACH, SURVEY, Builder, request
from tests.snapshots.world import HOME, disk


def lab(snapshots: int = 1, state: str = "off") -> LabState:
    """A lab of `web` after some snapshots."""
    builder = Builder()
    builder.add("web", snapshots=snapshots, state=state)
    return builder.state


def _names(plan: Plan) -> list[str]:
    return [type(step).__name__ for step in plan.steps]


def _specs(plan: Plan) -> list[str]:
    return [spec.name for step in plan.steps if isinstance(step, DefineClones) for spec in step.specs]


def test_many_linked_clones_are_one_step_for_each_disk_and_one_definition() -> None:
    plan = plan_clone(lab(), SURVEY, request("seat-01", "seat-02", snapshot="s1"))
    assert _names(plan) == ["LinkImages", "DefineClones"]
    assert plan.files.created == (f"{HOME}/disks/seat-01.vda.0.qcow2", f"{HOME}/disks/seat-02.vda.0.qcow2")
    assert plan.commit_point == 1
    assert plan.names == ("web", "seat-01", "seat-02")
    assert plan.commands == (
        "qemu-img create -f qcow2 -b web.vda.0.qcow2 -F qcow2 disks/seat-01.vda.0.qcow2",
        "qemu-img create -f qcow2 -b web.vda.0.qcow2 -F qcow2 disks/seat-02.vda.0.qcow2",
        "virsh define seat-01.xml",
        "virsh define seat-02.xml",
    )


def test_without_a_snapshot_a_linked_clone_takes_one_and_says_so() -> None:
    plan = plan_clone(lab(0), SURVEY, request("link"))
    assert _names(plan) == ["CreateOverlay", "LinkImages", "TakeSnapshot", "DefineClones", "FreezeImages"]
    assert "clone-base-1" in plan.notes[0]
    link = next(step for step in plan.steps if isinstance(step, LinkImages))
    assert link.backing == f"{HOME}/disks/web.vda.0.qcow2"
    running = plan_clone(lab(0, "running"), replace(SURVEY, quiesce=True), request("link"))
    assert running.files.created == (f"{HOME}/disks/web.vda.1.qcow2", f"{HOME}/disks/link.vda.0.qcow2")  # no memory


def test_a_full_clone_of_one_file_is_a_copy_of_a_chain_a_conversion() -> None:
    plan = plan_clone(lab(0), SURVEY, request("copy", kind=CloneKind.FULL))
    assert _names(plan) == ["CopyImage", "DefineClones"]
    assert plan.bytes_copied == MIB_EACH
    assert plan_clone(lab(0), replace(SURVEY, reflinks=True), request("copy", kind=CloneKind.FULL)).bytes_copied == 0
    off = plan_clone(lab(0), replace(SURVEY, reflinks=True), request("copy", kind=CloneKind.FULL, reflink=False))
    assert off.bytes_copied == MIB_EACH
    assert "--reflink=never" in off.commands[0]
    chain = plan_clone(lab(2), SURVEY, request("copy", kind=CloneKind.FULL))
    (step,) = [step for step in chain.steps if isinstance(step, ConvertImage)]
    assert (step.target_format, step.allocation, step.bytes) == (Format.QCOW2, Allocation.DYNAMIC, 3 * MIB_EACH)


def test_a_running_original_is_backed_up_once_and_further_clones_are_copies_of_the_first() -> None:
    plan = plan_clone(lab(1, "running"), replace(SURVEY, quiesce=True), request("a", "b", kind=CloneKind.FULL))
    assert _names(plan) == ["BackUpDisks", "CopyImage", "DefineClones"]
    (backup,) = [step for step in plan.steps if isinstance(step, BackUpDisks)]
    (copy,) = [step for step in plan.steps if isinstance(step, CopyImage)]
    assert backup.quiesce
    assert (copy.source, copy.target) == (f"{HOME}/disks/a.vda.0.qcow2", f"{HOME}/disks/b.vda.0.qcow2")
    silent = plan_clone(lab(1, "paused"), replace(SURVEY, quiesce=True), request("a", kind=CloneKind.FULL))
    assert "as after a power cut" in silent.notes[0]


def test_a_whole_tree_is_copied_image_by_image() -> None:
    plan = plan_clone(lab(2), SURVEY, request("copy", kind=CloneKind.FULL, snapshots=True))
    assert _names(plan) == [
        *("CopyImage", "CopyImage", "RebaseImage", "CopyImage", "RebaseImage"),
        *("DefineClones", "CopySnapshots", "FreezeImages"),
    ]
    assert plan.files.created == tuple(f"{HOME}/disks/copy.vda.{number}.qcow2" for number in range(3))
    live = plan_clone(lab(2, "running"), SURVEY, request("copy", kind=CloneKind.FULL, snapshots=True))
    assert _names(live)[:5] == ["BackUpDisks", "CopyImage", "CopyImage", "RebaseImage", "RebaseImage"]


def test_a_copied_snapshot_is_configured_as_the_machine_was_then() -> None:
    state = lab(2)
    facts = state.machines["web"]
    now = replace(facts, spec=replace(facts.spec, memory=2 * facts.spec.memory, vcpus=2))
    state = replace(state, machines={"web": now})
    after = state_after(state, plan_clone(state, SURVEY, request("copy", kind=CloneKind.FULL, snapshots=True)))
    copied, clone = after.snapshots["copy"]["s1"].spec, after.machines["copy"].spec
    assert (copied.memory, copied.vcpus) == (facts.spec.memory, facts.spec.vcpus)
    assert (clone.memory, clone.vcpus) == (now.spec.memory, 2)
    assert (copied.name, copied.id) == (clone.name, clone.id)


def test_the_tree_of_a_machine_without_snapshots_is_no_step() -> None:
    plan = plan_clone(lab(0), SURVEY, request("copy", kind=CloneKind.FULL, snapshots=True))
    assert _names(plan) == ["CopyImage", "DefineClones"]
    assert all(step.command for step in plan.steps)


def test_a_clone_is_somebody_else_and_a_twin_is_not() -> None:
    state = lab()
    facts = state.machines["web"]
    origin = replace(facts.spec, genid="old", boot=Boot(kernel="/k", command_line="quiet"), console_log="/lab/c.log")
    state = replace(state, machines={"web": replace(facts, spec=origin)})
    (new,) = _made(plan_clone(state, SURVEY, request("a", kind=CloneKind.FULL)))
    assert (new.name, new.id, new.genid) == ("a", "id-of-a", "genid-of-a")
    assert new.console_log == f"{HOME}/consoles/a.0.log"
    assert not new.boot.keeps_identity
    twins = replace(request("b", kind=CloneKind.FULL), identity=Identity.KEEP)
    (twin,) = _made(plan_clone(state, SURVEY, twins))
    assert (twin.id, twin.genid, twin.boot.command_line) == ("id-of-b", "old", "quiet labkit.identity=keep")
    state = replace(state, machines={"web": replace(facts, spec=replace(origin, boot=twin.boot))})
    (again,) = _made(plan_clone(state, SURVEY, request("c", kind=CloneKind.FULL)))
    assert again.boot.command_line == "quiet"


def test_disks_are_named_after_the_clone_and_never_as_another() -> None:
    builder = Builder()
    builder.add("web", snapshots=1)
    builder.add_free("copy.vda")
    state = builder.state
    facts = state.machines["web"]
    data = disk("data", target="vdb")
    images = {**state.images, data.path: replace(next(iter(state.images.values())), path=data.path, files=(data.path,))}
    spec = replace(facts.spec, disks=(*facts.spec.disks, data))
    state = replace(state, machines={"web": replace(facts, spec=spec)}, images=images)
    (made,) = _made(plan_clone(state, SURVEY, request("copy", kind=CloneKind.FULL)))
    assert [each.name for each in made.disks] == ["copy.vda-2", "copy.data"]


def _made(plan: Plan) -> tuple[MachineSpec, ...]:
    return next(step.specs for step in plan.steps if isinstance(step, DefineClones))


SERVED = DiskSpec(name="far", target="vdb", path="/run/far.nbd", format=Format.RAW, served=True)


def _with_served() -> LabState:
    state = lab()
    facts = state.machines["web"]
    return replace(state, machines={"web": replace(facts, spec=replace(facts.spec, disks=(*facts.spec.disks, SERVED)))})


def _without(number: int) -> LabState:
    state = lab(2)
    gone = f"{HOME}/disks/web.vda.{number}.qcow2"
    return replace(state, images={path: image for path, image in state.images.items() if path != gone})


FULL = request("copy", kind=CloneKind.FULL)
SMALL = CloneSurvey(free_bytes=65 * MIB, host_memory=8 * GIB)
REFUSED = {
    "onto itself": (lab(), SURVEY, request("web", kind=CloneKind.FULL), "already a machine 'web'"),
    "a foreign domain's name": (replace(lab(), taken_names=frozenset({"copy"})), SURVEY, FULL, "not of this lab"),
    "twice the same": (lab(), SURVEY, request("a", "a", snapshot="s1"), "Two clones would be named 'a'"),
    "no such snapshot": (lab(), SURVEY, request("a", snapshot="s9"), "has no snapshot 's9'"),
    "a linked tree": (lab(), SURVEY, request("a", snapshots=True), "has no tree of its own"),
    "tree and snapshot": (
        lab(),
        SURVEY,
        request("a", kind=CloneKind.FULL, snapshots=True, snapshot="s1"),
        "not both",
    ),
    "a served disk": (_with_served(), SURVEY, FULL, "far is served by another program"),
    "a lost active image": (_without(2), SURVEY, FULL, "web.vda.2.qcow2 of web.vda is gone"),
    "a lost base": (_without(0), SURVEY, request("a", snapshot="s2"), "web.vda.0.qcow2 below web.vda is gone"),
    "an altered base": (
        lab(),
        replace(SURVEY, changed=frozenset({f"{HOME}/disks/web.vda.0.qcow2"})),
        request("a", snapshot="s1"),
        "was changed by another program",
    ),
    "500 on this host": (
        lab(),
        SURVEY,
        request(*(f"seat-{number}" for number in range(500)), snapshot="s1"),
        "500 clones would have 62.5 GiB of memory together, and this host has 8 GiB",
    ),
    "no room for copies": (lab(1), SMALL, FULL, "This needs 2 MiB"),
    "no room for overlays": (lab(), SMALL, request(*"abcdefghijk", snapshot="s1"), "the host's disk has 65 MiB free"),
    "a saved machine's base": (lab(0, "saved"), SURVEY, request("a"), "is saved"),
    "too deep": (lab(3), replace(SURVEY, deepest=3), request("a", snapshot="s3"), "has 3 layers already"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    state, survey, asked, why = REFUSED[case]
    plan = plan_clone(state, survey, asked)
    assert plan.refusal is not None
    assert plan.steps == ()
    assert why in plan.refusal.why
    assert plan.refusal.ways_out


@pytest.mark.parametrize("state", [MachineState.OFF, MachineState.SAVED])
def test_a_quiet_machine_is_copied_from_its_files(state: MachineState) -> None:
    plan = plan_clone(lab(0, state), SURVEY, FULL)
    assert _names(plan) == ["CopyImage", "DefineClones"]
    assert bool(plan.notes) == (state is MachineState.SAVED)


@pytest.mark.parametrize(
    "asked",
    [FULL, request("a", "b", snapshot="s1"), request("a"), request("a", kind=CloneKind.FULL, snapshots=True)],
)
@pytest.mark.parametrize("state", ["off", "running"])
def test_a_plan_can_be_journalled(asked: CloneRequest, state: str) -> None:
    plan = plan_clone(lab(1, state), SURVEY, asked)
    assert plan.refusal is None
    assert load_plan(dump_plan(plan)) == plan


def test_whoever_begins_to_depend_makes_older_plans_stale() -> None:
    before = lab()
    builder = Builder()
    web = builder.add("web", snapshots=1)
    builder.add("link", on=web[0])
    assert before.fingerprint(["web"]) != builder.state.fingerprint(["web"])


# --- with a snapshot's memory ---------------------------------------------------------------------

MEMORY = f"{HOME}/memory/web.0.mem"


def warm_lab() -> LabState:
    """A lab of `web`, whose snapshot s1 keeps memory and s2 keeps none."""
    builder = Builder()
    builder.add("web", snapshots=2)
    first, second = builder.nodes["web"]
    builder.nodes["web"] = [replace(first, memory=MEMORY, kind=SnapshotKind.RUNNING), second]
    return replace(builder.state, memories=frozenset([MEMORY]))


def instant(*names: str, snapshot: str | None = "s1", kind: CloneKind = CloneKind.LINKED) -> CloneRequest:
    """Return a request for clones that run at once."""
    return replace(request(*names, snapshot=snapshot, kind=kind), instant=True)


ROOMY = replace(
    SURVEY, free_memory=GIB, snapshots=SnapshotSurvey(free_bytes=100 * GIB, memory_bytes={MEMORY: 64 * MIB})
)


def test_instant_clones_share_one_copy_of_the_memory() -> None:
    plan = plan_clone(warm_lab(), ROOMY, instant("c1", "c2"))
    assert _names(plan) == ["CopyMemory", "LinkImages", "DefineClones", "WakeClones", "DeleteFiles"]
    assert plan.commit_point == 2
    assert plan.bytes_copied == plan.bytes_freed == 64 * MIB
    assert plan.commands[0] == "cp --no-preserve=mode --reflink=auto memory/web.0.mem memory/c1.waking.0.mem"
    assert plan.commands[-1] == "rm -f memory/c1.waking.0.mem"
    assert "virsh restore $PWD/memory/c1.waking.0.mem --paused" in plan.commands
    assert plan.notes == ("The memory of s1 cannot be mapped here: each clone reads all of it.",)
    assert load_plan(dump_plan(plan)) == plan


def test_instant_clones_map_the_memory_where_they_can() -> None:
    plan = plan_clone(warm_lab(), replace(ROOMY, mapping=Mapping.CAN_BE_MADE), instant("c1", "c2"))
    assert _names(plan) == ["MapMemory", "LinkImages", "DefineClones", "WakeClones"]
    assert plan.commit_point == 2
    assert plan.files.created[:2] == files_beside([MEMORY])
    assert plan.files.drafts == (f"{HOME}/memory/c1.waking.0.mem",)  # for one that cannot map it
    assert (plan.bytes_copied, plan.bytes_freed) == (64 * MIB, 0)
    assert plan.notes == ("The memory of s1 is kept a second time, for its clones to share, until it is deleted.",)
    assert load_plan(dump_plan(plan)) == plan


def test_what_was_made_to_map_a_memory_serves_all_later_clones() -> None:
    lab = warm_lab()
    lab = replace(lab, memories=lab.memories.union(files_beside([MEMORY])))
    ready = plan_clone(lab, replace(ROOMY, mapping=Mapping.READY), instant("c1"))
    assert _names(ready) == ["LinkImages", "DefineClones", "WakeClones"]
    assert (ready.bytes_copied, ready.notes) == (0, ())
    anew = plan_clone(lab, replace(ROOMY, mapping=Mapping.CAN_BE_MADE), instant("c1"))
    assert _names(anew)[0] == "MapMemory"
    assert anew.files.rewritten == files_beside([MEMORY])


def test_mapped_clones_take_little_memory_of_their_own() -> None:
    scarce = replace(ROOMY, free_memory=300 * MIB)
    assert plan_clone(warm_lab(), scarce, instant("c1", "c2")).refusal is not None
    mapped = replace(scarce, mapping=Mapping.READY)
    assert plan_clone(warm_lab(), mapped, instant("c1", "c2")).refusal is None
    refusal = plan_clone(warm_lab(), mapped, instant(*(f"c{number}" for number in range(9)))).refusal
    assert refusal is not None
    assert "Make at most 2" in refusal.hint


def test_what_instant_clones_will_take_is_foreseen_only_where_sizes_are_told() -> None:
    plan = plan_clone(warm_lab(), ROOMY, instant("c1", "c2"))
    assert "of the host's memory" in plan.preview()
    assert "of the host's memory" not in plan.preview(sizes=False)


@pytest.mark.parametrize(
    ("asked", "survey", "why", "way"),
    [
        (instant("c", snapshot="s2"), ROOMY, "s2 keeps no memory", "s1"),
        (instant("c", snapshot=None), ROOMY, "none is named", "snapshot="),
        (instant("c", kind=CloneKind.FULL), ROOMY, "Only a linked clone", 'kind="linked"'),
        (instant("c1", "c2"), replace(ROOMY, free_memory=300 * MIB), "2 running guests take about", "at most 1"),
        (instant("c1"), replace(ROOMY, free_memory=MIB), "1 running guest takes about", "Stop other machines"),
    ],
)
def test_why_clones_cannot_run_at_once(asked: CloneRequest, survey: CloneSurvey, why: str, way: str) -> None:
    refusal = plan_clone(warm_lab(), survey, asked).refusal
    assert refusal is not None
    assert why in refusal.why
    assert way in refusal.hint
    assert "instant=True" in refusal.hint


def test_a_memory_of_another_qemu_or_a_lost_one_is_refused() -> None:
    gone = plan_clone(replace(warm_lab(), memories=frozenset()), ROOMY, instant("c")).refusal
    assert gone is not None
    assert "is gone" in gone.why
    assert "instant=True" in gone.hint
    elsewhere = replace(ROOMY, snapshots=SnapshotSurvey(free_bytes=GIB, cpu_models=frozenset(["other"])))
    other = plan_clone(warm_lab(), elsewhere, instant("c")).refusal
    assert other is not None
    assert "does not fit" in other.why


def test_a_clone_with_the_tree_says_that_memory_stays_with_the_original() -> None:
    plan = plan_clone(warm_lab(), SURVEY, request("copy", kind=CloneKind.FULL, snapshots=True))
    assert any("memory of running snapshots stays with the original" in note for note in plan.notes)
