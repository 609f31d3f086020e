"""What files are needed: properties of `reclaim` over random forests of images."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from labkit.model.image import ImageFacts
from labkit.plans.reclaim import depth, reclaim
from tests.snapshots.world import disk, image

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
