"""The points of a lineage: what stands on what, what is shown as one, what is broken; and what plans leave behind."""

from __future__ import annotations

from dataclasses import replace

from labkit import Lab
from labkit.machine import Machine
from labkit.model.lineage import LineageNode, NodeKind, read_lineage
from labkit.model.lineage_text import find_needing, lineage_text, standing_word
from labkit.model.losses import LossKind, find_losses
from labkit.model.points import find_points, natural, span
from labkit.plans.effect import state_after
from labkit.plans.plan import Plan
from tests.figures.lineages import Builder, classroom, path, small
from tests.plans.foreseen import differences


def shown(builder: Builder) -> list[str]:
    return lineage_text(read_lineage(builder.state)).splitlines()


def test_every_point_comes_after_the_one_it_stands_on() -> None:
    points = find_points(read_lineage(classroom().state))
    seen: set[LineageNode | None] = {None}
    for point in points:
        assert point.below in seen
        seen.add(point.node)


def test_equal_clones_are_one_point_and_those_with_snapshots_are_not() -> None:
    points = find_points(read_lineage(classroom().state))
    seats = next(point for point in points if len(point.equals) > 1)
    assert (seats.name, len(seats.equals), len(seats.images)) == ("seat-01 … seat-20", 19, 38)
    assert len(find_points(read_lineage(classroom().state), grouped=False)) == len(points) + 18


def test_stretch_has_an_image_for_each_disk() -> None:
    points = {str(point.node): point for point in find_points(read_lineage(classroom().state))}
    assert points["web@clean"].stretches == ((path("web.vda", 0),), (path("web.vdb", 0),))
    assert points["web"].is_linked is False
    assert points["seat-07@own"].is_linked is True


def test_layer_that_is_no_point_any_more_is_one_where_several_stand_on_it() -> None:
    lab = small()
    lab.trees.clear()
    assert "web.vda.0.qcow2 (layer without a name)" in shown(lab)


def test_orphan_is_said_to_be_needed_by_nothing() -> None:
    lab = small()
    lab.image("/lab/disks/web.vda.9.qcow2")
    assert "web.vda.9.qcow2 (nothing needs it)" in shown(lab)


def test_image_that_is_gone_is_told_where_it_is_missed() -> None:
    lab = small()
    del lab.images[path("web.vda", 0)]
    assert "web@clean (an image of it is gone)" in shown(lab)
    assert "└┄ link (linked clone, on an image that is lost)" in shown(lab)


def test_what_is_lost_is_known_with_all_that_need_it() -> None:
    lab = small()
    del lab.images[path("web.vda", 0)]
    lineage = read_lineage(lab.state)
    (loss,) = find_losses(lineage)
    assert (loss.path, loss.kind) == (path("web.vda", 0), LossKind.GONE)
    assert [node.label for node in loss.needed_by] == ["link", "web", "web@clean"]
    assert loss.disks == (("link", "link.vda"), ("web", "web.vda"))
    assert loss.sentence == "The image web.vda.0.qcow2 is gone. link, web, web@clean need it."
    assert lineage.original("link") == "web@clean"
    assert lineage.clones("web") == ("link",)
    assert standing_word(lineage, "link") == "web@clean; lost is web.vda.0.qcow2"
    gone = LineageNode(NodeKind.IMAGE, loss.path)
    assert lineage.dependants(gone) == loss.needed_by
    assert lineage.unique_cost(gone) == 0


def test_what_nobody_names_any_more_and_is_gone_does_not_let_a_clone_stand_alone() -> None:
    lab = small()
    del lab.images[path("web.vda", 0)]
    del lab.machines["web"]
    lab.trees.clear()
    lineage = read_lineage(lab.state)
    assert lineage.original("link") is None
    assert standing_word(lineage, "link") == "what is lost: web.vda.0.qcow2"


def test_what_is_there_and_cannot_be_read_is_damaged_and_not_gone() -> None:
    lab = small()
    del lab.images[path("web.vda", 0)]
    state = replace(lab.state, damaged=frozenset([path("web.vda", 0)]))
    (loss,) = find_losses(read_lineage(state))
    assert loss.kind is LossKind.DAMAGED
    assert "is there but cannot be read" in loss.sentence
    assert "web@clean (an image of it is damaged)" in lineage_text(read_lineage(state))


def test_nothing_is_lost_of_a_whole_lab() -> None:
    lineage = read_lineage(classroom().state)
    assert find_losses(lineage) == ()
    assert standing_word(lineage, "web") == "nothing: it stands alone"


def test_who_needs_a_snapshot_are_its_clones_and_all_that_stands_on_them() -> None:
    lab = classroom(8).machine("deep", on="seat-07@own")
    needing = find_needing(read_lineage(lab.state), LineageNode(NodeKind.SNAPSHOT, "web@clean"))
    assert {node.label for node in needing} == {f"seat-0{n}" for n in range(1, 9)} | {"seat-07@own", "deep"}


def test_names_are_told_as_spans_in_natural_order() -> None:
    names = ["s-10", "s-2", "s-1", "s-3", "web"]
    assert span(LineageNode(NodeKind.MACHINE, name) for name in names) == "s-1 … s-10, web"
    assert sorted(names, key=natural) == ["s-1", "s-2", "s-3", "s-10", "web"]


def check(lab: Lab, plan: Plan) -> None:
    """What a plan says it leaves is what is there once it is carried out."""
    foreseen = state_after(lab.state, plan)
    lab.carry_out(plan)
    assert lineage_text(lab.lineage) == lineage_text(read_lineage(foreseen))
    assert differences(foreseen, lab.state) == {}


def test_lineage_after_a_plan_is_what_the_plan_foresees(lab: Lab) -> None:
    vm = lab.create("web", memory="96 MiB")
    vm.attach(lab.disks.create("data", capacity="8 MiB"))
    check(lab, vm.snapshots.take.plan("clean"))
    check(lab, vm.snapshots.take.plan("later"))
    check(lab, vm.clone.plan("copy"))
    check(lab, vm.clone.plan("whole", snapshots=True))
    check(lab, vm.clone.plan("seat-{:02}", kind="linked", snapshot="clean", count=5))
    check(lab, vm.clone.plan("now", kind="linked"))
    seat: Machine = lab.machines["seat-01"]
    check(lab, seat.snapshots.take.plan("own"))
    check(lab, seat.clone.plan("deep", kind="linked", snapshot="own"))
    check(lab, seat.flatten.plan())
    check(lab, vm.snapshots.delete.plan("later"))
    check(lab, vm.detach.plan("data"))
    check(lab, lab.machines["seat-02"].delete.plan())
