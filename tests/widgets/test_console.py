"""The console's panel without a browser: its twins, and what the page is told."""

from __future__ import annotations

import json

from labkit import Lab
from labkit.language import set_language
from labkit.widgets import Console


def test_twins_tell_the_state_and_nothing_else(lab: Lab) -> None:
    lab.create("web")
    first, second = (Console(lab, "web")._repr_mimebundle_() for _time in range(2))
    assert first["text/plain"] == "Console: web — off"
    assert first["text/html"] == second["text/html"]
    assert "Its console is here when the cell has run." in str(first["text/html"])
    for word in ("labkit-console", lab.machines["web"].id, str(lab.home)):
        assert word not in str(first["text/html"])


def test_the_page_is_told_which_machine_it_is_and_what_to_say(lab: Lab) -> None:
    machine = lab.create("web")
    set_language("es")
    try:
        element = next(Console(machine).page().find("labkit-console"))
    finally:
        set_language(None)
    assert json.loads(element.attributes["data-machine"]) == {
        "lab": lab.name,
        "machine": machine.id,
        "home": str(lab.home.parent),
        "uri": "qemu:///session",
        "language": "es",
    }
    assert json.loads(element.attributes["data-texts"])["tab"] == "Abrir como pestaña"


def test_start_is_offered_while_it_is_off_and_a_deleted_machine_is_told_of(lab: Lab) -> None:
    machine = lab.create("web")
    panel = Console(machine)
    assert [button.text for button in panel.body(live=True).find("button")] == ["Start"]
    machine.delete()
    panel.refresh()
    assert "no longer in the lab" in panel.page().text
    assert repr(panel) == "Console: web — gone"
