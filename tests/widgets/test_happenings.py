"""What happened to machines is told from two readings and from events, and kept a bounded while."""

from __future__ import annotations

import itertools
import re
import time
from copy import deepcopy
from dataclasses import replace

from labkit.model.happenings import Happening, HappeningKind, compare, kind_of
from labkit.model.machine import MachineState, Reason
from labkit.model.state import LabState
from labkit.widgets.chronicle import KEPT, Chronicle
from labkit.widgets.lab.story import render_story, render_trace
from tests.figures.lineages import Builder, small


def tell(before: Builder, after: Builder) -> set[tuple[str, HappeningKind, str]]:
    """Return machine, kind and subject of what happened between two labs."""
    return {(each.name, each.kind, each.about) for each in compare(before.state, after.state, when=1.0)}


def test_nothing_happened_between_equal_readings() -> None:
    assert tell(small(), small()) == set()


def test_new_machines_are_created_or_clones_and_the_original_hears_of_it() -> None:
    before = Builder().machine("web").take("web", "clean")
    after = deepcopy(before).machine("db").machine("link", on="web@clean")
    assert tell(before, after) == {
        ("db", HappeningKind.CREATED, ""),
        ("link", HappeningKind.CLONED, "web@clean"),
        ("web", HappeningKind.COPIED, "link"),
    }
    assert tell(after, before) == {("db", HappeningKind.DELETED, ""), ("link", HappeningKind.DELETED, "")}


def test_snapshots_are_taken_restored_deleted_but_a_new_name_is_none_of_it() -> None:
    first = Builder().machine("web").take("web", "clean")
    second = deepcopy(first).take("web", "later")
    assert tell(first, second) == {("web", HappeningKind.TAKEN, "later")}
    assert tell(second, first) == {("web", HappeningKind.DROPPED, "later")}
    assert tell(second, deepcopy(second).restore("web", "clean")) == {("web", HappeningKind.RESTORED, "clean")}
    renamed = deepcopy(first)
    tree = renamed.trees["web"]
    renamed.trees["web"] = replace(tree, nodes={"fresh": replace(tree["clean"], name="fresh")}, current="fresh")
    assert tell(first, renamed) == set()


def test_definition_name_and_place_are_told() -> None:
    before = Builder().machine("web", 2)
    facts = before.machines["web"]
    after = deepcopy(before)
    after.machines["web"] = replace(facts, spec=replace(facts.spec, vcpus=2, disks=facts.spec.disks[:1]))
    assert tell(before, after) == {("web", HappeningKind.CHANGED, ""), ("web", HappeningKind.DETACHED, "web.vdb")}
    assert tell(after, before) == {("web", HappeningKind.CHANGED, ""), ("web", HappeningKind.ATTACHED, "web.vdb")}
    named = replace(before.state, machines={"api": replace(facts, spec=replace(facts.spec, name="api"))})
    assert [(each.kind, each.about) for each in compare(before.state, named, when=1.0)] == [
        (HappeningKind.RENAMED, "web")
    ]
    away = LabState(
        lab="t", lab_id="1", home="/lab", elsewhere={"web": facts}, places={"web": "neighbour"}, images=before.images
    )
    assert [(each.kind, each.about) for each in compare(before.state, away, when=1.0)] == [
        (HappeningKind.MIGRATED, "neighbour")
    ]
    assert [each.kind for each in compare(away, before.state, when=1.0)] == [HappeningKind.ARRIVED]


def test_every_state_reached_for_whatever_reason_has_words() -> None:
    for state, reason, before in itertools.product(MachineState, Reason, (None, *MachineState)):
        happening = Happening(when=0.0, machine_id="1", kind=kind_of(state, reason, before=before), state=state)
        assert render_story([happening]).text


def test_switches_too_quick_for_a_reading_are_told_with_their_durations() -> None:
    chronicle, lab = Chronicle(), Builder().machine("web")
    chronicle.take(None, lab.state, began=time.time())
    for stand in (
        (MachineState.RUNNING, Reason.BOOTED),
        (MachineState.PAUSED, Reason.BY_USER),
        (MachineState.RUNNING, Reason.BY_USER),
        (MachineState.OFF, Reason.KILLED),
    ):
        chronicle.hear("id-web", *stand)
    kinds = [each.kind for each in chronicle.of("id-web")]
    assert kinds == [
        HappeningKind.SEEN,
        HappeningKind.STARTED,
        HappeningKind.PAUSED,
        HappeningKind.RESUMED,
        HappeningKind.KILLED,
    ]
    newest, *_rest, oldest = render_story(chronicle.of("id-web")).find("li")
    assert newest.text.endswith("its power was cut — off since then")
    assert re.search(r"was there when looking began — off for \d+\.\d s$", oldest.text)


def test_a_reading_older_than_an_event_does_not_contradict_it_and_a_newer_one_does() -> None:
    chronicle, lab = Chronicle(), Builder().machine("web")
    chronicle.take(None, lab.state, began=time.time())
    began = time.time()
    chronicle.hear("id-web", MachineState.RUNNING, Reason.BOOTED)
    chronicle.take(lab.state, lab.state, began=began)
    assert chronicle.of("id-web")[-1].kind is HappeningKind.STARTED
    chronicle.take(lab.state, lab.state, began=time.time() + 1)
    assert chronicle.of("id-web")[-1].kind is HappeningKind.SHUT_DOWN


def test_a_new_machine_that_was_heard_before_it_was_read_begins_with_its_making() -> None:
    chronicle, before = Chronicle(), Builder()
    chronicle.hear("id-web", MachineState.RUNNING, Reason.BOOTED)
    after = Builder().machine("web").state
    chronicle.take(before.state, after.with_stand("id-web", MachineState.RUNNING, Reason.BOOTED), began=time.time())
    assert [each.kind for each in chronicle.of("id-web")] == [HappeningKind.CREATED, HappeningKind.STARTED]


def test_only_a_bounded_while_is_kept_and_what_went_is_told_of_once() -> None:
    chronicle, lab = Chronicle(), Builder().machine("web")
    for _time in range(KEPT):
        chronicle.hear("id-web", MachineState.RUNNING, Reason.BOOTED)
        chronicle.hear("id-web", MachineState.PAUSED, Reason.BY_USER)
    assert len(chronicle.of("id-web")) == KEPT
    chronicle.take(lab.state, Builder().state, began=time.time())
    assert chronicle.of("id-web") == ()
    assert [(each.name, each.kind) for each in chronicle.gone()] == [("web", HappeningKind.DELETED)]


def test_trace_draws_states_in_their_order_and_marks_for_the_rest() -> None:
    happenings = [
        Happening(when=100.0, machine_id="1", kind=HappeningKind.STARTED, state=MachineState.RUNNING),
        Happening(when=110.0, machine_id="1", kind=HappeningKind.TAKEN, about="clean"),
        Happening(when=130.0, machine_id="1", kind=HappeningKind.PAUSED, state=MachineState.PAUSED),
    ]
    running, paused, mark = render_trace(happenings, began=90.0, now=150.0).find("rect")
    assert (running.attributes["x"], running.attributes["width"]) == ("10.0", "30.0")
    assert paused.attributes["x"] == "40.0"
    assert "snapshot clean taken" in mark.text
    assert float(running.attributes["height"]) > float(paused.attributes["height"])
