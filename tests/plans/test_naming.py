"""New files are numbered beyond everything that anything names, on whatever side, whether its file is there or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from labkit.model.image import Format
from labkit.model.machine import MachineFacts
from labkit.model.snapshot import SnapshotFacts, SnapshotTree
from labkit.model.state import LabState
from labkit.plans.naming import free_console_log, free_disk_name, free_memory_paths, next_image_path
from labkit.plans.reclaim import Need, sort_out
from tests.snapshots.world import HOME, disk, image, machine, snapshot

IMAGE = disk("web.vda", 7)
MEMORY = f"{HOME}/memory/web.0.mem"
LOG = f"{HOME}/consoles/web.0.log"


def _lab(**changes: object) -> LabState:
    return replace(LabState(lab="default", lab_id="lab-id", home=HOME), **changes)  # type: ignore[arg-type]


def _machine() -> MachineFacts:
    facts = machine(IMAGE)
    return replace(facts, spec=replace(facts.spec, console_log=LOG))


def _tree(node: SnapshotFacts) -> dict[str, SnapshotTree]:
    return {"old": SnapshotTree(nodes={node.name: node})}


def _elsewhere(**changes: object) -> dict[str, MachineFacts]:
    return {"old": replace(_machine(), **changes)}  # type: ignore[arg-type]


NODE = snapshot("one", _machine().spec, memory=MEMORY)

IMAGES: dict[str, Callable[[], LabState]] = {
    "a definition": lambda: _lab(machines={"web": _machine()}),
    "a running guest": lambda: _lab(machines={"web": replace(machine(), live=_machine().spec)}),
    "a snapshot": lambda: _lab(snapshots=_tree(NODE)),
    "a definition of the other side": lambda: _lab(elsewhere=_elsewhere()),
    "a snapshot of the other side": lambda: _lab(elsewhere=_elsewhere(), elsewhere_snapshots=_tree(NODE)),
    "an image's header": lambda: _lab(images={disk("a").path: image(disk("a"), IMAGE)}),
    "an image": lambda: _lab(images={IMAGE.path: image(IMAGE)}),
    "a file that is no image": lambda: _lab(strays=(IMAGE.path,)),
    "an act of the journal": lambda: _lab(pending=frozenset([IMAGE.path])),
    "a seal, or the record": lambda: _lab(given=frozenset([IMAGE.path])),
    "a domain of somebody else": lambda: _lab(claimed=frozenset([IMAGE.path])),
}
"""All that can name an image."""

MEMORIES: dict[str, Callable[[], LabState]] = {
    "a snapshot": lambda: _lab(machines={"old": _machine()}, snapshots=_tree(NODE)),
    "a snapshot of the other side": lambda: _lab(elsewhere=_elsewhere(), elsewhere_snapshots=_tree(NODE)),
    "a file": lambda: _lab(memories=frozenset([MEMORY])),
    "an act of the journal": lambda: _lab(pending=frozenset([MEMORY])),
    "a seal, or the record": lambda: _lab(given=frozenset([MEMORY])),
}
"""All that can name saved memory; where a machine names it, that has got another name since."""


@pytest.mark.parametrize("who", IMAGES)
def test_an_image_gets_no_number_that_anything_names(who: str) -> None:
    state = IMAGES[who]()
    assert next_image_path(state, "web.vda", Format.QCOW2) == disk("web.vda", 8).path
    assert next_image_path(state, "web.vda", Format.VDI) == disk("web.vda", 8, format=Format.VDI).path
    assert free_disk_name(state, "web.vda") == "web.vda-2"


@pytest.mark.parametrize("who", MEMORIES)
def test_memory_gets_no_name_that_anything_names(who: str) -> None:
    assert next(iter(free_memory_paths(MEMORIES[who](), "web"))) == f"{HOME}/memory/web.1.mem"


@pytest.mark.parametrize("state", [_lab(machines={"old": _machine()}), _lab(elsewhere=_elsewhere())])
def test_a_console_gets_no_log_that_a_machine_of_either_side_has(state: LabState) -> None:
    assert free_console_log(state, "web") == f"{HOME}/consoles/web.1.log"


@pytest.mark.parametrize("there", [False, True])
def test_memory_and_logs_of_either_side_are_not_deleted(*, there: bool) -> None:
    """Whatever a plan says that was made before they came to be."""
    sides: dict[str, object] = (
        {"elsewhere": _elsewhere(), "elsewhere_snapshots": _tree(NODE)}
        if there
        else {"machines": {"old": _machine()}, "snapshots": _tree(NODE)}
    )
    verdict = sort_out(_lab(memories=frozenset([MEMORY]), **sides), [MEMORY, LOG], ())
    assert verdict.spared == {MEMORY: Need.NAMED, LOG: Need.NAMED}
