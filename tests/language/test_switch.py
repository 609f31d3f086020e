"""Switching the language: what was said before can be said again; panels that are shown follow at once."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator

import pytest

from labkit.errors import NotFound
from labkit.language import _, ngettext, say_again, set_language
from labkit.units import format_size
from labkit.widgets import act_parts
from labkit.widgets.panel import Panel
from labkit.widgets.tree import Node, tag
from labkit.widgets.work import Work


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """English before and the automatic choice after."""
    set_language("en")
    yield
    set_language(None)


class Little(Panel):
    """A panel with an error."""

    def line(self) -> str:
        """Return a word."""
        return _("off")

    def body(self, *, live: bool) -> Node:  # noqa: ARG002 — the same in both views
        """Return a word."""
        return tag("p", _("off"))

    def break_down(self) -> None:
        """Show an error."""
        self.acting.fail(NotFound(_("There is no machine {name}.").format(name="web")))


def test_kept_message_is_said_again_with_all_that_was_filled_in() -> None:
    said = _("Copies {size}.").format(size=format_size(1536))
    one, many = (ngettext("{count} disk", "{count} disks", count).format(count=count) for count in (1, 2))
    assert (said, one, many) == ("Copies 1.5 KiB.", "1 disk", "2 disks")
    set_language("es")
    assert (say_again(said), say_again(one), say_again(many)) == ("Copia 1,5 KiB.", "1 disco", "2 discos")
    assert say_again("web") == "web"


def test_message_is_plain_text_to_others() -> None:
    said = _("off")
    for other in (copy.deepcopy(said), pickle.loads(pickle.dumps(said)), json.loads(json.dumps(said))):  # noqa: S301
        assert type(other) is str
        assert other == said


def test_panel_that_is_shown_follows_at_once_with_its_error_and_its_choice() -> None:
    panel = Little()
    panel._repr_mimebundle_()
    panel.break_down()
    pressed = (button for button in panel.page().find("button") if button.attributes.get("aria-pressed") == "true")
    assert [button.text for button in pressed] == ["English"]
    panel._receive("language", {"subject": "es"})
    assert panel._view is not None
    shown = str(panel._view.page)
    assert "apagada" in shown
    assert "No hay" in shown
    assert "Cerrar" in shown
    assert panel.page().attributes["lang"] == "es"
    panel.close()


def test_act_under_way_is_told_in_the_language_in_force() -> None:
    work = Work(label=_("Starting {name}").format(name="web"))
    set_language("es")
    assert "Arrancando web…" in act_parts.render_work(work).text
