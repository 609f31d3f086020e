"""The panels about the computer: facts live, found out beside the cell; nothing of them in the twins."""

from __future__ import annotations

from labkit import Lab
from labkit.widgets import DoctorPanel, HostPanel
from tests.widgets.test_panel import press
from tests.widgets.waiting import eventually


def test_host_panel_shows_who_runs_the_guests_and_why(lab: Lab) -> None:
    panel = HostPanel(lab)
    bundle = panel._repr_mimebundle_()
    eventually(lambda: panel.busy is None, seconds=60)
    text = panel.page().text
    facts = lab.host
    for words in (facts.why, facts.cpu, facts.hypervisor_words, facts.versions.qemu, facts.floors[0].name):
        assert words in text
        assert words not in str(bundle["text/html"])
    assert bundle["text/plain"] == "HostPanel: this computer, and who runs the guests on it"


def test_doctor_panel_shows_every_check_by_mark_and_word(lab: Lab) -> None:
    panel = DoctorPanel(lab)
    bundle = panel._repr_mimebundle_()
    assert panel.page().text.count("Looking at this computer…") == 1
    eventually(lambda: panel.busy is None, seconds=60)
    text = panel.page().text
    assert "✓ fine" in " ".join(text.split())
    assert panel._diagnosis is not None
    assert all(check.what in text for check in panel._diagnosis.checks)
    assert "fine" not in str(bundle["text/html"])


def test_doctor_looks_again_when_asked(lab: Lab) -> None:
    panel = DoctorPanel(lab)
    panel.displayed()
    eventually(lambda: panel.busy is None, seconds=60)
    before = panel._diagnosis
    press(panel, "again")
    eventually(lambda: panel.busy is None, seconds=60)
    assert panel._diagnosis is not before
