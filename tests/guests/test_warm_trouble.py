"""A machine that is resumed from its image's memory, and what comes in between: the lab is as before, or it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit import Lab
from labkit.engine import starting
from labkit.engine.kept_guests import Kind, is_same
from labkit.machine import Machine
from tests.engine.kernel import Instant, Kernel
from tests.guests.test_warm_start import MEMORY, is_resumed
from tests.travel.sides import find_emulators

WHO = "hostname; cat /etc/hostname /etc/machine-id"

TAKEN_BACK = [
    *(Instant(function=name) for name in ("do_step", "_bring", "copy_file", "_publish", "step_done")),
    Instant(function="do_step", number=1),
    *(Instant(function=name) for name in ("_map", "read_devices", "build_fresh_xml", "begin")),
]
COMPLETED = [
    *(Instant(function=name) for name in ("take_in", "resume", "tell", "run_own", "set_clock", "send_to_console")),
    Instant(function="step_done", number=1),
    Instant(function="strike_out"),
]


@pytest.fixture
def web(lab: Lab) -> Machine:
    """A machine that is as it was made; a guest of its kind is kept."""
    lab.create("first", memory=MEMORY).start(warm=True).kill()
    lab.machines["first"].delete()
    return lab.create("web", memory=MEMORY)


def kind_of(vm: Machine) -> Kind:
    """Its kind."""
    kind = starting.find_kind(vm.handle)
    assert kind is not None
    return kind


def is_as_made(vm: Machine) -> bool:
    """Whether its disk holds what the guest image holds."""
    image = vm.lab.state.guest_images["tiny"]
    return is_same(Path(vm.facts.spec.disks[0].path), Path(image.disk))


def is_itself(vm: Machine) -> bool:
    """Whether the guest answers, as itself."""
    said = vm.wait_ready().run(WHO).stdout.split()
    return said == [vm.name, vm.name, vm.id.replace("-", "")]


def left_of(lab: Lab) -> list[str]:
    """What an act may have left: its file in the journal, drafts."""
    return [path.name for path in (*(lab.home / "journal").iterdir(), *(lab.home / "disks").glob(".*"))]


def test_a_killed_start_is_taken_back_or_completed(web: Machine) -> None:
    lab = web.lab
    code = f"with Lab.open({lab.name!r}) as lab: lab.machines['web'].start(warm=True)"
    for instant in (*TAKEN_BACK, *COMPLETED):
        with Kernel(code, stop=instant) as kernel:
            kernel.wait_stopped()
        with Lab.open(lab.name) as again:
            (sentence,) = again.recovered
        if instant in TAKEN_BACK:
            assert "taken back" in sentence, instant
            assert web.state == "off"
            assert is_as_made(web), instant
        else:
            assert "has been completed" in sentence, instant
            assert is_resumed(web), instant
            assert is_itself(web), instant
            web.kill()
            web.delete()
            web = lab.create("web", memory=MEMORY)
        assert left_of(lab) == []
        assert len(find_emulators(web.id)) == 0
