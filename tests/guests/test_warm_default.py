"""An ordinary start: a new machine boots, a guest of its kind is kept meanwhile, the next one is resumed from that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from labkit import Lab
from labkit.engine import as_made, keeping, keeping_soon, kept_guests
from labkit.engine.as_made import Kind
from labkit.limits import Limit
from labkit.machine import Machine
from tests.engine.kernel import Instant, Kernel
from tests.guests.test_warm_start import is_resumed
from tests.guests.test_warm_trouble import is_itself, kind_of
from tests.instance import Instance
from tests.small_disk import run_on_small_disk
from tests.travel.sides import find_emulators

BY_DEFAULT = "from labkit.engine import keeping_soon\nkeeping_soon.IDLE_CPUS, keeping_soon.YIELDS = 0.0, False\n"
"""What another kernel needs, too."""


@pytest.fixture(autouse=True)
def _by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines start as a student's do, and the computer always has time: other tests run beside these."""
    monkeypatch.delenv("LABKIT_WARM")
    monkeypatch.setattr(keeping_soon, "IDLE_CPUS", 0.0)
    monkeypatch.setattr(keeping_soon, "YIELDS", False)


def makers() -> list[psutil.Process]:
    """The emulators of guests that are being made to be kept."""
    found = [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"]]
    mine = os.environ["XDG_RUNTIME_DIR"]
    return [
        process
        for process in found
        if any(f"{keeping.NAME}." in word for word in process.info["cmdline"])
        and any(str(as_made.kept_folder()) in word or mine in word for word in process.info["cmdline"])
    ]


def left_of_making() -> list[str]:
    """What making one may have left."""
    return [path.name for path in as_made.kept_folder().glob(".making-*")]


def keep(vm: Machine) -> Kind:
    """Keep a guest of a machine's kind."""
    kind = kind_of(vm)
    assert keeping.keep(vm.handle, kind, Limit(120)) is not None
    return kind


def test_the_first_boots_one_of_its_kind_is_kept_meanwhile_and_the_next_is_resumed(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    first = lab.create("first", memory="108 MiB")
    kind = kind_of(first)
    others = set(kept_guests.list_kept())
    old = as_made.kept_folder() / "of-an-image-that-was-built-anew"
    old.mkdir(mode=0o700, parents=True)
    kept_guests.write_told(old, replace(kind.image, disk=f"{kind.image.disk}.old"), block="labram", length=1)
    plan = first.start.plan()
    assert plan.notes == (
        "first boots: no memory of its kind of machine is kept.",
        "Such memory is made afterwards, when this computer has time, for the next machine of its kind.",
    )
    first.start().wait_ready()
    assert not is_resumed(first)
    lab.session.background.join(120)
    assert set(kept_guests.list_kept()) - others == {kind.folder}
    assert not old.exists()
    assert list(lab.machines) == ["first"]
    assert (makers(), left_of_making()) == ([], [])
    second = lab.create("second", memory="108 MiB")
    assert second.start.plan().notes[0].startswith("second is resumed from the image's memory")
    capsys.readouterr()
    second.start()
    assert is_resumed(second)
    assert is_itself(second)
    assert lab.history[-1].plan.notes[0].startswith("second is resumed from the image's memory")
    third = lab.create("third", memory="108 MiB").start()
    assert is_resumed(third)
    said = capsys.readouterr().out
    assert said.count("is resumed from the image's memory") == 1, "it is explained once"
    assert not is_resumed(lab.create("fourth", memory="108 MiB").start(warm=False))


def test_where_nothing_is_to_be_resumed_nothing_is_kept(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    vm = lab.create("web", memory="110 MiB")
    folder = kind_of(vm).folder
    for said, asked in (("0", None), ("0", True), ("asked", None), ("", False)):
        monkeypatch.setenv("LABKIT_WARM", said)
        vm.start(warm=asked)
        lab.session.background.join(0)
        vm.kill().delete()
        vm = lab.create("web", memory="110 MiB")
    assert not folder.exists()
    assert not (folder.parent / f"{folder.name}.lock").exists(), "nobody began"


def test_it_waits_until_the_computer_has_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert keeping_soon.has_time(Limit(60))
    monkeypatch.setattr(keeping_soon, "IDLE_CPUS", 0.75)
    with _all_cpus_busy():
        assert not keeping_soon.has_time(Limit(60))


@contextmanager
def _all_cpus_busy() -> Iterator[None]:
    """Keep every CPU busy during the block."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (psutil.cpu_count() or 1))]
    try:
        yield
    finally:
        for each in busy:
            each.kill()
            each.wait()


def test_who_is_made_in_the_background_gets_only_what_time_is_left(lab: Lab) -> None:
    lab.create("web", memory="112 MiB")
    code = f"{BY_DEFAULT}keeping_soon.YIELDS = True\n"
    code += f"with Lab.open({lab.name!r}) as lab:\n lab.machines['web'].start()\n lab.session.background.join(150)"
    with Kernel(code, stop=Instant(function="wait_for_prompt", number=1)) as kernel:
        kernel.wait_stopped()
        (maker,) = makers()
        assert {os.sched_getscheduler(thread.id) for thread in maker.threads()} == {os.SCHED_IDLE}
        kernel.kill()
    psutil.wait_procs([maker], timeout=30)
    assert not makers(), "it ends with the one that makes it"
    assert lab.machines["web"].state == "running"
    assert list(lab.machines) == ["web"]


def test_a_lab_that_is_closed_lets_no_guest_be_made_any_more(lab: Lab) -> None:
    vm = lab.create("web", memory="114 MiB")
    with Lab.open(lab.name) as other:
        other.machines["web"].start().wait_ready()
        wait_for_maker(other)
    assert not makers()
    assert not left_of_making()
    assert kept_guests.find_kept(kind_of(lab.create("more", memory="114 MiB")).folder) is None
    assert is_itself(vm)


def wait_for_maker(lab: Lab) -> None:
    """Wait until a guest is being made."""
    found = lab.session.domains.wait_for(lambda: bool(makers()) or None, Limit(60))
    assert found


def test_two_kernels_that_start_machines_of_a_kind_at_once_keep_one_guest(lab: Lab) -> None:
    for name in ("one", "two"):
        lab.create(name, memory="116 MiB")
    folder = kind_of(lab.machines["one"]).folder
    code = BY_DEFAULT + "with Lab.open({lab!r}) as lab:\n lab.machines[{name!r}].start().wait_ready()\n"
    code += " lab.session.background.join(150)"
    with (
        Kernel(code.format(lab=lab.name, name="one")) as one,
        Kernel(code.format(lab=lab.name, name="two")) as two,
    ):
        assert [kernel.answer().error for kernel in (one, two)] == ["", ""]
    assert kept_guests.find_kept(folder) is not None
    assert (makers(), left_of_making()) == ([], [])
    assert all(is_itself(vm) for vm in lab.machines.values())


def test_under_another_qemu_it_boots_and_that_is_said(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = keep(lab.create("one", memory="118 MiB"))
    vm = lab.create("two", memory="118 MiB")
    emulator = vm.definition.partition("<emulator>")[2].partition("</emulator>")[0]
    other = tmp_path / "bin" / Path(emulator).name
    other.parent.mkdir()
    shutil.copy(emulator, other)
    for name in ("lib", "share"):  # it looks for its parts beside itself
        (tmp_path / name).symlink_to(Path(emulator).parent.parent / name)
    lab.session.connection.raw().defineXML(vm.definition.replace(f">{emulator}<", f">{other}<"))
    assert kind_of(vm).folder != kind.folder
    why = "what is kept of it was made by another QEMU or libvirt, or on another CPU."
    assert vm.start.plan().notes[0] == f"two boots: {why}"
    vm.start()
    assert f"two could not go on from the memory, it boots instead: {why}" in capsys.readouterr().out
    assert not is_resumed(vm)
    assert is_itself(vm)
    lab.session.background.end()


@pytest.mark.parametrize("how", ["others may write", "a link"])
def test_what_is_kept_and_cannot_be_trusted_is_not_used_and_made_anew(
    lab: Lab, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    vm = lab.create("one", memory="118 MiB")
    folder = keep(vm).folder
    elsewhere = folder.with_name("elsewhere")
    if how == "others may write":
        folder.chmod(0o777)
    else:  # another owner's folder cannot be made here without being another user
        folder.rename(elsewhere)
        folder.symlink_to(elsewhere)
    why = "is not yours alone"
    assert why in vm.start.plan().notes[0]
    vm.start()
    said = capsys.readouterr().out
    assert "one could not go on from the memory, it boots instead: " in said
    assert why in said
    assert not is_resumed(vm)
    lab.session.background.join(150)
    assert kept_guests.find_kept(folder) is not None
    assert not folder.is_symlink()
    assert is_resumed(lab.create("two", memory="118 MiB").start())
    shutil.rmtree(elsewhere, ignore_errors=True)


@pytest.mark.parametrize("victim", ["emulator", "daemon"])
def test_if_the_maker_loses_its_guest_or_its_daemon_it_is_kept_whole_or_not(
    lab: Lab, victim: str, instance: Instance
) -> None:
    """A daemon that takes over from a killed one may go on with what that began."""
    memory = {"emulator": "120 MiB", "daemon": "124 MiB"}[victim]
    vm = lab.create("web", memory=memory)
    folder = kind_of(vm).folder
    code = f"{BY_DEFAULT}with Lab.open({lab.name!r}) as lab:\n lab.machines['web'].start()\n"
    code += " lab.session.background.join(150)"
    with Kernel(code, stop=Instant(function="save_to")) as kernel:
        kernel.wait_stopped()
        found = makers()
        killed = found[0] if victim == "emulator" else instance.daemon()
        killed.kill()
        psutil.wait_procs([killed], timeout=30)
        kernel.go_on()
        assert kernel.answer().error == ""
    assert kept_guests.find_kept(folder) is None or victim == "daemon"
    assert not left_of_making()
    assert is_itself(vm), "the student's guest goes on"
    keep(lab.create("next", memory=memory))
    assert not makers(), "one that a killed daemon has left is ended"
    assert is_itself(lab.machines["next"].start())
    assert is_resumed(lab.machines["next"])


FULL = """
from labkit.engine import kept_guests, keeping
os.environ["LABKIT_DATA"] = str(home / "data")
(home / "data").mkdir(mode=0o700)
(home / "data/images").symlink_to(words[0])
with Lab.open("full", home=home / "labs") as lab:
    if words[1] == "meanwhile":  # there is room when it begins, and none when the memory is written
        check = keeping._check_room
        keeping._check_room = lambda kind: (check(kind), fill(30 << 20))
    else:
        fill(100 << 20)
    vm = lab.create("web", memory="100 MiB").start(warm=True).wait_ready()
    answer = [vm.run("hostname").stdout, [outcome.plan.act for outcome in lab.history][-1]]
    answer += [[str(path) for path in kept_guests.list_kept()], [str(path) for path in (home / "data/warm").glob(".*")]]
    free()
    lab.clean()
print(json.dumps(answer))
"""


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_on_a_full_host_nothing_is_kept_and_it_boots(tmp_path: Path, guest_images: Path, when: str) -> None:
    answer = run_on_small_disk(FULL, tmp_path, "500m", str(guest_images), when, own=Instance(guest_images))
    assert answer == ["web\n", "create", [], []]


def test_a_plan_of_a_start_is_carried_out_as_any_other(lab: Lab) -> None:
    vm = lab.create("web", memory="122 MiB")
    plan = vm.start.plan(warm=False)
    assert plan.notes == ("web boots.",)
    assert plan.commands == (f"virsh start {lab.name}.web",)
    lab.carry_out(plan)
    assert is_itself(vm)
    refused = vm.start.plan()
    assert refused.refusal is not None
    assert refused.refusal.why == "web is running."
    vm.save()
    assert vm.start.plan().notes == ("web goes on where it was saved.",)
    vm.start().stop()
    assert vm.start.plan().notes[1] == "Only a machine that is as it was made can go on from its image's memory."
    kind = keep(lab.create("new", memory="122 MiB"))
    plan = lab.machines["new"].start.plan()
    assert [line.split()[0] for line in plan.commands][:2] == ["cp", "virsh"]
    lab.carry_out(plan)
    assert is_resumed(lab.machines["new"])
    assert kind.folder.exists()


def test_a_killed_start_by_plan_is_taken_back_or_completed(lab: Lab) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB")
    code = f"with Lab.open({lab.name!r}) as lab: lab.carry_out(lab.machines['web'].start.plan(warm=False))"
    for instant, told in ((Instant(function="do_step"), "taken back"), (Instant(function="step_done"), "completed")):
        with Kernel(code, stop=instant) as kernel:
            kernel.wait_stopped()
        with Lab.open(lab.name) as again:
            (sentence,) = again.recovered
        assert told in sentence
        assert (vm.state == "running") is (told == "completed")
    assert len(find_emulators(vm.id)) == 1
