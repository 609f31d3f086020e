"""Two kernels on one lab, and two labs on one hypervisor."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import Busy, HostTrouble, NotFound, Refused, Stale, WrongState
from labkit.model.machine import MachineState
from tests.engine.kernel import Instant, Kernel
from tests.engine.picture import take_picture

CREATE = "lab.create({name!r}, image='sector', memory='16 MiB')"


def another_kernel(lab: Lab, code: str, stop: Instant | None = None) -> Kernel:
    return Kernel(f"with Lab.open({lab.name!r}) as lab: answer = {code}", stop=stop)


def test_of_two_that_create_the_same_machine_one_wins_and_the_other_is_told(lab: Lab) -> None:
    planned = Instant(function="carry_out")
    create = CREATE.format(name="web")
    with another_kernel(lab, create, planned) as one, another_kernel(lab, create, planned) as two:
        for kernel in (one, two):
            kernel.wait_stopped()
        for kernel in (one, two):
            kernel.go_on()
        answers = [one.answer(), two.answer()]
    (loser,) = [answer for answer in answers if answer.error]
    assert loser.error in ("Refused", "Busy")
    assert "web" in loser.message
    assert loser.hint
    assert list(lab.machines) == ["web"]
    assert len(list((lab.home / "disks").iterdir())) == 1


def test_two_that_create_different_machines_do_not_meet(lab: Lab) -> None:
    names = [f"m{number}" for number in range(4)]
    kernels = [another_kernel(lab, CREATE.format(name=name), Instant(function="carry_out")) for name in names]
    try:
        for kernel in kernels:
            kernel.wait_stopped()
        for kernel in kernels:
            kernel.go_on()
        assert [kernel.answer().error for kernel in kernels] == [""] * 4
    finally:
        for kernel in kernels:
            kernel.kill()
    assert list(lab.machines) == names


def test_a_machine_another_kernel_is_creating_is_busy(lab: Lab) -> None:
    create = CREATE.format(name="web")
    with another_kernel(lab, create, Instant(function="_copy_data")) as kernel:
        kernel.wait_stopped()
        with pytest.raises(Busy, match="web") as caught:
            lab.create("web", image="sector", memory="16 MiB")
        assert caught.value.hint
        assert "web" not in lab.machines
        kernel.go_on()
        assert kernel.answer().error == ""
    assert list(lab.machines) == ["web"]


def test_while_an_act_holds_a_machine_it_is_neither_switched_nor_changed(sector_lab: Lab) -> None:
    web = sector_lab.machines["web"]
    with another_kernel(sector_lab, "lab.machines['web'].rename('new')", Instant(function="do_step")) as kernel:
        kernel.wait_stopped()
        before = take_picture(sector_lab)
        for act in (web.start, lambda: web.configure(vcpus=2), web.delete, sector_lab.clean):
            with pytest.raises(Busy):
                act()
        assert sector_lab.state.busy == {"web"}
        assert take_picture(sector_lab) == before
        kernel.go_on()
        assert kernel.answer().error == ""
    assert web.name == "new"


def test_looking_is_never_kept_waiting(sector_lab: Lab) -> None:
    with another_kernel(sector_lab, "lab.clean()", Instant(function="do_step")) as kernel:
        kernel.wait_stopped()
        assert list(sector_lab.machines) == ["web"]
        assert sector_lab.machines["web"].state is MachineState.OFF
        with Lab.open(sector_lab.name) as second:
            assert second.recovered == ()
        kernel.go_on()
        assert kernel.answer().error == ""
    assert list(sector_lab.machines) == []


def test_nothing_begins_while_the_lab_is_cleaned(sector_lab: Lab) -> None:
    with another_kernel(sector_lab, "lab.clean()", Instant(function="do_step")) as kernel:
        kernel.wait_stopped()
        began = threading.Event()

        def create() -> None:
            sector_lab.create("new", image="sector", memory="16 MiB")
            began.set()

        thread = threading.Thread(target=create)
        thread.start()
        assert not began.is_set()
        kernel.go_on()
        assert kernel.answer().error == ""
        thread.join(120)
        assert began.is_set()
    assert list(sector_lab.machines) == ["new"]


def test_a_plan_is_refused_when_what_it_read_has_changed(sector_lab: Lab) -> None:
    plan = sector_lab.machines["web"].delete.plan()
    with another_kernel(sector_lab, "lab.machines['web'].configure(vcpus=2)") as kernel:
        assert kernel.answer().error == ""
    with pytest.raises(Stale) as caught:
        sector_lab.carry_out(plan)
    assert caught.value.plan == plan
    assert caught.value.hint
    assert "web" in sector_lab.machines


def test_a_plan_of_another_machine_stays_good(sector_lab: Lab) -> None:
    plan = sector_lab.machines["web"].delete.plan()
    sector_lab.create("other", image="sector", memory="16 MiB")
    sector_lab.carry_out(plan)
    assert list(sector_lab.machines) == ["other"]


def test_a_refused_plan_does_nothing(sector_lab: Lab) -> None:
    plan = sector_lab.create.plan("web")
    before, history = take_picture(sector_lab), sector_lab.history
    with pytest.raises(Refused, match="already") as caught:
        sector_lab.carry_out(plan)
    assert caught.value.plan == plan
    assert take_picture(sector_lab) == before
    assert sector_lab.history == history


def test_a_machine_that_another_kernel_deleted_is_gone_in_words(sector_lab: Lab) -> None:
    web = sector_lab.machines["web"]
    with another_kernel(sector_lab, "lab.machines['web'].delete()") as kernel:
        assert kernel.answer().error == ""
    for look in (lambda: web.state, lambda: web.name, web.start, web.delete, web.stop, lambda: web.run("true")):
        with pytest.raises(NotFound, match="'web' is no longer there") as caught:
            look()
        assert caught.value.hint
    assert "deleted" in repr(web)


def test_acts_of_another_kernel_are_heard(sector_lab: Lab) -> None:
    heard = threading.Event()
    web = sector_lab.machines["web"]
    stop = sector_lab.subscribe(lambda event: heard.set() if event.machine_id == web.id else None)
    with another_kernel(sector_lab, "lab.machines['web'].configure(vcpus=2)") as kernel:
        assert kernel.answer().error == ""
    assert heard.wait(60)
    stop()


def test_two_labs_may_have_machines_of_one_name(sector_lab: Lab) -> None:
    with Lab.open(f"{sector_lab.name}-b") as other:
        twin = other.create("web", image="sector", memory="16 MiB").start()
        web = sector_lab.machines["web"]
        assert web.id != twin.id
        assert (web.state, twin.state) == (MachineState.OFF, MachineState.RUNNING)
        sector_lab.clean()
        assert list(other.machines) == ["web"]
        assert twin.state is MachineState.RUNNING
        other.clean()


def test_two_labs_of_one_name_in_two_homes_keep_apart(sector_lab: Lab, tmp_path: Path) -> None:
    with Lab.open(sector_lab.name, home=tmp_path) as other:
        assert list(other.machines) == []
        with pytest.raises(Refused, match="not of this lab"):
            other.create("web", image="sector", memory="16 MiB")
        other.clean()
    assert list(sector_lab.machines) == ["web"]


def test_a_machine_of_another_program_is_seen_and_left_alone(sector_lab: Lab) -> None:
    sector_lab.create("theirs", image="sector", memory="16 MiB")
    theirs = sector_lab.machines["theirs"]
    xml = theirs.definition
    theirs.delete()
    start, end = xml.index("<metadata>"), xml.index("</metadata>") + len("</metadata>")
    raw = sector_lab.session.connection.raw()
    domain = raw.defineXML(xml[:start] + xml[end:])
    try:
        assert domain.name() in sector_lab.state.taken_names
        with pytest.raises(Refused, match="not of this lab"):
            sector_lab.create("theirs", image="sector", memory="16 MiB")
        sector_lab.clean()
        assert raw.lookupByName(domain.name()).UUIDString() == theirs.id
    finally:
        domain.undefine()


def test_a_lab_whose_folder_went_away_says_so(lab: Lab) -> None:
    with Lab.open(f"{lab.name}-gone") as gone:
        for path in sorted(gone.home.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        gone.home.rmdir()
        assert list(gone.machines) == []
        with pytest.raises(HostTrouble):
            gone.create("web", image="sector", memory="16 MiB")


def test_starting_twice_from_two_kernels_starts_once(sector_lab: Lab) -> None:
    checked = Instant(function="start", number=1)
    with another_kernel(sector_lab, "lab.machines['web'].start()", checked) as kernel:
        kernel.wait_stopped()
        sector_lab.machines["web"].start()
        kernel.go_on()
        answer = kernel.answer()
    assert answer.error == WrongState.__name__
    assert take_picture(sector_lab).processes == 1
