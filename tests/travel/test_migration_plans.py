"""Plans of migrations, and the judgement where a machine is that stands on both sides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.engine.journal import dump_plan, load_plan
from labkit.engine.steps.migration import was_handed_over
from labkit.model.image import Format
from labkit.model.machine import MachineFacts, MachineState
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState
from labkit.model.travel import SnapshotRecord, sort_records
from labkit.plans.creation import CreateRequest, plan_create
from labkit.plans.machine import Survey, plan_clean
from labkit.plans.migration import MigrationSurvey, plan_migrate
from labkit.plans.steps import DropRecords, EndInstance, GiveRecords, MigrateMachine, Phase
from labkit.units import GIB, MIB
from tests.snapshots.world import disk, image, machine, snapshot

VDA, OVER = disk("web.vda"), disk("web.vda", 1)
RECORDS = (SnapshotRecord(name="one", parent=None, xml="<one/>", current=True),)
THERE = MigrationSurvey(to="neighbour", to_uri="qemu+unix:///session?socket=/s", arrival="/a", records=RECORDS)


def state_of(facts: MachineFacts) -> LabState:
    """A lab with one machine that has one snapshot."""
    spec = replace(facts.spec, disks=(VDA,))
    return LabState(
        lab="default",
        lab_id="lab-id",
        home="/lab",
        machines={"web": facts},
        snapshots={"web": SnapshotTree(nodes={"one": snapshot("one", spec)}, current="one")},
        images={VDA.path: image(VDA, frozen=True), OVER.path: image(OVER, VDA)},
        instances={"neighbour": "/lab/instances/neighbour"},
    )


RUNNING = state_of(machine(OVER, state=MachineState.RUNNING))
OFF = state_of(machine(OVER))


def test_records_are_dropped_the_machine_goes_over_records_are_given() -> None:
    plan = plan_migrate(RUNNING, THERE, "web")
    assert [type(step) for step in plan.steps] == [DropRecords, MigrateMachine, GiveRecords]
    assert [step.phase for step in plan.steps] == [Phase.CREATE, Phase.SWITCH, Phase.SWITCH]
    assert plan.commit_point == 1
    assert load_plan(dump_plan(plan)) == plan


def test_without_snapshots_it_only_goes_over() -> None:
    state = replace(OFF, snapshots={}, images={OVER.path: image(OVER)})
    (step,) = plan_migrate(state, replace(THERE, records=()), "web").steps
    assert isinstance(step, MigrateMachine)
    assert not step.live
    assert step.command.splitlines()[0] == "virsh -c 'qemu+unix:///session?socket=/s' define web.xml"


def test_running_the_commands_are_those_of_a_live_migration() -> None:
    lines = plan_migrate(RUNNING, THERE, "web").commands
    verbs = [line.split()[1] for line in lines if line.startswith("virsh")]
    assert verbs == ["snapshot-dumpxml", "snapshot-delete", "migrate", "-c"]
    assert any("--live --p2p --unsafe --persistent --undefinesource" in line for line in lines)


CLONE = replace(
    machine(replace(disk("link.vda"), path="/lab/disks/link.vda.1.qcow2")).spec, name="link", id="another-id"
)
LINK = replace(machine(), spec=CLONE)
LINKED = {**RUNNING.images, CLONE.disks[0].path: image(CLONE.disks[0], VDA)}
SURVEYS = {
    "to itself": (RUNNING, replace(THERE, to=""), "there already"),
    "to another lab": (RUNNING, replace(THERE, same_lab=False), "not of this lab"),
    "to the dead": (RUNNING, replace(THERE, reached=False), "does not answer"),
    "where a stranger has its name": (RUNNING, replace(THERE, taken_names=frozenset({"web"})), "not of this lab"),
    "without its kernel": (RUNNING, replace(THERE, lost=frozenset({"/blobs/vmlinux"})), "vmlinux"),
    "without a layer": (replace(RUNNING, images={OVER.path: image(OVER, VDA)}), THERE, "web.vda.0.qcow2"),
    "saved": (state_of(machine(OVER, state=MachineState.SAVED)), THERE, "saved"),
    "served": (state_of(machine(replace(OVER, served=True))), THERE, "served"),
    "as a base": (replace(RUNNING, machines={**RUNNING.machines, "link": LINK}, images=LINKED), THERE, "Linked clones"),
    "as a base of one elsewhere": (
        replace(RUNNING, elsewhere={"link": LINK}, places={"link": "b"}, images=LINKED),
        THERE,
        "Linked clones",
    ),
}


@pytest.mark.parametrize("what", SURVEYS)
def test_what_cannot_be_is_refused_with_a_way_out(what: str) -> None:
    state, survey, words = SURVEYS[what]
    plan = plan_migrate(state, survey, "web")
    assert plan.refusal is not None
    assert words in plan.refusal.why
    assert plan.refusal.ways_out
    assert plan.steps == ()


def test_dependants_are_named() -> None:
    state, survey, _words = SURVEYS["as a base"]
    refusal = plan_migrate(state, survey, "web").refusal
    assert refusal is not None
    assert refusal.dependants == ("link",)


@pytest.mark.parametrize(("running", "refused"), [(True, True), (False, False)])
def test_a_layer_that_cannot_be_saved_matters_only_to_a_guest_that_is_on(running: bool, refused: bool) -> None:
    vdi = disk("web.vda", format=Format.VDI)
    facts = machine(vdi, state=MachineState.RUNNING if running else MachineState.OFF)
    state = replace(OFF, machines={"web": facts}, snapshots={}, images={vdi.path: image(vdi)})
    assert (plan_migrate(state, replace(THERE, records=()), "web").refusal is not None) is refused


R, P, O = MachineState.RUNNING, MachineState.PAUSED, MachineState.OFF  # noqa: E741 — a table is read by its letters


@pytest.mark.parametrize(
    ("here", "there", "gone"),
    [
        (R, R, False),  # QEMU's locks let only one of them write; libvirt has brought it back here
        (R, P, False),
        (R, O, False),
        (P, R, True),
        (P, P, False),  # it has not begun there
        (P, O, True),  # it may have run there and ended: it must not go on from here
        (O, R, True),
        (O, P, False),
        (O, O, True),
    ],
)
def test_a_machine_on_both_sides_is_where_it_can_have_run_last(
    here: MachineState, there: MachineState, *, gone: bool
) -> None:
    assert was_handed_over(machine(state=here), machine(state=there)) is gone


def test_records_come_parents_first() -> None:
    names = {"c": "b", "a": None, "b": "a", "lost": "nobody"}
    records = [SnapshotRecord(name=name, parent=parent, xml="", current=False) for name, parent in names.items()]
    order = [record.name for record in sort_records(records)]
    assert sorted(order) == sorted(names)
    assert order.index("a") < order.index("b") < order.index("c")


def test_what_is_elsewhere_counts_for_the_lab() -> None:
    moved = replace(
        OFF,
        machines={},
        snapshots={},
        elsewhere=OFF.machines,
        elsewhere_snapshots=OFF.snapshots,
        places={"web": "neighbour"},
    )
    assert moved.roots == OFF.roots
    assert moved.kept == OFF.kept
    assert moved.disks["web.vda"].machine == "web"
    survey = Survey(host_memory=GIB, host_cpus=2, free_bytes=GIB, accelerator=machine().spec.accelerator)
    request = CreateRequest(name="web", id="x", genid="y", image="tiny", memory=64 * MIB, vcpus=1)
    refusal = plan_create(moved, survey, request).refusal
    assert refusal is not None
    assert "other side" in refusal.why


def test_clean_ends_the_other_sides_too() -> None:
    plan = plan_clean(OFF)
    ends = [step for step in plan.steps if isinstance(step, EndInstance)]
    assert [step.instance for step in ends] == ["neighbour"]
    refusal = plan_clean(replace(OFF, instance="neighbour")).refusal
    assert refusal is not None
