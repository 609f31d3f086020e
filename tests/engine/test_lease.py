"""One folder seen by two computers: kernels with different boot ids, real files and locks, real guests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from labkit.engine import lease_files
from labkit.engine.computer import Computer, read_computer
from labkit.engine.lease import DEAD_AFTER, Lease
from labkit.errors import Busy
from tests.instance import ROOT, Instance

HOME = Computer(boot="boot-1", id="home", name="desk")
CLUSTER = Computer(boot="boot-2", id="cluster", name="node")


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    folder = tmp_path / "labs" / "course" / "locks"
    folder.mkdir(parents=True)
    return folder


def nobody() -> dict[str, str]:
    return {}


def test_the_boot_id_is_read_from_a_file_and_the_computer_outlives_a_restart(tmp_path: Path) -> None:
    kept, boot = tmp_path / "kept", tmp_path / "boot_id"
    kept.mkdir()
    boot.write_text("one\n")
    before = read_computer(boot, kept)
    boot.write_text("two\n")
    after = read_computer(boot, kept)
    assert (before.boot, after.boot) == ("one", "two")
    assert before.id == after.id
    assert before.id
    assert read_computer(boot, tmp_path / "none").id == ""
    assert read_computer().boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_kernels_of_one_start_of_one_computer_are_not_asked(locks: Path) -> None:
    one = Lease(locks, HOME)
    assert one.join(nobody) is None
    Lease(locks, HOME).require()
    parent = psutil.Process().parents()[0]
    other = lease_files.write_kernel(locks, HOME, pid=parent.pid, started=parent.create_time(), counter=1)
    one.leave(nobody)
    assert Lease(locks, HOME).is_ours  # another kernel of this computer has it open
    other.unlink()
    one.join(nobody)
    lease_files.write_kernel(locks, HOME, pid=2**22 + 1, started=1.0, counter=1)  # one that was killed
    one.leave(nobody)
    assert not one.is_ours
    assert list(locks.glob("*.kernel")) == []


def test_a_lab_that_was_closed_is_anybodys(locks: Path) -> None:
    one, two = Lease(locks, HOME), Lease(locks, CLUSTER)
    one.join(nobody)
    one.leave(nobody)
    assert list(locks.glob("*.kernel")) == []
    two.require()
    assert two.is_ours
    assert not one.is_ours


def test_a_lab_open_there_is_not_had_and_the_message_names_the_computer(locks: Path) -> None:
    one, two = Lease(locks, HOME), Lease(locks, CLUSTER)
    one.join(nobody)
    with pytest.raises(Busy, match="desk") as busy:
        two.require()
    assert "labkit lab take-over course" in busy.value.hint
    assert two.join(nobody) is not None
    assert not two.is_available()
    one.leave(nobody)
    two.require()
    two.leave(nobody)


def test_a_kernel_is_dead_when_its_counter_has_not_changed_for_long_by_our_own_clock(locks: Path) -> None:
    """The time of the files plays no part: they may be from the future or from long ago."""
    lease_files.make_holder(locks, HOME)
    mark = lease_files.write_kernel(locks, HOME, pid=1, started=0.0, counter=7)
    os.utime(mark, (0, 0))
    clock = [1000.0]
    two = Lease(locks, CLUSTER, clock=lambda: clock[0])
    assert not two.is_available()
    clock[0] += DEAD_AFTER - 1
    assert not two.is_available()
    lease_files.write_kernel(locks, HOME, pid=1, started=0.0, counter=8)  # it lives
    clock[0] += 2
    assert not two.is_available()
    clock[0] += DEAD_AFTER - 1
    assert not two.is_available()
    clock[0] += 2
    assert two.is_available()
    assert not mark.exists()


def test_guests_never_expire_and_are_taken_over_by_a_command_that_names_them(locks: Path) -> None:
    clock = [1000.0]
    one, two = Lease(locks, HOME), Lease(locks, CLUSTER, clock=lambda: clock[0])
    one.require()
    lease_files.write_guests(locks, HOME, [lease_files.GuestMark(id="some-id", name="web", pid=4711)])
    with pytest.raises(Busy, match=r"web \(desk, 4711\)"):
        two.require()
    clock[0] += 1e6
    assert not two.is_available()
    assert two.guests_elsewhere() == {"some-id": ("desk", 4711)}
    assert two.take_over() == ("web",)
    assert two.is_ours
    assert two.guests_elsewhere() == {}
    two.join(nobody)
    with pytest.raises(Busy, match="node"):
        one.require()
    two.leave(nobody)


def test_a_guest_is_struck_out_only_where_it_is_seen_off(locks: Path) -> None:
    one, two = Lease(locks, HOME), Lease(locks, CLUSTER)
    one.require()
    one.guests.expect([("some-id", "web")])
    one.guests.update(lambda: {"some-id": "web", "other": "db"})
    assert sorted(two.guests_elsewhere()) == ["other", "some-id"]
    two.guests.update(nobody)  # another computer sees neither: that says nothing
    assert sorted(two.guests_elsewhere()) == ["other", "some-id"]
    one.guests.note("other", "db", runs=False)
    assert sorted(two.guests_elsewhere()) == ["some-id"]
    one.guests.update(nobody)
    assert two.guests_elsewhere() == {}
    assert list(locks.glob("*.guests")) == []


def test_a_lab_is_not_given_back_while_guests_run(locks: Path) -> None:
    one, two = Lease(locks, HOME), Lease(locks, CLUSTER)
    one.join(lambda: {"some-id": "web"})
    one.leave(lambda: {"some-id": "web"})
    assert not two.is_available()
    again = Lease(locks, HOME)
    again.join(nobody)
    again.leave(nobody)
    assert two.is_available()


def test_after_a_restart_of_this_computer_what_ran_before_is_dead(locks: Path) -> None:
    """Kernels and guests killed by a power cut: the same computer, another boot id, and no such process here."""
    before, after = Lease(locks, HOME), Lease(locks, replace(HOME, boot="boot-1b"))
    before.require()
    lease_files.write_kernel(locks, HOME, pid=2**22 + 1, started=1.0, counter=3)
    lease_files.write_guests(locks, HOME, [lease_files.GuestMark(id=str(uuid.uuid4()), name="web", pid=2**22 + 2)])
    assert after.guests_elsewhere() == {}
    after.require()
    assert after.is_ours
    assert list(locks.glob("*.kernel")) + list(locks.glob("*.guests")) == []


def test_two_computers_that_take_a_lab_at_once_have_it_once(locks: Path) -> None:
    code = """
import sys
from pathlib import Path
from labkit.engine.computer import Computer
from labkit.engine.lease import Lease
me = Computer(boot=sys.argv[2], id=sys.argv[2], name=sys.argv[2])
sys.stdin.readline()
print(Lease(Path(sys.argv[1]), me).join(dict) is None, flush=True)
sys.stdin.readline()
"""
    for _round in range(3):
        argv = [sys.executable, "-c", code, str(locks)]
        takers = [
            subprocess.Popen([*argv, f"b{n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for n in range(4)
        ]
        for taker in takers:
            assert taker.stdin is not None
            taker.stdin.write("go\n")
            taker.stdin.flush()
        answers = [taker.stdout.readline().strip() for taker in takers if taker.stdout]
        for taker in takers:
            taker.communicate()
        assert answers.count("True") == 1
        assert [path.name for path in locks.glob("lease-*")] == []
        for path in locks.iterdir():
            path.unlink()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"boot": 7}', '{"guests": 5}', "[" * 50_000])
def test_files_that_cannot_be_understood_are_of_a_computer_that_nobody_knows(text: str, locks: Path) -> None:
    (locks / lease_files.HOLDER).write_text(text)
    (locks / "x.guests").write_text(text)
    lease = Lease(locks, CLUSTER)
    with pytest.raises(Busy):
        lease.require()
    assert lease.take_over() == ("?",)
    assert lease.is_ours


# --- two real computers, as far as one kernel can be two -----------------------------------------

OTHER = """
import json
from labkit import Lab
from labkit.cli import main
from labkit.errors import LabError
answer = {}
def tried(name, act):
    try:
        act()
        answer[name] = "done"
    except LabError as error:
        answer[name] = f"{type(error).__name__}: {error.message} {error.hint}"
with Lab.open() as lab:
    answer["told"] = list(lab.recovered)
    vm = lab.machines["web"]
    answer["stand"] = [vm.state, vm.reason, repr(vm)]
    tried("delete", vm.delete)
    tried("start", vm.start)
    tried("clean", lab.clean)
    tried("create", lambda: lab.create("new", image="sector", memory="16 MiB"))
    tried("kill", vm.kill)
if TAKE_OVER:
    tried("take-over", lambda: main(["lab", "take-over", "default"]))
    with Lab.open() as lab:
        tried("create", lambda: lab.create("new", image="sector", memory="16 MiB"))
print(json.dumps(answer))
"""


def on_another_computer(own: Instance, *, take_over: bool = False) -> dict[str, object]:
    """Run labkit as on another computer that sees the same home: its boot id, its /var/tmp, its daemon are others."""
    there = own.folder / "there"
    (there / "r").mkdir(parents=True, mode=0o700, exist_ok=True)
    (there / "var").mkdir(exist_ok=True)
    (there / "boot_id").write_text(f"{uuid.uuid4()}\n")
    mounts = (
        f"mount --bind {there}/boot_id /proc/sys/kernel/random/boot_id && mount --bind {there}/var /var/tmp"
        ' && exec "$@"'
    )
    namespace = ["unshare", "--user", "--map-current-user", "--mount", "--keep-caps", "--", "sh", "-ec", mounts, "sh"]
    code = OTHER.replace("TAKE_OVER", str(take_over))
    if take_over:  # the first kernel is dead, so a quarter of a minute tells as much as a whole one
        code = f"from labkit.engine import lease\nlease.DEAD_AFTER = 15.0\n{code}"
    done = subprocess.run(
        [*namespace, sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "XDG_RUNTIME_DIR": str(there / "r")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


HERE = """
import sys
from labkit import Lab
with Lab.open() as lab:
    vm = lab.create("web", image="sector", memory="16 MiB", if_exists="keep")
    vm.start() if vm.state == "off" else None
    print("runs", flush=True)
    sys.stdin.readline()
    if vm.state == "running":
        vm.kill()
    print("off", flush=True)
"""


def test_a_guest_that_runs_there_is_never_taken_for_off_and_keeps_its_disk(guest_images: Path) -> None:
    own = Instance(guest_images)
    try:
        with own.in_force():
            with subprocess.Popen(
                [sys.executable, "-c", HERE], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as here:
                assert here.stdin is not None
                assert here.stdout is not None
                assert here.stdout.readline() == "runs\n"
                answer = on_another_computer(own)
                stand = answer["stand"]
                assert isinstance(stand, list)
                assert stand[:2] == ["running", "out of reach"]
                for act in ("delete", "start", "clean", "create", "kill"):
                    assert str(answer[act]).startswith(("Busy: ", "Refused: ")), answer
                    assert "web" in str(answer[act])
                    assert "another computer" in str(answer[act])
                assert "take-over" in str(answer["told"])
                assert list((Path(own.environment["LABKIT_DATA"]) / "labs/default/disks").glob("web.*"))
                here.stdin.write("end\n")
                here.stdin.flush()
                assert here.stdout.readline() == "off\n"
            answer = on_another_computer(own)
            assert answer["create"] == "done"
            assert answer["told"] == []
    finally:
        own.end()


def test_after_a_command_that_names_them_the_lab_is_taken_over(guest_images: Path) -> None:
    """The first computer's kernel was killed while its guest ran: nobody there strikes it out any more."""
    own = Instance(guest_images)
    try:
        with own.in_force():
            with subprocess.Popen(
                [sys.executable, "-c", HERE], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as here:
                assert here.stdout is not None
                assert here.stdout.readline() == "runs\n"
                here.kill()
            answer = on_another_computer(own, take_over=True)
            assert "another computer" in str(answer["delete"])
            assert answer["take-over"] == "done"
            assert answer["create"] == "done"
    finally:
        own.end()
