"""Instant clones that map their memory: what they share, what they leave behind, what becomes of one that cannot."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from labkit import Lab
from labkit.engine import seals
from labkit.machine import Machine
from labkit.model.mapped import devices_of, files_beside, pages_of
from labkit.plans.steps import CopyMemory, MapMemory, WakeClones
from labkit.storage.memory_file import read_header
from labkit.units import MIB
from tests.clones.test_guests import identity, only
from tests.clones.test_trouble import say_what_memory_is
from tests.engine.kernel import Instant, Kernel
from tests.travel.sides import find_emulators

CLONED = {"kind": "linked", "snapshot": "warm", "instant": True}
MAPPED, READ = "memory-backend-file", "memory-backend-ram"


@pytest.fixture
def warm(lab: Lab) -> Machine:
    """A machine that is off; its snapshot `warm` keeps the memory of a guest."""
    vm = lab.create("web", memory="96 MiB")
    vm.start(warm=True).wait_ready().run("echo kept > /run/kept")
    vm.snapshots.take("warm")
    return vm.kill()


def clone(vm: Machine, name: str, **asked: object) -> Machine:
    """An instant clone of the snapshot `warm`."""
    return only(vm.clone(name, **{**CLONED, **asked}))  # type: ignore[arg-type]


def memory_of(vm: Machine, snapshot: str = "warm") -> Path:
    """The file with a snapshot's memory."""
    return Path(str(vm.snapshots[snapshot].memory))


def runs_with(vm: Machine) -> str:
    """The definition that a guest runs with."""
    return vm.lab.session.domains.xml(vm.id, persistent=False)


def digest(path: str | Path) -> str:
    """The hash of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def touch_later(path: Path, change: bytes, at: int) -> None:
    """Write into a file as another program does."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(change)


def test_clones_share_what_none_of_them_has_written(warm: Machine) -> None:
    plan = warm.clone.plan("one", **CLONED)  # type: ignore[arg-type]
    assert [step for step in plan.steps if isinstance(step, MapMemory)]
    assert "is kept a second time" in plan.preview()
    one, two = clone(warm, "one"), clone(warm, "two")
    assert warm.lab.history[-1].remarks == ()
    assert not [step for step in warm.lab.history[-1].plan.steps if isinstance(step, MapMemory)]  # once is enough
    pages = pages_of(str(memory_of(warm)))
    made = digest(pages)
    for each in (one, two):
        assert MAPPED in runs_with(each)
        assert MAPPED not in each.definition
        (process,) = map(psutil.Process, find_emulators(each.id))
        (region,) = [region for region in process.memory_maps(grouped=False) if region.path == pages]
        assert region.size == 96 * MIB
        assert region.perms.endswith("p")
        assert region.rss - region.anonymous > 4 * MIB  # read, and still the file's
        assert each.process is not None
        assert each.process.guest_memory_resident == pytest.approx(region.rss, abs=4 * MIB)
    assert one.run("head -c 20M /dev/urandom > /run/noise; cat /run/kept").stdout == "kept\n"
    assert two.run("cat /run/kept /run/noise").stdout == "kept\n"
    assert identity(one)[1] == "one"
    assert digest(pages) == made


def test_what_a_clone_leaves_behind_goes_on_without_the_file(warm: Machine) -> None:
    """Its snapshots, its saved memory, its next boot, and the neighbour that it goes over to."""
    lab, one = warm.lab, clone(warm, "one")
    one.run("echo first > /run/word")
    one.snapshots.take("mine")
    one.run("echo second > /run/word")
    assert "labram" not in read_header(memory_of(one, "mine")).xml
    assert "labram" not in one.lab.session.executor.snapshots.xml(one.id, "mine")
    for path in files_beside([str(memory_of(warm))]):
        Path(path).unlink()
    assert one.run("cat /run/word").stdout == "second\n"
    one.save()
    one.start().wait_ready()
    assert one.run("cat /run/word").stdout == "second\n"
    one.snapshots.restore("mine")
    assert one.wait_ready().run("cat /run/word").stdout == "first\n"
    assert "labram" not in runs_with(one)
    again = only(one.clone("again", kind="linked", snapshot="mine", instant=True))
    assert again.run("cat /run/word").stdout == "first\n"
    assert lab.history[-1].remarks == ()
    again.migrate(lab.neighbour())
    assert again.run("cat /run/word").stdout == "first\n"
    assert MAPPED not in runs_with(again)
    again.snapshots.take("there")
    again.snapshots.restore("there")
    assert again.wait_ready().run("cat /run/word").stdout == "first\n"
    again.stop()
    again.start().wait_ready()
    assert again.run("test ! -e /run/word; hostname").stdout == "again\n"


def test_saved_clone_is_started_by_virsh_and_by_labkit_from_what_virsh_saved(warm: Machine) -> None:
    one = clone(warm, "one")
    one.run("echo word > /run/word")
    domain = one.facts.spec.domain_name
    virsh = ["virsh", "-q", "-c", "qemu:///session"]
    one.save()
    subprocess.run([*virsh, "start", domain], check=True)
    assert one.wait_ready().run("cat /run/word").stdout == "word\n"
    assert MAPPED not in runs_with(one)
    two = clone(warm, "two")
    two.run("echo two > /run/word")
    subprocess.run([*virsh, "managedsave", two.facts.spec.domain_name], check=True)
    for path in files_beside([str(memory_of(warm))]):
        Path(path).unlink()
    assert two.start().wait_ready().run("cat /run/word").stdout == "two\n"
    assert MAPPED not in runs_with(two)
    assert not Path(pages_of(str(memory_of(warm)))).exists()  # QEMU would have made an empty one


@pytest.mark.parametrize("ending", [".pages", ".devices"])
def test_files_that_another_program_has_changed_are_made_anew(warm: Machine, ending: str) -> None:
    clone(warm, "one")
    file = Path(f"{memory_of(warm)}{ending}")
    made = digest(file)
    before = file.stat()
    touch_later(file, b"\xff" * 8, before.st_size // 2)
    if ending == ".devices":  # its content is looked at each time, whatever its time says
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert clone(warm, "two").run("cat /run/kept").stdout == "kept\n"
    (step,) = [step for step in warm.lab.history[-1].plan.steps if isinstance(step, MapMemory)]
    assert step.anew
    assert digest(file) == made


def test_clone_whose_qemu_does_not_take_the_devices_reads_the_memory(warm: Machine) -> None:
    clone(warm, "one").kill()
    devices = Path(devices_of(str(memory_of(warm))))
    os.truncate(devices, devices.stat().st_size // 2)
    seals.seal([str(devices)])  # as if it had always been so
    two = clone(warm, "two")
    (remark,) = warm.lab.history[-1].remarks
    assert remark.startswith("two could not map the memory, it has read all of it instead: ")
    assert two.run("cat /run/kept; hostname").stdout == "kept\ntwo\n"
    assert "labram" not in runs_with(two)
    assert {path.name for path in (warm.lab.home / "memory").iterdir()} == {
        path.name for path in (memory_of(warm), *map(Path, files_beside([str(memory_of(warm))])))
    }


def test_files_changed_while_the_plan_is_carried_out_are_not_mapped(warm: Machine) -> None:
    clone(warm, "one").kill()
    code = f"with Lab.open({warm.lab.name!r}) as lab:\n lab.machines['web'].clone('two', **{CLONED!r})\n"
    code += " answer = lab.history[-1].remarks"
    with Kernel(code, stop=Instant(function="_restore_all")) as kernel:
        kernel.wait_stopped()
        shutil.copyfile(memory_of(warm), pages_of(str(memory_of(warm))))
        kernel.go_on()
        answer = kernel.answer()
    assert "two could not map the memory" in answer.text
    assert warm.lab.machines["two"].run("cat /run/kept").stdout == "kept\n"


def test_machine_that_says_what_its_memory_is_is_read_and_that_is_said_beforehand(lab: Lab) -> None:
    vm = lab.create("web", memory="96 MiB")
    say_what_memory_is(vm)
    vm.start().wait_ready().snapshots.take("warm")
    plan = vm.clone.plan("one", **CLONED)  # type: ignore[arg-type]
    assert "cannot be mapped here: each clone reads all of it" in plan.preview()
    assert [type(step) for step in plan.steps if isinstance(step, CopyMemory | MapMemory)] == [CopyMemory]
    lab.carry_out(plan)
    assert lab.history[-1].remarks == ()
    assert lab.machines["one"].run("hostname").stdout == "one\n"
    assert [path.name for path in (lab.home / "memory").iterdir()] == [memory_of(vm).name]


def test_the_files_go_where_the_memory_goes(warm: Machine) -> None:
    lab, one = warm.lab, clone(warm, "one")
    there = {str(memory_of(warm)), *files_beside([str(memory_of(warm))])}
    assert there == lab.state.memories
    assert list(lab.orphans) == []
    assert lab.verify()
    one.kill()
    one.delete()
    plan = warm.snapshots.delete.plan("warm")
    assert there <= set(plan.files.deleted)
    lab.carry_out(plan)
    assert not list((lab.home / "memory").iterdir())


def test_guests_outlive_the_files_they_have_mapped(warm: Machine) -> None:
    one, two = clone(warm, "one"), clone(warm, "two")
    for path in files_beside([str(memory_of(warm))]):
        Path(path).unlink()
    three = clone(warm, "three")  # they are made again, under their names
    for each in (one, two, three):
        assert each.run("cat /run/kept; echo 3 > /proc/sys/vm/drop_caches; cat /etc/os-release > /dev/null; hostname")
    assert three.run("hostname").stdout == "three\n"
    wakes = [step for outcome in warm.lab.history for step in outcome.plan.steps if isinstance(step, WakeClones)]
    assert all(step.mapped for step in wakes)


@pytest.mark.parametrize("instant", ["make_like_any_other", "keep_like_any_other", "exchange_header", "seal"])
def test_kernel_killed_while_it_takes_a_snapshot_of_such_a_clone_leaves_one_like_any_other(
    warm: Machine, instant: str
) -> None:
    lab, one = warm.lab, clone(warm, "one")
    one.run("echo first > /run/word")
    code = f"with Lab.open({lab.name!r}) as lab: lab.machines['one'].snapshots.take('mine')"
    with Kernel(code, stop=Instant(function=instant)) as kernel:
        kernel.wait_stopped()
    with Lab.open(lab.name) as again:
        (sentence,) = again.recovered
        assert "has been completed" in sentence
    for path in files_beside([str(memory_of(warm))]):
        Path(path).unlink()
    assert "labram" not in read_header(memory_of(one, "mine")).xml
    assert "labram" not in lab.session.executor.snapshots.xml(one.id, "mine")
    one.snapshots.restore("mine")
    assert one.wait_ready().run("cat /run/word").stdout == "first\n"
    assert "labram" not in runs_with(one)


def test_memory_that_nobody_names_any_more_is_one_orphan_with_its_files(warm: Machine) -> None:
    lab, one = warm.lab, clone(warm, "one")
    one.kill()
    one.delete()
    domain = warm.facts.spec.domain_name
    virsh = ["virsh", "-q", "-c", "qemu:///session", "snapshot-delete", domain, "warm", "--metadata"]
    memory = memory_of(warm)
    subprocess.run(virsh, check=True)
    name = f"memory/{memory.name}"
    assert set(lab.orphans) >= {name}
    assert not [each for each in lab.orphans if each.endswith((".pages", ".devices"))]
    lab.orphans[name].discard()
    assert not list(memory.parent.iterdir())


def test_a_clone_that_boots_again_by_itself_goes_on_as_any_guest(warm: Machine) -> None:
    one = clone(warm, "one")
    one.lab.session.connection.raw().lookupByUUIDString(one.id).reset(0)
    one.console.expect("root@one", timeout=120)
    assert one.wait_ready().run("test ! -e /run/kept; hostname").stdout == "one\n"
