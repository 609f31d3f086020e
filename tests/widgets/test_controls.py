"""Hints as panels say them: with the names of their own controls, in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from labkit.language import set_language
from labkit.widgets import controls
from labkit.widgets.controls import in_a_panel
from tests.instance import ROOT
from tests.language import catalogue

CALL = re.compile(
    r"""(?<![\w.])(?:[a-z_]+(?:\[[^]]*\])?\.)*[a-z_]+\([^()]*\)|\b[a-z_]+=(?:True|False|None|"[^"]*"|…)"""
)
FILLED_IN = re.compile(r"""(?<![\w])f?(["'])((?:lab|vm|disk)[.\[].*\))\1(?!\w)""")
SHOWN = ("acts", "engine", "guest", "hypervisor", "model", "plans", "storage")
"""The rooms whose hints panels show."""

WITHOUT = [
    "describe()",
    "encode()",
    "format(…)",
    "help(…)",
    "lab.clean()",
    "lab.create(…)",
    "lab.create.plan(…)",
    "lab.disks.import_file(…)",
    "lab.neighbour()",
    "plan.write(…)",
    "re.escape()",
    "vm.run(…)",
    "vm.export(…)",
    "import_machine(…)",
    "vm.migrate(…)",
    "vm.rename(…)",
    "vm.snapshots.restore.plan(…)",
    "restore(…)",
    "start(…)",
    "wait_ready()",
    "disk.stop_serving()",
    "identity=…",
    "if_exists=…",
    "merge=…",
    "home=…",
    "timeout=…",
    "stdin=…",
    "uri=…",
    "format=…",
    'lab.orphans["x"].accept_changes()',
]
"""Calls and arguments that no panel has a control for."""


@pytest.fixture(autouse=True)
def _chosen_language_ends_with_the_test() -> Iterator[None]:
    set_language("en")
    yield
    set_language(None)


def hints() -> Iterator[str]:
    """Every message of the rooms that panels stand on, and the calls that are filled into them."""
    for message in catalogue.read(catalogue.TEMPLATE):
        rooms = {file.split("/")[1] for file, _line in message.locations}
        if rooms.intersection(SHOWN):
            yield message.id if isinstance(message.id, str) else message.id[0]
    for room in SHOWN:
        for file in (ROOT / "labkit" / room).rglob("*.py"):
            calls = (match[2] for match in FILLED_IN.finditer(file.read_text()))
            yield from (re.sub(r"\{[^{}]*\}", "x", call) for call in calls)


def calls_in(text: str) -> set[str]:
    """The Python in a text, without what is given to it."""
    return {
        re.sub(r"\(.+\)", "(…)", call) if "(" in call else re.sub(r"=.+", "=…", call) for call in CALL.findall(text)
    }


def test_no_hint_in_a_panel_speaks_python_where_there_is_a_control() -> None:
    left = {call for hint in hints() for call in calls_in(in_a_panel(hint))}
    assert left - set(WITHOUT) == set()


def test_every_control_is_named_by_some_hint() -> None:
    texts = " ".join(hints())
    assert [call for call, _label in controls._CONTROLS if not re.search(call, texts)] == []


def test_a_hint_names_the_button_in_the_readers_language() -> None:
    assert in_a_panel("Use kill() to cut its power, or resume(), then stop() to shut it down.") == (
        "Use “Cut the power” to cut its power, or “Resume”, then “Shut down” to shut it down."
    )
    assert in_a_panel("Detach it first: lab.machines['web'].detach('data').") == "Detach it first: “Detach…”."
    set_language("es")
    assert in_a_panel("Usa primero stop().") == "Usa primero «Apagar»."


def test_what_only_who_types_can_do_stays() -> None:
    assert in_a_panel("Call ex.start(), then vm.run('sync').") == "Call ex.start(), then vm.run('sync')."
