"""The parts of panels: errors, plans, buttons with excuses, progress."""

from __future__ import annotations

import time
from dataclasses import replace

from labkit.engine.progress import Progress
from labkit.errors import BadInput
from labkit.plans.plan import Plan
from labkit.plans.refusal import Refusal
from labkit.plans.steps import DeleteFiles
from labkit.units import MIB
from labkit.widgets import act_parts, parts
from labkit.widgets.tree import Node, to_html
from labkit.widgets.work import Work, format_duration

PLAN = Plan(
    act="delete",
    subject="web",
    home="/labs/default",
    names=("web",),
    basis="",
    steps=(DeleteFiles(paths=("/labs/default/disks/web.vda.0.qcow2",), bytes=3 * MIB),),
)


def test_error_shows_message_hint_and_folded_details() -> None:
    node = act_parts.render_error(BadInput("No <web>.", "Choose another.", details="code 42"))
    assert node.attributes["role"] == "alert"
    assert "No <web>." in node.text
    assert "→ Choose another." in node.text
    assert [fold.text for fold in node.find("details")] == ["Details code 42"]
    assert "&lt;web&gt;" in to_html(node)


def test_still_twin_has_nothing_that_takes_keys() -> None:
    node = parts.fold("More", parts.field("Name", "name", "web"), parts.fold("Inside", "all"))
    inside = '<div class="labkit-fold"><p>Inside</p>all</div>'
    assert to_html(node) == f'<div class="labkit-fold"><p>More</p><label>Name</label>{inside}</div>'


def test_error_without_details_has_no_fold() -> None:
    assert not list(act_parts.render_error(BadInput("No.")).find("details"))


def test_button_that_cannot_be_pressed_says_why() -> None:
    row = parts.render_buttons(
        [
            parts.Button(label="Start", action="start", excuse="web is running."),
            parts.Button(label="Stop", action="stop"),
        ],
        label="acts",
    )
    start, stop = row.find("button")
    assert start.attributes["aria-disabled"] == "true"
    assert start.attributes["title"] == "web is running."
    assert _by_id(row, start.attributes["aria-describedby"]).text == "Not now. web is running."
    assert "aria-disabled" not in stop.attributes


def test_several_reasons_name_their_buttons() -> None:
    row = parts.render_buttons(
        [
            parts.Button(label="Compact…", action="compact", excuse="data is in use."),
            parts.Button(label="Delete…", action="delete", excuse="data is attached."),
            parts.Button(label="Look", action="look"),
        ],
        label="acts",
    )
    assert "Compact: not now. data is in use." in row.text
    assert "Delete: not now. data is attached." in row.text


def test_one_reason_for_all_buttons_is_said_once() -> None:
    buttons = [parts.Button(label=name, action=name, excuse="Starting web.") for name in ("a", "b", "c")]
    assert parts.render_buttons(buttons, label="acts").text.count("Starting web.") == 1


def test_what_waits_for_an_act_is_held_without_a_line_of_its_own() -> None:
    busy = "Starting web: wait for it to end."
    start = parts.Button(label="Start", action="start", busy=busy)
    stop = parts.Button(label="Stop", action="stop", excuse="web is off.", busy=busy)
    row = parts.render_buttons([start, stop], label="acts")
    form = parts.form("configure", "Change…", busy=busy)
    assert (row.text, form.text) == ("Start Stop Not now. web is off.", "Change…")
    held = [*row.find("button"), *form.find("button")]
    assert [button.attributes["title"] for button in held] == [busy, "web is off.", busy]
    assert all(button.attributes["aria-disabled"] == "true" for button in held)


def test_plan_that_deletes_names_what_is_lost() -> None:
    lost = next(act_parts.render_plan(PLAN).find("ul"))
    assert lost.text == "disks/web.vda.0.qcow2"


def test_plan_shows_its_commands_to_copy() -> None:
    (copy,) = act_parts.render_plan(PLAN).find("button")
    assert copy.attributes["data-copy"] == "rm -f disks/web.vda.0.qcow2"


def test_refused_plan_says_why_and_the_ways_out() -> None:
    refusal = Refusal(
        why="web is running.", ways_out=("Stop it.",), for_calls=("Say force=True.",), dependants=("copy",)
    )
    text = act_parts.render_plan(replace(PLAN, steps=(), refusal=refusal)).text
    assert "web is running." in text
    assert "→ Stop it." in text
    assert "copy" in text
    assert "force" not in text


def test_plan_with_nothing_to_do_says_so() -> None:
    assert act_parts.render_plan(replace(PLAN, steps=())).text == "There is nothing to do."


def test_progress_shows_bytes_rate_and_time_left() -> None:
    work = Work(label="Copying", can_cancel=True)
    work.report(Progress(step=1, steps=2, label="cp a b", done=0, total=100 * MIB))
    work._step_began = time.monotonic() - 10
    work.report(Progress(step=1, steps=2, label="cp a b", done=50 * MIB, total=100 * MIB))
    node = act_parts.render_work(work)
    for words in ("Copying…", "step 1 of 2", "50 MiB of 100 MiB", "5 MiB a second", "10 s left"):
        assert words in node.text
    (bar,) = node.find("progress")
    assert (bar.attributes["value"], bar.attributes["max"]) == (str(50 * MIB), str(100 * MIB))
    assert [button.attributes["data-action"] for button in node.find("button")] == ["cancel"]


def test_act_that_cannot_be_cancelled_offers_no_cancel() -> None:
    assert not list(act_parts.render_work(Work(label="Starting")).find("button"))


def test_act_that_heeds_no_cancel_any_more_offers_none_and_says_so_to_who_asked() -> None:
    work = Work(label="Cloning", can_cancel=True)
    work.report(Progress(step=2, steps=3, label="waking", can_cancel=False))
    assert not list(act_parts.render_work(work).find("button"))
    work.cancel.set()
    assert act_parts.render_work(work).text == "Cloning… · waking · step 2 of 3 · it goes on to its end"
    work.report(Progress(step=2, steps=3, label="waking"))
    assert act_parts.render_work(work).text.endswith("cancelling")


def test_long_act_announces_its_time() -> None:
    assert "this takes about 12 s" in act_parts.render_work(Work(label="Stopping", expected=12.0)).text
    assert "about" not in act_parts.render_work(Work(label="Stopping", expected=3.0)).text


def test_durations_read_as_a_person_says_them() -> None:
    durations = (0.2, 42.4, 100, 600, 7300, 259_000)
    assert [format_duration(seconds) for seconds in durations] == ["1 s", "42 s", "2 min", "10 min", "2 h", "3 days"]


def test_state_is_told_by_word_and_shape_too() -> None:
    assert parts.badge("running", shape="▶", tone="good").text.split() == ["▶", "running"]


def test_sparkline_says_in_words_what_it_draws() -> None:
    line = parts.sparkline([0.0, 0.5, 1.0], top=1.0, label="CPU, now 100 %")
    assert line.attributes["aria-label"] == "CPU, now 100 %"
    points = next(line.find("polyline")).attributes["points"].split()
    assert len(points) == 3


def _by_id(node: Node, wanted: str) -> Node:
    return next(div for div in node.find("div") if div.attributes.get("id") == wanted)
