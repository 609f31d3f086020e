"""The journal: an act is there whole or not at all, and is struck out at its end."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.engine.journal import (
    Entry,
    Record,
    drop_drafts,
    dump_plan,
    find_entries,
    find_unfinished,
    load_plan,
    read_entries,
    read_entry,
    set_aside,
)
from labkit.errors import BadInput, HostTrouble, NoSpace
from labkit.plans.creation import plan_create
from labkit.plans.machine import plan_delete
from labkit.plans.plan import Plan
from labkit.storage.bounded import MOST_NUMBER
from labkit.units import MIB, check_name
from tests.plans.states import SURVEY, lab, machine, request
from tests.storage.test_files import no_file_longer_than

PLAN = plan_create(lab(), SURVEY, request())


st.register_type_strategy(int, st.integers(-MOST_NUMBER, MOST_NUMBER))  # sizes and times; larger ones are no files'


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of a lab's folder."""
    folder = tmp_path / "labs" / "course" / "journal"
    folder.mkdir(parents=True)
    return folder


def plan_in(journal: Path, plan: Plan = PLAN) -> Plan:
    """The plan as the lab with that journal makes it."""
    return load_plan(dump_plan(plan).replace(plan.home, str(journal.parent)))


def get_entry(path: Path) -> Entry:
    entry = read_entry(path)
    assert entry is not None
    return entry


@given(st.from_type(Plan))
def test_every_plan_survives_being_written_and_read(plan: Plan) -> None:
    line = dump_plan(plan)
    assert "\n" not in line
    assert load_plan(line) == plan


def test_an_act_is_there_with_the_steps_that_were_done(journal: Path) -> None:
    record = Record(journal, plan_in(journal))
    record.step_done(0)
    (path,) = find_entries(journal)
    entry = read_entry(path)
    assert entry is not None
    assert (entry.plan, entry.done, entry.path) == (plan_in(journal), 1, record.path)
    record.close()
    assert find_entries(journal) == []
    assert read_entry(path) is None


def test_the_act_that_was_written_to_last_is_found_last(journal: Path) -> None:
    records = [Record(journal, plan_in(journal)) for _ in range(3)]
    for age, record in enumerate(records):
        os.utime(record.path, ns=(age, 100 - age))
    assert find_entries(journal) == [record.path for record in reversed(records)]


def test_an_act_about_files_that_belong_to_nothing_has_a_lock_too(journal: Path) -> None:
    """A free lock tells of an act that was interrupted; without any it would be ended while it is done."""
    plan = replace(plan_in(journal), names=(), disks=())
    assert plan.locks
    assert not any(map(check_is_name, plan.locks))


def check_is_name(lock: str) -> bool:
    try:
        return bool(check_name(lock, what="machine"))
    except BadInput:
        return False


def test_a_plan_that_could_not_be_read_again_is_not_begun(journal: Path) -> None:
    with pytest.raises(BadInput, match="which no journal holds"):
        Record(journal, replace(plan_in(journal), notes=("x" * (61 * MIB),)))
    assert list(journal.iterdir()) == []


def test_a_torn_line_counts_as_a_step_that_may_have_been_done(journal: Path) -> None:
    record = Record(journal, plan_in(journal))
    record.step_done(0)
    with record.path.open("a") as file:
        file.write("5c12")
    entry = read_entry(record.path)
    assert entry is not None
    assert entry.done == 2


def test_a_draft_is_no_act_and_goes_away(journal: Path) -> None:
    (journal / "0.part").write_text(dump_plan(PLAN)[:40])
    assert find_entries(journal) == []
    drop_drafts(journal)
    assert list(journal.iterdir()) == []


def test_an_act_that_cannot_be_written_down_leaves_no_draft(journal: Path) -> None:
    with no_file_longer_than(10), pytest.raises(NoSpace):
        Record(journal, plan_in(journal))
    assert list(journal.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"act": "create"}', "\n\n", '{"steps": [{"_type": "Explode"}]}'])
def test_what_is_no_act_is_told_and_can_be_set_aside(journal: Path, text: str) -> None:
    path = journal / "0.jsonl"
    path.write_text(text)
    with pytest.raises(HostTrouble, match=r"0\.jsonl"):
        read_entry(path)
    assert find_unfinished(read_entries(journal)) == frozenset()
    set_aside(path)
    assert find_entries(journal) == []
    assert (journal / "0.unreadable").read_text() == text


def test_files_of_an_act_are_unfinished_until_its_commit_point(journal: Path) -> None:
    record = Record(journal, plan_in(journal))
    assert find_unfinished(read_entries(journal)) == frozenset(plan_in(journal).files.created)
    record.step_done(0)
    assert find_unfinished(read_entries(journal)) == frozenset()


def test_an_act_that_makes_nothing_leaves_nothing_unfinished(journal: Path) -> None:
    Record(journal, plan_in(journal, plan_delete(lab(machine("web")), "web")))
    assert find_unfinished(read_entries(journal)) == frozenset()
