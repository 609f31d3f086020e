"""The guard: dangerous acts are refused, with the dependants named and the ways out; harmless ones are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from labkit.model.lineage import LineageNode, NodeKind, read_lineage
from labkit.model.state import LabState
from labkit.plans import creation, disk_change
from labkit.plans import disk as disks
from labkit.plans import machine as machines
from labkit.plans import snapshot as snapshots
from labkit.plans.broken import why_broken
from labkit.plans.flatten import FlattenSurvey, plan_flatten
from labkit.plans.guard import why_not_write
from labkit.plans.plan import Plan
from labkit.plans.refusal import Refusal
from labkit.plans.steps import ConvertImage, DeleteFiles, MergeLayer, PullBases, ReplaceImage
from labkit.units import GIB
from tests.clones.lab import MIB_EACH, Builder
from tests.plans import states

SURVEY = snapshots.SnapshotSurvey(free_bytes=100 * GIB)
DISKS = disks.DiskSurvey(free_bytes=100 * GIB)
FLATTEN = FlattenSurvey(free_bytes=100 * GIB)


def family(state: str = "off") -> LabState:
    """`web` after s1, s2, s3; `link` on s2, itself after s1; `deep` on link's s1; `alone`; a disk on nothing."""
    lab = Builder()
    web = lab.add("web", snapshots=3)
    link = lab.add("link", on=web[1], snapshots=1, state=state)
    lab.add("deep", on=link[0], state=state)
    lab.add("alone")
    lab.add_free("free")
    return lab.state


def by_hand() -> LabState:
    """Somebody has put an image on the active one of `web`, and one of `alone` is defined on a frozen image."""
    lab = Builder()
    web = lab.add("web", snapshots=1)
    lab.add_free("hand", on=web[1])
    lab.machines["alone"] = lab.machines["web"]
    lab.add("alone", snapshots=1)
    facts = lab.machines["alone"]
    frozen = replace(facts.spec.disks[0], path=facts.spec.disks[0].path.replace(".1.", ".0."))
    lab.machines["alone"] = replace(facts, spec=replace(facts.spec, disks=(frozen,)))
    return lab.state


def _start(machine: str) -> Callable[[LabState], Refusal | None]:
    return lambda state: why_not_write(state, state.machines[machine].spec.disks)


def _plan(make: Callable[[LabState], Plan]) -> Callable[[LabState], Refusal | None]:
    return lambda state: make(state).refusal


REPLACE = replace(states.request("web", if_exists=creation.IfExists.REPLACE))

DANGEROUS = {
    "delete the original": (family(), _plan(lambda s: machines.plan_delete(s, "web")), ("deep", "link")),
    "delete a clone with a clone": (family(), _plan(lambda s: machines.plan_delete(s, "link")), ("deep",)),
    "replace the original": (
        replace(family(), guest_images={"tiny": states.TINY, "sector": states.SECTOR}),
        _plan(lambda s: creation.plan_create(s, states.SURVEY, REPLACE)),
        ("deep", "link"),
    ),
    "delete the snapshot": (family(), _plan(lambda s: snapshots.plan_delete(s, SURVEY, "web", "s2")), ("link",)),
    "delete its branch": (
        family(),
        _plan(lambda s: snapshots.plan_delete(s, SURVEY, "web", "s1", branch=True)),
        ("link",),
    ),
    "delete a clone's snapshot": (family(), _plan(lambda s: snapshots.plan_delete(s, SURVEY, "link", "s1")), ("deep",)),
    "start on a base made by hand": (by_hand(), _start("web"), ("hand",)),
    "start on a frozen image": (by_hand(), _start("alone"), ("alone@s1",)),
    "resize a base": (by_hand(), _plan(lambda s: disk_change.plan_resize(s, DISKS, "web.vda", GIB)), ("hand",)),
}

HARMLESS = {
    "delete a clone": (family(), _plan(lambda s: machines.plan_delete(s, "deep"))),
    "delete a stranger": (family(), _plan(lambda s: machines.plan_delete(s, "alone"))),
    "delete an ancestor": (family(), _plan(lambda s: snapshots.plan_delete(s, SURVEY, "web", "s1"))),
    "delete a descendant": (family(), _plan(lambda s: snapshots.plan_delete(s, SURVEY, "web", "s3"))),
    "discard the current state": (family(), _plan(lambda s: snapshots.plan_restore(s, SURVEY, "web", "s1"))),
    "restore what was cloned": (family(), _plan(lambda s: snapshots.plan_restore(s, SURVEY, "web", "s2"))),
    "take another": (family(), _plan(lambda s: snapshots.plan_take(s, SURVEY, "web", "s4", ""))),
    "start the original": (family(), _start("web")),
    "start a clone": (family(), _start("link")),
    "start a clone's clone": (family(), _start("deep")),
    "grow the original's disk": (family(), _plan(lambda s: disk_change.plan_resize(s, DISKS, "web.vda", GIB))),
    "grow a clone's disk": (family(), _plan(lambda s: disk_change.plan_resize(s, DISKS, "link.vda", GIB))),
    "delete a free disk": (family(), _plan(lambda s: disks.plan_delete(s, "free"))),
    "flatten": (family(), _plan(lambda s: plan_flatten(s, FLATTEN, "link"))),
    "clean": (family(), _plan(machines.plan_clean)),
}


@pytest.mark.parametrize("act", DANGEROUS)
def test_a_dangerous_act_is_refused_with_the_dependants_and_the_ways_out(act: str) -> None:
    state, ask, dependants = DANGEROUS[act]
    refusal = ask(state)
    assert refusal is not None
    assert refusal.dependants == dependants
    assert refusal.ways_out


@pytest.mark.parametrize("act", HARMLESS)
def test_a_harmless_act_is_not_refused(act: str) -> None:
    state, ask = HARMLESS[act]
    assert ask(state) is None


def test_a_disk_that_stands_on_a_snapshot_is_attached_only_where_that_is() -> None:
    lab = Builder()
    web = lab.add("web", snapshots=1)
    lab.add("link", on=web[0])
    lab.add("alone", snapshots=1)
    for name in ("data", "link.data"):
        lab.add_free(name, on=web[0])
    refusal = disks.plan_attach(lab.state, "data", "alone").refusal
    assert refusal is not None
    assert "snapshots of web keep" in refusal.why
    assert "convert" in refusal.hint
    assert disks.plan_attach(lab.state, "data", "web").refusal is None
    assert disks.plan_attach(lab.state, "link.data", "link").refusal is None  # a clone gets its own back
    assert disks.plan_attach(lab.state, "link.data", "alone").refusal is not None
    lab.forget("web", "s1")
    assert disks.plan_attach(lab.state, "data", "alone").refusal is None


def test_the_image_of_a_deleted_ancestor_stays_and_is_merged_into_nothing_others_need() -> None:
    plan = snapshots.plan_delete(family(), SURVEY, "web", "s1")
    assert not [step for step in plan.steps if isinstance(step, MergeLayer | DeleteFiles)]
    above = snapshots.plan_delete(family(), SURVEY, "web", "s3")  # on the way from s3 to now nobody else stands
    assert [step.layer for step in above.steps if isinstance(step, MergeLayer)] == ["/lab/disks/web.vda.2.qcow2"]


def test_layers_of_other_machines_are_neither_merged_nor_told_of() -> None:
    lab = Builder()
    lab.add("web", snapshots=2)
    lab.add("other", snapshots=2)
    lab.forget("other", "s2")
    plan = snapshots.plan_delete(lab.state, SURVEY, "web", "s2")
    assert all("other" not in step.child for step in plan.steps if isinstance(step, MergeLayer))
    assert not any("other" in note for note in plan.notes)


def test_a_lost_or_altered_base_is_told_before_a_start() -> None:
    state = family()
    base = state.snapshots["web"]["s1"].disks[0].path
    lost = replace(state, images={path: image for path, image in state.images.items() if path != base})
    for machine in ("web", "link", "deep"):
        spec = state.machines[machine].spec
        gone = why_broken(lost, machine, spec.disks, frozenset())
        altered = why_broken(state, machine, spec.disks, frozenset({base}))
        assert gone is not None
        assert altered is not None
        assert "web.vda.0.qcow2" in gone.why
        assert f'lab.machines["{machine}"].relink("{machine}.vda", "…")' in gone.hint
        assert all(word in altered.hint for word in ("relink", "convert", "accept_changes"))
    assert why_broken(lost, "alone", state.machines["alone"].spec.disks, frozenset()) is None


def test_lineage_tells_who_stands_on_whom() -> None:
    state = family()
    lineage = read_lineage(state)
    assert lineage.clones("web") == ("deep", "link")
    assert lineage.direct_clones("web", "s2") == ("link",)
    assert lineage.direct_clones("web", "s1") == ()
    assert [lineage.original(name) for name in ("web", "link", "deep")] == [None, "web@s2", "link@s1"]
    base = state.snapshots["web"]["s1"].disks[0].path
    assert lineage.users[base] == {"web", "link", "deep"}
    assert [str(node) for node in lineage.dependants("web")] == ["deep", "link", "link@s1"]
    assert [str(node) for node in lineage.dependants("web@s2")] == ["link"]
    assert len(lineage.dependants(base)) == 7
    assert lineage.unique_cost("web") == 2 * MIB_EACH
    assert lineage.unique_cost("deep") == MIB_EACH
    claimed = frozenset(disk.path for disk in state.machines["deep"].spec.disks)  # a domain of somebody else needs it
    assert read_lineage(replace(state, claimed=claimed)).unique_cost("deep") == 0
    assert lineage.unique_cost("web@s2") == 0
    assert lineage.unique_cost("free") == MIB_EACH
    assert lineage.unique_cost(base) == 0


def test_the_graph_leads_from_what_is_needed_to_what_needs_it() -> None:
    import networkx as nx

    state = family()
    graph = read_lineage(state).graph()
    assert nx.is_directed_acyclic_graph(graph)
    base = LineageNode(NodeKind.IMAGE, state.snapshots["web"]["s1"].disks[0].path)
    needing = {str(node) for node in nx.descendants(graph, base) if node.kind is not NodeKind.IMAGE}
    assert needing == {"web", "link", "deep", "web@s1", "web@s2", "web@s3", "link@s1"}
    assert graph.nodes[base]["bytes"] == MIB_EACH
    assert graph.nodes[LineageNode(NodeKind.SNAPSHOT, "link@s1")]["machine"] == "link"


def test_only_the_lowest_own_layer_is_cut_loose() -> None:
    plan = plan_flatten(family(), FLATTEN, "link")
    assert [type(step) for step in plan.steps] == [ConvertImage, ReplaceImage]
    assert plan.files.rewritten == ("/lab/disks/link.vda.0.qcow2",)
    assert plan.files.created == ()  # what is made on the way takes the place of the old one
    assert plan.files.drafts == ("/lab/disks/link.vda.2.qcow2",)
    assert plan.bytes_copied == 3 * MIB_EACH


def test_a_running_clone_without_snapshots_pulls_and_others_are_told_to_stop() -> None:
    plan = plan_flatten(family("running"), FLATTEN, "deep")
    assert [type(step) for step in plan.steps] == [PullBases]
    refusal = plan_flatten(family("running"), FLATTEN, "link").refusal
    assert refusal is not None
    assert "has snapshots of its own" in refusal.why
    lab = Builder()
    web = lab.add("web", snapshots=1)
    link = lab.add("link", on=web[0], snapshots=1)
    lab.add("deep", on=link[0], state="running")
    refusal = plan_flatten(lab.state, FLATTEN, "link").refusal
    assert refusal is not None
    assert refusal.dependants == ("deep",)


def test_who_stands_alone_has_nothing_to_flatten() -> None:
    plan = plan_flatten(family(), FLATTEN, "web")
    assert (plan.steps, plan.refusal) == ((), None)
    assert "stands alone already" in plan.notes[0]


def test_what_nobody_else_needs_goes_with_the_flattening() -> None:
    lab = Builder()
    web = lab.add("web", snapshots=1)
    lab.add("link", on=web[0], snapshots=1)
    lab.forget("link", "s1")
    plan = plan_flatten(lab.state, FLATTEN, "link")
    assert plan.files.deleted == ()  # its lowest own layer has no name and is kept in its place
    assert plan.files.rewritten == ("/lab/disks/link.vda.0.qcow2",)
