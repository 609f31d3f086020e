"""The machine's panel on a real machine: what it shows, what its buttons do, what it survives."""

from __future__ import annotations

import gc
import weakref

import pytest

from labkit import Lab
from labkit.errors import NotFound
from labkit.machine import Machine
from labkit.model.machine import MachineState
from labkit.widgets.machine.panel import MachinePanel
from labkit.widgets.panel import Panel
from labkit.widgets.store import Store
from tests.conftest import Instance
from tests.widgets.test_panel import press
from tests.widgets.waiting import eventually


@pytest.fixture
def machine(lab: Lab) -> Machine:
    """A machine that is off."""
    return lab.create("web")


def show(panel: Panel) -> dict[str, object]:
    """Put the panel on a page."""
    return panel._repr_mimebundle_()


def drawn(panel: Panel) -> str:
    """Return what the live view holds now, as text."""
    assert panel._view is not None
    return str(panel._view.page)


def actions(panel: Panel) -> dict[str, str | None]:
    """Return the buttons that are offered, each with its excuse."""
    return {
        button.attributes["data-action"]: button.attributes.get("title")
        if "aria-disabled" in button.attributes
        else None
        for button in panel.page().find("button")
        if "data-action" in button.attributes
    }


def test_twins_tell_the_state_and_nothing_measured(machine: Machine) -> None:
    first, second = show(MachinePanel(machine)), show(MachinePanel(machine.lab, "web"))
    assert first["text/plain"] == "MachinePanel: web — off"
    assert first["text/html"] == second["text/html"]
    html = str(first["text/html"])
    for words in ("web", "off", "128 MiB", "tiny", "vda (qcow2)"):
        assert words in html
    for word in (machine.id, "button", "svg", str(machine.lab.home)):
        assert word not in html


def test_unknown_machine_is_refused_with_the_names_there_are(machine: Machine) -> None:
    with pytest.raises(NotFound) as refusal:
        MachinePanel(machine.lab, "db")
    assert "web" in refusal.value.hint


def test_buttons_of_a_machine_that_is_off_say_why_not(machine: Machine) -> None:
    excuses = actions(MachinePanel(machine))
    assert excuses["start"] is None
    assert excuses["delete"] is None
    for action in ("stop", "pause", "save", "kill"):
        assert excuses[action] == "web is off."


def test_what_really_happened_when_a_machine_is_resumed_from_its_images_memory_is_shown(
    guest: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LABKIT_WARM")
    panel = MachinePanel(guest.lab.create("next"))  # of the kind of the other, which was resumed
    show(panel)
    press(panel, "start")
    eventually(lambda: "virsh resume" in panel.page().text)
    done = panel.page().text.split("What really happened")[1]
    assert "virsh start" not in done
    assert "next is resumed from the image's memory" in done
    assert capsys.readouterr().out == "", "a panel's thread prints nothing"


def test_buttons_switch_the_machine(guest: Machine) -> None:
    panel = MachinePanel(guest)
    show(panel)
    for action, state in (
        ("pause", MachineState.PAUSED),
        ("resume", MachineState.RUNNING),
        ("save", MachineState.SAVED),
        ("start", MachineState.RUNNING),
        ("stop", MachineState.OFF),
    ):
        press(panel, action)
        eventually(lambda: panel.busy is None, seconds=180)
        assert guest.state is state, panel.page().text
        eventually(lambda state=state: panel.line().endswith(f"— {state}"))  # type: ignore[misc]
    for command in ("suspend", "resume", "managedsave", "start", "shutdown"):
        assert f"virsh {command} {guest.facts.spec.domain_name}" in panel.page().text


def test_switch_that_takes_long_is_cancelled(lab: Lab) -> None:
    deaf = lab.create("deaf", image="sector", memory="16 MiB").start()  # no power button reaches its 512 bytes
    panel = MachinePanel(deaf)
    press(panel, "stop")
    assert actions(panel)["cancel"] is None
    press(panel, "cancel")
    eventually(lambda: panel.busy is None)
    assert "Shutting deaf down: cancelled." in panel.page().text
    assert deaf.state is MachineState.RUNNING


def test_error_of_an_act_is_shown_in_the_panel(machine: Machine) -> None:
    panel = MachinePanel(machine)
    press(panel, "pause")
    eventually(lambda: panel.busy is None)
    (error,) = (node for node in panel.page().find("div") if node.attributes.get("class") == "labkit-error")
    assert error.attributes["role"] == "alert"
    assert "web is off." in error.text


def test_running_machine_shows_use_and_console_live(guest: Machine) -> None:
    panel = MachinePanel(guest)
    html = str(show(panel)["text/html"])
    eventually(lambda: "% of one CPU" in drawn(panel))
    assert "MiB" in panel.page().text.split("memory the host gave")[1][:12]
    guest.run("echo said-here >/dev/ttyS0")
    eventually(lambda: "said-here" in panel.page().text)
    assert "%" not in html
    said = next(node.text for node in panel.page().find("pre")).splitlines()
    assert all(line.strip() for line in said)


def test_change_made_elsewhere_is_shown(machine: Machine) -> None:
    panel = MachinePanel(machine)
    show(panel)
    machine.start()
    eventually(lambda: "▶" in drawn(panel))
    machine.kill()
    eventually(lambda: "○" in drawn(panel))


def test_memory_and_vcpus_are_changed_through_a_plan(machine: Machine) -> None:
    panel = MachinePanel(machine)
    press(panel, "configure", memory="192 MiB", vcpus="2")
    eventually(lambda: panel.busy is None)
    assert "virsh setvcpus" in panel.page().text
    assert machine.vcpus == 1
    press(panel, "confirm")
    eventually(lambda: panel.busy is None)
    assert (machine.memory, machine.vcpus) == (192 * 2**20, 2)


def test_change_of_a_running_machine_says_from_when_it_holds(guest: Machine) -> None:
    panel = MachinePanel(guest)
    guest.configure(memory="192 MiB")
    panel.refresh()
    assert "128 MiB now; 192 MiB from the next start" in panel.page().text


@pytest.mark.parametrize(("memory", "vcpus"), [("12 parsecs", "1"), ("0", "1"), ("128 MiB", "-1"), ("", "")])
def test_what_cannot_be_understood_is_refused_in_the_panel(machine: Machine, memory: str, vcpus: str) -> None:
    panel = MachinePanel(machine)
    press(panel, "configure", memory=memory, vcpus=vcpus)
    assert "✗ Error" in panel.page().text
    assert panel.busy is None


def test_delete_names_what_is_lost_and_waits_for_confirmation(machine: Machine) -> None:
    panel = MachinePanel(machine)
    press(panel, "delete")
    eventually(lambda: panel.busy is None)
    assert "disks/web.vda.0.qcow2" in panel.page().text
    assert "web" in machine.lab.machines
    press(panel, "confirm")
    eventually(lambda: panel.busy is None)
    assert "web" not in machine.lab.machines
    assert "no longer in the lab" in panel.page().text
    assert panel.line() == "web — gone"


def test_delete_of_a_running_machine_is_refused_with_the_way_out(guest: Machine) -> None:
    panel = MachinePanel(guest)
    assert actions(panel)["delete"] == "web is running."
    assert panel.page().text.count("Not now. web is running.") == 1
    press(panel, "delete")
    eventually(lambda: panel.busy is None)
    assert "Refused" in panel.page().text
    assert "“Shut down”" in panel.page().text


def test_machine_is_followed_under_its_new_name(machine: Machine) -> None:
    panel = MachinePanel(machine)
    machine.rename("api")
    panel.refresh()
    assert panel.line() == "api — off"


def test_panels_of_a_lab_share_one_reading(lab: Lab) -> None:
    panels = [MachinePanel(lab.create(f"m{number}")) for number in range(3)]
    assert len({id(panel._store) for panel in panels}) == 1
    assert panels[0]._store is Store.of(lab)


def test_store_does_not_keep_panels_alive(machine: Machine) -> None:
    panel = MachinePanel(machine)
    panel.displayed()
    gone = weakref.ref(panel)
    del panel
    gc.collect()
    eventually(lambda: gc.collect() >= 0 and gone() is None)


def test_closed_lab_is_told_and_ends_the_thread(lab: Lab) -> None:
    lab.create("web")
    with Lab.open(lab.name) as closing:
        panel = MachinePanel(closing, "web")
        show(panel)
        store = panel._store
        assert store.is_following
    eventually(lambda: "The lab is closed" in drawn(panel))
    eventually(lambda: not store.is_following)


def test_panel_recovers_when_the_daemon_went_away(guest: Machine, instance: Instance) -> None:
    panel = MachinePanel(guest)
    show(panel)
    eventually(lambda: "% of one CPU" in drawn(panel))
    instance.daemon().kill()
    press(panel, "pause")
    eventually(lambda: panel.busy is None)
    press(panel, "dismiss")
    if guest.state is not MachineState.PAUSED:  # the call that met the loss told of it; the next is carried out
        press(panel, "pause")
        eventually(lambda: panel.busy is None)
    eventually(lambda: "❚❚" in drawn(panel) and "tries again" not in drawn(panel))


def test_console_of_a_running_machine_is_opened_in_its_panel_and_closed_again(machine: Machine) -> None:
    panel = MachinePanel(machine)
    show(panel)
    assert actions(panel)["console"] == "web is off."
    machine.start()
    panel.refresh()
    assert actions(panel)["console"] is None
    press(panel, "console")
    eventually(lambda: "labkit-console" in drawn(panel) and "last lines" not in drawn(panel))
    machine.kill()
    panel.refresh()
    press(panel, "console")
    eventually(lambda: "labkit-console" not in drawn(panel))
