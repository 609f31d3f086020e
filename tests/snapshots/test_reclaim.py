"""What files are needed: properties of `reclaim` over random forests of images."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from labkit.model.disk import disk_name
from labkit.model.image import ImageFacts
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState, alive_among
from labkit.plans.reclaim import depth, find_unneeded, own_disks, reclaim, sort_out
from tests.snapshots.world import HOME, disk, image, machine

Forest = tuple[dict[str, ImageFacts], frozenset[str]]


@st.composite
def forests(draw: st.DrawFn) -> Forest:
    """Return images, each a difference to an earlier one or a base, and some of them as roots."""
    count = draw(st.integers(1, 14))
    specs = [disk("d", number) for number in range(count)]
    images = {}
    for number, spec in enumerate(specs):
        below = draw(st.one_of(st.none(), st.integers(0, number - 1))) if number else None
        images[spec.path] = image(spec, None if below is None else specs[below])
    return images, draw(st.frozensets(st.sampled_from(sorted(images))))


def _chain(images: dict[str, ImageFacts], path: str | None) -> list[str]:
    return [] if path is None else [path, *_chain(images, images[path].backing)]


@given(forests())
def test_dead_is_exactly_what_no_root_stands_on(forest: Forest) -> None:
    images, roots = forest
    alive = {path for root in roots for path in _chain(images, root)}
    assert set(reclaim(images, roots).dead) == set(images) - alive


@given(forests())
def test_nothing_is_deleted_before_what_depends_on_it(forest: Forest) -> None:
    images, roots = forest
    dead = reclaim(images, roots).dead
    depths = [depth(images, path) for path in dead]
    assert depths == sorted(depths, reverse=True)


@given(forests())
def test_only_a_layer_that_is_no_root_and_has_one_living_child_can_be_merged(forest: Forest) -> None:
    images, roots = forest
    work = reclaim(images, roots)
    alive = set(images) - set(work.dead)
    for path in alive:
        children = [child for child in alive if images[child].backing == path]
        expected = path not in roots and len(children) == 1
        assert [pair for pair in work.anonymous if pair[0] == path] == ([(path, children[0])] if expected else [])


@given(forests())
def test_once_the_work_is_done_nothing_is_left_to_delete(forest: Forest) -> None:
    images, roots = forest
    left = {path: facts for path, facts in images.items() if path not in reclaim(images, roots).dead}
    assert reclaim(left, roots).dead == ()


def test_a_root_that_is_not_among_the_images_does_no_harm() -> None:
    base = disk("d")
    assert reclaim({base.path: image(base)}, {"/elsewhere.raw"}).dead == (base.path,)


# --- an act's own, and what is judged when it is done --------------------------------------------


@st.composite
def labs(draw: st.DrawFn) -> LabState:
    """Return a lab of two machines without snapshots over random images, some of which nobody needs."""
    count = draw(st.integers(2, 12))
    specs = [disk(draw(st.sampled_from(["web.vda", "db.vda"])), number) for number in range(count)]
    images = {}
    for number, spec in enumerate(specs):
        below = draw(st.one_of(st.none(), st.integers(0, number - 1))) if number else None
        images[spec.path] = image(spec, None if below is None else specs[below])
    mine = draw(st.sampled_from(specs))
    others = draw(st.frozensets(st.sampled_from(sorted(images)), max_size=2))
    return LabState(
        lab="default", lab_id="lab-id", home=HOME, machines={"web": machine(mine)}, images=images, claimed=others
    )


@given(labs())
def test_an_act_names_only_images_of_its_own_disks_that_were_alive(state: LabState) -> None:
    web = state.machines["web"]
    own = own_disks(web, SnapshotTree())
    going = set(find_unneeded(state, state.roots - {web.spec.disks[0].path} | state.claimed, own))
    assert going <= state.alive
    assert all(disk_name(path) in own for path in going)
    left = {path: facts for path, facts in state.images.items() if path not in going}
    assert all(facts.backing in {None, *left} for facts in left.values())  # nothing that stays loses its base


def test_an_image_of_its_own_stays_below_one_that_is_another_s() -> None:
    base, foreign, top = disk("web.vda", 0), disk("db.vda", 1), disk("web.vda", 2)
    images = {base.path: image(base), foreign.path: image(foreign, base), top.path: image(top, foreign)}
    web = machine(top)
    state = LabState(lab="default", lab_id="lab-id", home=HOME, machines={"web": web}, images=images)
    assert find_unneeded(state, (), own_disks(web, SnapshotTree())) == (top.path,)


@given(labs(), st.data())
def test_whatever_is_asked_for_nothing_that_stays_loses_its_base(state: LabState, data: st.DataObject) -> None:
    asked = data.draw(st.frozensets(st.sampled_from(sorted(state.images))))
    named = data.draw(st.frozensets(st.sampled_from(sorted(state.images)), max_size=2))
    verdict = sort_out(state, sorted(asked), named)
    assert set(verdict.doomed) | set(verdict.spared) == asked
    left = {path: facts for path, facts in state.images.items() if path not in verdict.doomed}
    assert all(facts.backing in {None, *left} for facts in left.values())
    assert (state.claims | named) & set(state.images) <= set(left)


@given(labs())
def test_what_nobody_stands_on_and_nobody_names_is_deleted_when_asked_for(state: LabState) -> None:
    unneeded = sorted(set(state.images) - alive_among(state.images, state.claims))
    assert sort_out(state, unneeded, ()).doomed == tuple(unneeded)
