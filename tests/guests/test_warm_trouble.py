"""A machine that is resumed from its image's memory, and what comes in between: the lab is as before, or it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from labkit import Lab
from labkit.engine import as_made, keeping, kept_guests, starting
from labkit.engine.as_made import Kind, is_same
from labkit.engine.waking import wait_for_agent
from labkit.guest import agent
from labkit.limits import Limit
from labkit.machine import Machine
from labkit.plans.plan import Plan
from labkit.plans.warm import plan_warm_start
from labkit.storage import headers
from tests.engine.kernel import Instant, Kernel
from tests.engine.strike import How, Strike, carry_out
from tests.guests.test_warm_start import MEMORY, is_resumed
from tests.instance import Instance
from tests.small_disk import run_on_small_disk
from tests.travel.sides import find_emulators

WHO = "hostname; cat /etc/hostname /etc/machine-id"

TAKEN_BACK = [
    *(Instant(function=name) for name in ("do_step", "_bring", "copy_file", "_publish", "step_done")),
    Instant(function="do_step", number=1),
    *(Instant(function=name) for name in ("_map", "read_devices", "build_fresh_xml", "begin")),
]
COMPLETED = [
    *(Instant(function=name) for name in ("take_in", "resume", "tell", "run_own", "set_clock")),
    Instant(function="step_done", number=1),
    Instant(function="strike_out"),
]


@pytest.fixture
def web(lab: Lab) -> Machine:
    """A machine that is as it was made; a guest of its kind is kept."""
    vm = lab.create("web", memory=MEMORY)
    assert keeping.keep(vm.handle, kind_of(vm), Limit(120)) is not None
    return vm


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


def plan_of(vm: Machine) -> Plan:
    """The plan of its start from the guest that is kept."""
    state, name = vm.handle.find()
    kind = kind_of(vm)
    kept = kept_guests.find_kept(kind.folder)
    assert kept is not None
    return plan_warm_start(state, starting.survey_warm_start(state, name, kind, kept), name)


PLAN = f"__import__({__name__!r}, fromlist=['plan_of']).plan_of(vm)"


def test_a_deed_that_fails_is_taken_back_or_it_boots(web: Machine) -> None:
    """Every file that is written, renamed or removed, in turn, as on a host whose disk is full."""
    lab = web.lab
    ended = carry_out(lab.name, lab.home, PLAN)
    assert ended is not None
    ours = [at for at, deed in enumerate(ended.effects) if deed.startswith(("BringWarmDisk", "WakeFresh"))]
    assert len(ours) > 3
    for number in ours:
        if web.state != "off":
            web.kill().delete()
            web = lab.create("web", memory=MEMORY)
        ended = carry_out(lab.name, lab.home, PLAN, Strike(number=number, how=How.FAIL))
        assert ended is not None
        with Lab.open(lab.name):  # what could not be written down is ended once more
            pass
        if web.state == "off":
            assert "taken back" in ended.hint
            assert is_as_made(web)
        else:
            assert not ended.error or "has been completed" in ended.hint
            assert is_itself(web)
        assert left_of(lab) == []


@pytest.mark.parametrize("layer", [False, True], ids=["copy", "layer"])
def test_a_killed_start_is_taken_back_or_completed(web: Machine, *, layer: bool) -> None:
    lab = web.lab
    if layer:
        web.snapshots.take("off")
    before = web.facts.spec.disks
    code = f"with Lab.open({lab.name!r}) as lab: lab.machines['web'].start(warm=True)"
    for instant in TAKEN_BACK if layer else (*TAKEN_BACK, *COMPLETED):
        with Kernel(code, stop=instant) as kernel:
            kernel.wait_stopped()
        with Lab.open(lab.name) as again:
            (sentence,) = again.recovered
        if instant in TAKEN_BACK:
            assert "taken back" in sentence, instant
            assert web.state == "off"
            assert web.facts.spec.disks == before
            assert headers.is_blank(Path(before[0].path)) if layer else is_as_made(web), instant
        else:
            assert "has been completed" in sentence, instant
            assert is_resumed(web), instant
            assert is_itself(web), instant
            web.kill()
            web.delete()
            web = lab.create("web", memory=MEMORY)
        assert left_of(lab) == []
        assert len(find_emulators(web.id)) == 0


def test_a_kept_guest_that_is_no_longer_what_it_was_is_made_anew(web: Machine) -> None:
    folder = kind_of(web).folder
    for name in (
        "kept.json",
        "memory/guest.mem.devices",
        "memory/guest.mem.pages",
        "disks/vda",
        "disks/vda.written",
        "seals.json",
    ):
        file = folder / name
        made = file.read_bytes()
        file.chmod(0o600)
        file.write_bytes(made[: len(made) // 2])
        assert kept_guests.find_kept(folder) is None, name
        file.write_bytes(made)
        assert kept_guests.find_kept(folder) is not None, name
    os.truncate(folder / "disks/vda", 0)
    web.start(warm=True)
    assert is_resumed(web)
    assert is_itself(web)


def test_what_differs_in_kind_has_a_folder_of_its_own(web: Machine) -> None:
    kind = kind_of(web)
    assert kind_of(web.lab.create("other", memory=MEMORY)).folder == kind.folder
    web.rename("renamed")
    assert kind_of(web).folder == kind.folder
    folders = {kind.folder}
    for change in ({"memory": "112 MiB"}, {"vcpus": 2}, {"cpu_model": "Nehalem"}):
        web.configure(**change)
        folders.add(kind_of(web).folder)
    web.throttle("renamed.vda" if "renamed.vda" in web.lab.disks else "web.vda", iops=100)
    folders.add(kind_of(web).folder)
    assert len(folders) == 5


def test_a_machine_that_is_not_as_it_was_made_boots(web: Machine) -> None:
    lab = web.lab
    kind = kind_of(web)
    data = lab.disks.create("data", capacity="1 MiB")
    web.attach(data)
    assert kind_of(web).folder != kind.folder  # it is blank, and yet a disk more
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 512", data.path], check=True, capture_output=True)
    assert starting.find_kind(web.handle) is None
    web.detach("data")
    disk = Path(web.facts.spec.disks[0].path)
    with disk.open("r+b") as file:  # as `qemu-img` or an editor does, and the time says nothing
        before = disk.stat()
        file.seek(before.st_size // 2)
        file.write(b"\0word\0")
    os.utime(disk, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert starting.find_kind(web.handle) is None
    shutil.copyfile(lab.state.guest_images["tiny"].disk, disk)
    assert kind_of(web).folder == kind.folder
    web.start().wait_ready().stop()
    assert starting.find_kind(web.handle) is None
    web.start(warm=True)
    assert not is_resumed(web)


def test_a_layer_of_another_capacity_is_another_disk(web: Machine) -> None:
    web.snapshots.take("off")
    kind_of(web)  # so far it is one
    disk = web.lab.disks["web.vda"]
    disk.resize(2 * disk.capacity)
    assert starting.find_kind(web.handle) is None


def test_the_environment_and_the_call_say_whether_it_boots(web: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for said, asked, warm in (
        ("", None, True),
        ("", True, True),
        ("", False, False),
        ("asked", None, False),
        ("asked", True, True),
        ("asked", False, False),
        ("0", None, False),
        ("0", True, False),
    ):
        monkeypatch.setenv("LABKIT_WARM", said)
        assert starting.is_warm(asked) is warm
    monkeypatch.setenv("LABKIT_WARM", "0")
    web.start(warm=True)
    assert not is_resumed(web)


def test_two_kernels_at_once_make_one_and_both_go_on_from_it(lab: Lab) -> None:
    for name in ("one", "two"):
        lab.create(name, memory="106 MiB")
    code = "with Lab.open({lab!r}) as lab: lab.machines[{name!r}].start(warm=True); answer = lab.history[-1].remarks"
    with (
        Kernel(code.format(lab=lab.name, name="one")) as one,
        Kernel(code.format(lab=lab.name, name="two")) as two,
    ):
        assert [kernel.answer().text for kernel in (one, two)] == ["()", "()"]
    assert all(is_resumed(vm) and is_itself(vm) for vm in lab.machines.values())


def test_a_kernel_that_is_killed_while_it_makes_one_leaves_no_guest_and_the_next_one_makes_it(lab: Lab) -> None:
    vm = lab.create("web", memory="102 MiB")
    folder = kind_of(vm).folder
    code = f"with Lab.open({lab.name!r}) as lab: lab.machines['web'].start(warm=True)"
    for instant in ("create_passing", "save_to", "_lay_out", "write_told"):
        with Kernel(code, stop=Instant(function=instant)) as kernel:
            kernel.wait_stopped()
        assert vm.state == "off"
        assert is_as_made(vm)
        assert kept_guests.find_kept(folder) is None
    vm.start(warm=True)
    assert is_resumed(vm)
    raw = lab.session.connection.raw()
    assert not [domain.name() for domain in raw.listAllDomains(0) if domain.name().startswith("labkit-kept")]
    assert not list(as_made.kept_folder().glob(".making-*"))


def test_a_kept_guest_that_goes_away_meanwhile_lets_the_machine_boot_and_that_is_said(web: Machine) -> None:
    lab, folder = web.lab, kind_of(web).folder
    code = f"with Lab.open({lab.name!r}) as lab:\n lab.machines['web'].start(warm=True)\n"
    code += " answer = lab.history[-1].remarks"
    with Kernel(code, stop=Instant(function="_map")) as kernel:
        kernel.wait_stopped()
        assert kept_guests.remove(folder)
        kernel.go_on()
        answer = kernel.answer()
    assert "web could not go on from the memory, it boots instead: " in answer.text
    assert not is_resumed(web)
    assert is_itself(web)


def test_a_disk_that_is_written_to_meanwhile_is_left_alone(web: Machine) -> None:
    lab, disk = web.lab, Path(web.facts.spec.disks[0].path)
    code = f"with Lab.open({lab.name!r}) as lab: lab.machines['web'].start(warm=True)"
    with Kernel(code, stop=Instant(function="_bring")) as kernel:
        kernel.wait_stopped()
        os.utime(disk)  # as by a tool that writes what was there
        kernel.go_on()
        kernel.answer()
    assert not is_resumed(web)
    assert is_itself(web)


def test_what_a_guest_did_after_its_kernel_died_is_never_undone(web: Machine) -> None:
    lab = web.lab
    code = f"with Lab.open({lab.name!r}) as lab: lab.machines['web'].start(warm=True)"
    with Kernel(code, stop=Instant(function="tell")) as kernel:
        kernel.wait_stopped()
    channel = web.handle.channel(web.name)  # past labkit's own call, which would end the act first
    wait_for_agent(channel, Limit(60))
    agent.run(channel, "echo kept > /root/kept; sync", limit=Limit(60))
    lab.session.domains.kill(web.id)
    with Lab.open(lab.name) as again:
        (sentence,) = again.recovered
    assert "has been completed" in sentence
    assert "its guest has ended meanwhile" in sentence
    assert web.state == "off"
    assert web.start().wait_ready().run("cat /root/kept").stdout == "kept\n"


def test_such_a_machine_is_like_any_other_whatever_becomes_of_it(web: Machine) -> None:
    """Its files may go; it is taken, restored, saved, cloned, migrated, reset, and boots."""
    lab, folder = web.lab, kind_of(web).folder
    web.start(warm=True).wait_ready().run("echo first > /run/word")
    assert kept_guests.remove(folder)
    assert is_itself(web)
    web.snapshots.take("mine")
    web.run("echo second > /run/word")
    web.save()
    assert web.start().wait_ready().run("cat /run/word").stdout == "second\n"
    assert not is_resumed(web)
    web.snapshots.restore("mine")
    assert web.wait_ready().run("cat /run/word").stdout == "first\n"
    clone = web.clone("copy", kind="linked", snapshot="mine", instant=True)
    assert isinstance(clone, Machine)
    assert is_itself(clone)
    assert lab.history[-1].remarks == ()
    clone.kill().delete()
    web.migrate(lab.neighbour())
    assert web.run("cat /run/word").stdout == "first\n"
    web.stop()
    web.start().wait_ready()
    assert web.run("test ! -e /run/word; hostname").stdout == "web\n"


def test_it_migrates_while_it_maps_the_memory_and_boots_after_a_reset(web: Machine) -> None:
    lab = web.lab
    web.start(warm=True).wait_ready().run("echo first > /run/word")
    web.migrate(lab.neighbour())
    assert web.run("cat /run/word").stdout == "first\n"
    assert not is_resumed(web)
    other = lab.create("other", memory=MEMORY).start(warm=True).wait_ready()
    lab.session.connection.raw().lookupByUUIDString(other.id).reset(0)
    other.console.expect("root@other", timeout=120, position=other.console.position)
    assert other.wait_ready().run("hostname; uptime").stdout.startswith("other\n")


def test_guests_are_kept_of_few_kinds_and_go_with_their_image(web: Machine) -> None:
    kept = kept_guests.find_kept(kind_of(web).folder)
    assert kept is not None
    images = web.lab.state.guest_images
    kept_guests.tidy(images)
    assert Path(kept.folder) in kept_guests.list_kept()
    kept_guests.tidy({name: image for name, image in images.items() if name != "tiny"})
    assert not kept_guests.list_kept()
    for number in range(kept_guests.MOST_KINDS + 2):
        folder = as_made.kept_folder() / f"kind-{number}"
        folder.mkdir(mode=0o700)
        kept_guests.write_told(folder, images["tiny"], block="labram", length=1)
        os.utime(folder, (number, number))
    kept_guests.tidy(images)
    assert [path.name for path in kept_guests.list_kept()] == ["kind-5", "kind-4", "kind-3", "kind-2"]
    assert kept_guests.remove_all()
    assert not kept_guests.list_kept()


FULL = f"""
with Lab.open("full", home=home) as lab:
    lab.create("first", memory="{MEMORY}").start(warm=True).wait_ready().kill().delete()
    vm = lab.create("web", memory="{MEMORY}")
    fill(2 << 20)  # less than a copy of the disk takes
    vm.start(warm=True).wait_ready()
    answer = {{
        "hostname": vm.run("hostname").stdout,
        "acts": [outcome.plan.act for outcome in lab.history][-1],
        "left": [path.name for path in (*(lab.home / "journal").iterdir(), *(lab.home / "disks").glob(".*"))],
    }}
    free()
    lab.clean()
print(json.dumps(answer))
"""


def test_on_a_host_whose_disk_is_full_it_boots(tmp_path: Path, guest_images: Path) -> None:
    answer = run_on_small_disk(FULL, tmp_path, "96m", own=Instance(guest_images))
    assert answer == {"hostname": "web\n", "acts": "create", "left": []}
