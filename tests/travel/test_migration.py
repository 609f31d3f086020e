"""Machines go over to a neighbour and back: running, paused, off, with their snapshots."""

from __future__ import annotations

import os
import threading

import pytest

from labkit import Lab
from labkit.engine.progress import Progress
from labkit.errors import BadInput, Cancelled, NotFound, Refused, TimedOut
from labkit.experiments import Heartbeat
from labkit.machine import Machine
from tests.travel.sides import look

ROUND_TRIPS = 20 if os.environ.get("LABKIT_TESTS") == "thorough" else 2


@pytest.fixture
def sector(lab: Lab) -> Machine:
    """A machine that boots in no time, off."""
    return lab.create("web", image="sector", memory="16 MiB")


@pytest.mark.alone
def test_a_guest_runs_on_there_and_does_not_know(guest: Machine) -> None:
    lab = guest.lab
    guest.run("echo kept > /run/in-memory")
    boot = guest.run("cat /proc/sys/kernel/random/boot_id").stdout
    before = float(guest.run("cat /proc/uptime").stdout.split()[0])
    process = guest.process
    assert process is not None
    with Heartbeat(guest) as heart:
        guest.migrate(lab.neighbour())
    assert (heart.lost, len(heart.beats) > 3) == (0, True)
    assert 0 < heart.longest_pause < 10
    assert guest.lab is lab.neighbour()
    assert guest.process is not None
    assert guest.process.pid != process.pid
    assert guest.run("cat /run/in-memory").stdout == "kept\n"
    assert guest.run("cat /proc/sys/kernel/random/boot_id").stdout == boot
    assert float(guest.run("cat /proc/uptime").stdout.split()[0]) > before
    assert list(lab.machines) == []
    assert list(lab.neighbour().machines) == ["web"]
    with pytest.raises(NotFound):
        lab.machines["web"]


def test_snapshots_come_along_and_are_restored_on_either_side(guest: Machine) -> None:
    lab, other = guest.lab, guest.lab.neighbour()
    for word in ("one", "two"):
        guest.run(f"echo {word} | tee /run/word > /root/word; sync")
        guest.snapshots.take(word, description=f"at {word}")
    guest.snapshots.restore("one")
    tree = guest.snapshots.tree
    guest.migrate(other)
    assert guest.snapshots.tree == tree
    guest.snapshots.restore("two")
    assert guest.run("cat /run/word /root/word").stdout == "two\ntwo\n"
    guest.snapshots.take("there")
    guest.migrate(lab)
    assert (guest.lab, set(guest.snapshots)) == (lab, {"one", "two", "there"})
    guest.snapshots.restore("one")
    assert guest.run("cat /run/word /root/word").stdout == "one\none\n"
    guest.snapshots.restore("there")
    assert guest.run("cat /run/word /root/word").stdout == "two\ntwo\n"
    assert lab.state.strays == ()


def test_memory_of_a_machine_that_was_renamed_and_went_over_keeps_its_name_to_itself(sector: Machine) -> None:
    """Another machine that gets the old name is taken running, and so is the first one, on either side."""
    lab, other = sector.lab, sector.lab.neighbour()
    sector.start()
    sector.snapshots.take("first")
    sector.kill()
    sector.rename("app").migrate(other)
    web = lab.create("web", image="sector", memory="16 MiB")
    web.start().snapshots.take("second")
    web.kill()
    app = other.machines["app"]
    app.start().snapshots.take("third")
    app.kill()
    app.rename("web-2").migrate(lab)
    app = lab.machines["web-2"]
    app.start().snapshots.take("fourth")
    app.kill()
    nodes = [node for vm in (web, app) for node in vm.snapshots.values()]
    assert sorted(node.name for node in nodes) == ["first", "fourth", "second", "third"]
    assert len({node.memory for node in nodes}) == len(nodes)
    assert {node.memory for node in nodes} <= lab.state.memories


def test_its_console_goes_on_in_one_log(guest: Machine) -> None:
    guest.run("echo before > /dev/ttyS0")
    guest.migrate(guest.lab.neighbour())
    guest.run("echo after > /dev/ttyS0")
    text = guest.console.expect("after")
    assert text
    assert "before" in guest.console.tail(1000)


def test_round_trips_lose_no_guest(guest: Machine) -> None:
    lab, other = guest.lab, guest.lab.neighbour()
    guest.snapshots.take("one")
    with Heartbeat(guest) as heart:
        for _ in range(ROUND_TRIPS):
            guest.migrate(other)
            guest.migrate(lab)
    assert heart.lost == 0
    sides = look(lab)
    assert (sides.here, sides.there, len(sides.emulators), sides.current) == (True, False, 1, "one")


def test_a_paused_guest_stays_paused(sector: Machine) -> None:
    sector.start().wait_ready().pause()
    sector.migrate(sector.lab.neighbour())
    assert sector.state == "paused"
    sector.resume()
    assert sector.state == "running"


def test_a_machine_that_is_off_moves_by_its_definition(sector: Machine) -> None:
    lab = sector.lab
    sector.snapshots.take("one")
    sector.migrate(lab.neighbour())
    sides = look(lab)
    assert (sides.here, sides.there, sides.state, sides.tree) == (False, True, "off", (("one", None),))
    sector.snapshots.restore("one")
    sector.start().wait_ready()


def test_what_moved_is_kept_whatever_the_other_side_deletes(sector: Machine) -> None:
    lab = sector.lab
    free = lab.create("other", image="sector", memory="16 MiB")
    sector.snapshots.take("one")
    sector.snapshots.take("two")
    sector.snapshots.restore("one")  # "two" hangs on nothing but the tree
    kept = lab.state.roots
    sector.migrate(lab.neighbour())
    free.delete()
    assert {path for path in kept if "web" in path} <= lab.state.roots
    assert lab.neighbour().state.images == lab.state.images
    sector.snapshots.restore("two")


def test_progress_is_told_in_bytes(guest: Machine) -> None:
    heard: list[Progress] = []
    lab = guest.lab
    _limit_the_link(guest, 32)  # so that there is something to tell
    lab.carry_out(guest.migrate.plan(lab.neighbour()), on_progress=heard.append)
    assert any(each.total for each in heard)
    assert all(0 <= each.done <= each.total for each in heard)


def _limit_the_link(vm: Machine, mib_per_second: int) -> None:
    """Let its memory take its time on the way, so that it can be stopped there."""
    vm.lab.session.connection.raw().lookupByUUIDString(vm.id).migrateSetMaxSpeed(mib_per_second)


def test_cancelled_it_stays_and_runs_on(guest: Machine) -> None:
    lab, cancel = guest.lab, threading.Event()
    guest.snapshots.take("one")
    _limit_the_link(guest, 1)

    def stop(progress: Progress) -> None:
        if "moving" in progress.label:
            cancel.set()

    with pytest.raises(Cancelled):
        lab.carry_out(guest.migrate.plan(lab.neighbour()), on_progress=stop, cancel=cancel)
    sides = look(lab)
    assert (sides.here, sides.there, sides.tree, len(sides.emulators)) == (True, False, (("one", None),), 1)
    assert guest.state == "running"
    guest.run("true")
    _limit_the_link(guest, 1000)
    guest.migrate(lab.neighbour())


def test_out_of_time_it_stays_and_runs_on(guest: Machine) -> None:
    other = guest.lab.neighbour()
    _limit_the_link(guest, 1)
    with pytest.raises(TimedOut):
        guest.migrate(other, timeout=0.001)
    sides = look(guest.lab)
    assert (sides.here, sides.there, sides.state) == (True, False, "running")


def test_to_itself_it_does_not_go(sector: Machine) -> None:
    with pytest.raises(Refused, match="there already"):
        sector.migrate(sector.lab)


def test_to_a_lab_that_sees_other_disks_it_does_not_go(sector: Machine) -> None:
    with Lab.open("elsewhere") as elsewhere:
        with pytest.raises(Refused, match="not of this lab"):
            sector.migrate(elsewhere)
        elsewhere.clean()


def test_to_a_lab_that_was_closed_it_does_not_go(sector: Machine) -> None:
    other = sector.lab.neighbour()
    other.close()
    with pytest.raises(Refused, match="does not answer"):
        sector.migrate(other)
    sector.migrate(sector.lab.neighbour())


def test_to_what_is_no_lab_it_does_not_go(sector: Machine) -> None:
    with pytest.raises(BadInput):
        sector.migrate("neighbour")  # type: ignore[arg-type]


def test_with_a_layer_that_cannot_be_saved_it_goes_only_off(sector: Machine) -> None:
    lab = sector.lab
    sector.attach(lab.disks.create("data", capacity="1 MiB", format="vdi"))
    sector.start()
    with pytest.raises(Refused, match="data"):
        sector.migrate(lab.neighbour())
    assert sector.state == "running"
    sector.kill()
    sector.migrate(lab.neighbour())
    assert list(lab.neighbour().machines) == ["web"]


def test_saved_it_does_not_go(sector: Machine) -> None:
    sector.start().wait_ready().save()
    with pytest.raises(Refused, match="saved"):
        sector.migrate(sector.lab.neighbour())


def test_without_a_file_its_snapshots_need_it_does_not_go(sector: Machine) -> None:
    sector.start().wait_ready()
    sector.snapshots.take("one")
    memory = sector.snapshots["one"].memory
    assert memory is not None
    os.rename(memory, f"{memory}.away")
    try:
        with pytest.raises(Refused, match="is gone"):
            sector.migrate(sector.lab.neighbour())
        assert set(sector.snapshots) == {"one"}
    finally:
        os.rename(f"{memory}.away", memory)
