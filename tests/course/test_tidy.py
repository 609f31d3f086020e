"""The clean-up at the end of a notebook, and its stopwatch."""

from __future__ import annotations

from labkit import Lab
from labkit.course import Stopwatch, rewind, tidy, time_steps
from labkit.language import set_language
from labkit.machine import Machine


def test_tidy_deletes_the_machines_named_and_no_other(lab: Lab) -> None:
    for name in ("first", "second", "other"):
        lab.create(name, image="sector", memory="16 MiB")
    lab.machines["first"].start()
    tidy(lab, "first", "second", "never-made")
    assert list(lab.machines) == ["other"]


def test_tidy_leaves_the_machines_of_exercises(lab: Lab) -> None:
    lab.create("first-boot", image="sector", memory="16 MiB")
    tidy(lab, "first-boot")
    assert "first-boot" in lab.machines


def test_tidy_takes_a_mounted_disk_from_its_running_machine(guest: Machine) -> None:
    lab = guest.lab
    guest.attach(lab.disks.create("data", capacity="16 MiB"))
    guest.run("labkit-mount vdb")
    far = lab.disks.create("far", capacity="8 MiB").serve()
    guest.attach(far)
    tidy(lab, "data", "far", "never-made")
    assert list(lab.disks) == ["web.vda"]
    assert guest.run("ls /dev/vdb /dev/vdc").exit_code != 0


def test_rewind_brings_back_what_was_before_a_snapshot_and_forgets_it_with_its_branch(guest: Machine) -> None:
    guest.run("echo one > /run/page; echo one > /root/page; sync")
    for _round in range(2):
        rewind(guest, "first", "never-taken")
        assert list(guest.snapshots) == []
        assert guest.wait_ready().run("cat /run/page /root/page").stdout.split() == ["one", "one"]
        guest.snapshots.take("first")
        guest.run("echo two > /run/page; echo two > /root/page; sync")
        guest.snapshots.take("second")


def test_steps_are_taken_in_order_and_marked() -> None:
    taken: list[str] = []
    watch = time_steps(process=lambda: taken.append("a"), agent=lambda: taken.append("b"))
    assert taken == ["a", "b"]
    assert [mark.slug for mark in watch.marks] == ["process", "agent"]
    assert watch.marks[0].seconds <= watch.marks[1].seconds == watch.seconds


def test_marks_are_in_the_language_in_force_or_as_they_are() -> None:
    watch = Stopwatch()
    try:
        set_language("es")
        watch.mark("process")
    finally:
        set_language(None)
    watch.mark("cell-01")
    assert [mark.label for mark in watch.marks] == ["el anfitrión inició un proceso", "cell-01"]


def test_a_stopwatch_tells_no_seconds_in_its_repr() -> None:
    watch = Stopwatch()
    watch.mark("cell-01")
    assert repr(watch) == "Stopwatch: cell-01"
