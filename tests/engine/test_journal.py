"""The journal: an act is there whole or not at all, and is struck out at its end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.engine.journal import (
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
from labkit.errors import HostTrouble, NoSpace
from labkit.plans.creation import plan_create
from labkit.plans.machine import plan_delete
from labkit.plans.plan import Plan
from tests.plans.states import SURVEY, lab, machine, request
from tests.storage.test_files import no_file_longer_than

PLAN = plan_create(lab(), SURVEY, request())


@given(st.from_type(Plan))
def test_every_plan_survives_being_written_and_read(plan: Plan) -> None:
    line = dump_plan(plan)
    assert "\n" not in line
    assert load_plan(line) == plan


def test_an_act_is_there_with_the_steps_that_were_done(tmp_path: Path) -> None:
    record = Record(tmp_path, PLAN)
    record.step_done(0)
    (path,) = find_entries(tmp_path)
    entry = read_entry(path)
    assert entry is not None
    assert (entry.plan, entry.done, entry.path) == (PLAN, 1, record.path)
    record.close()
    assert find_entries(tmp_path) == []
    assert read_entry(path) is None


def test_acts_are_found_oldest_first(tmp_path: Path) -> None:
    records = [Record(tmp_path, PLAN) for _ in range(3)]
    for age, record in enumerate(records):
        os.utime(record.path, ns=(age, 100 - age))
    assert find_entries(tmp_path) == [record.path for record in reversed(records)]


def test_a_torn_line_counts_as_a_step_that_may_have_been_done(tmp_path: Path) -> None:
    record = Record(tmp_path, PLAN)
    record.step_done(0)
    with record.path.open("a") as file:
        file.write('{"do')
    entry = read_entry(record.path)
    assert entry is not None
    assert entry.done == 2


def test_a_draft_is_no_act_and_goes_away(tmp_path: Path) -> None:
    (tmp_path / "0.part").write_text(dump_plan(PLAN)[:40])
    assert find_entries(tmp_path) == []
    drop_drafts(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_act_that_cannot_be_written_down_leaves_no_draft(tmp_path: Path) -> None:
    with no_file_longer_than(10), pytest.raises(NoSpace):
        Record(tmp_path, PLAN)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"act": "create"}', "\n\n", '{"steps": [{"_type": "Explode"}]}'])
def test_what_is_no_act_is_told_and_can_be_set_aside(tmp_path: Path, text: str) -> None:
    path = tmp_path / "0.jsonl"
    path.write_text(text)
    with pytest.raises(HostTrouble, match=r"0\.jsonl"):
        read_entry(path)
    assert find_unfinished(read_entries(tmp_path)) == frozenset()
    set_aside(path)
    assert find_entries(tmp_path) == []
    assert (tmp_path / "0.unreadable").read_text() == text


def test_files_of_an_act_are_unfinished_until_its_commit_point(tmp_path: Path) -> None:
    record = Record(tmp_path, PLAN)
    assert find_unfinished(read_entries(tmp_path)) == frozenset(PLAN.files.created)
    record.step_done(0)
    assert find_unfinished(read_entries(tmp_path)) == frozenset()


def test_an_act_that_makes_nothing_leaves_nothing_unfinished(tmp_path: Path) -> None:
    Record(tmp_path, plan_delete(lab(machine("web")), "web"))
    assert find_unfinished(read_entries(tmp_path)) == frozenset()
