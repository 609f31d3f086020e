"""A machine with its snapshots goes into a file and comes out of it: the same or another one, here or elsewhere."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import Lab
from labkit.engine.progress import Progress
from labkit.errors import AlreadyExists, BadInput, Cancelled, NotFound, Refused, TimedOut
from labkit.machine import Machine
from labkit.plans.plan import Plan
from labkit.units import MIB
from tests.engine.kernel import Instant, Kernel
from tests.small_disk import run_on_small_disk
from tests.snapshots.test_guests import hash_content


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where an archive goes."""
    return tmp_path / "web.labkit"


@pytest.fixture
def vm(lab: Lab) -> Machine:
    """A machine of two disks with a branching tree, off; one snapshot of it kept its memory."""
    vm = lab.create("web", image="sector", memory="16 MiB")
    vm.attach(lab.disks.create("data", capacity="1 MiB", format="vmdk", allocation="fixed"))
    _write(vm, 1)
    vm.snapshots.take("one", description="at\none, señor")
    vm.detach("data")
    vm.start().wait_ready()
    vm.snapshots.take("two")
    vm.snapshots.restore("one")
    _write(vm, 3)
    return vm


def _write(vm: Machine, value: int) -> None:
    for number, disk in enumerate(vm.facts.spec.disks):
        command = f"write -P {value + number} 256k 64k" if number else f"write -P {value} 8k 4k"
        argv = ["qemu-io", "-f", disk.format.driver, "-c", command, disk.path]
        subprocess.run(argv, check=True, capture_output=True)


def picture(vm: Machine) -> dict[str, object]:
    """Everything that is carried, with the content of every state."""
    facts, tree = vm.facts, vm.snapshots.tree
    spec = facts.spec
    return {
        "hardware": (spec.memory, spec.vcpus, spec.cpu_model, spec.image, spec.chipset, spec.agent, spec.boot),
        "current": tree.current,
        "tree": [(each.name, each.description, each.parent, each.created, each.kind) for each in tree.nodes.values()],
        "now": [(disk.target, hash_content(disk.path, disk.format.driver)) for disk in spec.disks],
        "kept": [
            (each.name, disk.target, hash_content(disk.path, disk.format.driver))
            for each in tree.nodes.values()
            for disk in each.disks
        ],
    }


def files_of(lab: Lab) -> list[str]:
    """Every file and folder of a lab that is not a lock."""
    parts = ("disks", "memory", "consoles", "journal")
    return sorted(str(path.relative_to(lab.home)) for part in parts for path in (lab.home / part).rglob("*"))


def test_it_comes_back_as_it_was(vm: Machine, file: Path) -> None:
    lab, before, identity = vm.lab, picture(vm), vm.id
    assert vm.export(file) == file
    assert file.stat().st_mode & 0o777 == 0o600
    vm.delete()
    for name in lab.disks:
        lab.disks[name].delete()
    again = lab.import_machine(file)
    assert (again.name, again.id, again.state) == ("web", identity, "off")
    assert picture(again) == before
    assert lab.state.strays == ()
    again.snapshots.restore("two")
    assert again.state == "running"
    again.snapshots.restore("one")
    again.start().wait_ready()
    again.kill()
    again.snapshots.delete("two")
    again.snapshots.delete("one")


def test_it_comes_as_another_beside_the_first(vm: Machine, file: Path) -> None:
    lab, before = vm.lab, picture(vm)
    vm.export(file)
    copy = lab.import_machine(file, "copy", identity="new")
    assert copy.id != vm.id
    assert picture(copy) == before
    assert picture(vm) == before
    copy.snapshots.restore("two")
    vm.snapshots.restore("two")
    assert (copy.state, vm.state) == ("running", "running")
    vm.kill().delete()
    copy.snapshots.restore("one")
    assert picture(copy)["tree"] == before["tree"]


def test_a_running_guest_of_another_lab_goes_on_from_its_memory(guest: Machine, file: Path, tmp_path: Path) -> None:
    guest.run("echo kept | tee /run/in-memory > /root/on-disk; sync")
    guest.snapshots.take("one")
    guest.stop().export(file)
    with Lab.open("far", home=tmp_path) as far:
        copy = far.import_machine(file, identity="new")
        copy.start().wait_ready()
        assert copy.run("cat /root/on-disk").stdout == "kept\n"
        assert copy.run("cat /etc/machine-id").stdout.strip() == copy.id.replace("-", "")
        copy.snapshots.restore("one")
        assert copy.run("cat /run/in-memory").stdout == "kept\n"
        far.clean()


def test_a_linked_clone_takes_along_what_it_stands_on(lab: Lab, file: Path, tmp_path: Path) -> None:
    """Two machines that stand on one image, as a linked clone and its original do."""
    web = lab.create("web", image="sector", memory="16 MiB")
    web.snapshots.take("clean")
    link = web.clone("link", kind="linked", snapshot="clean")
    assert isinstance(link, Machine)
    _write(link, 5)
    before = picture(link)["now"]
    link.export(file)
    with Lab.open("far", home=tmp_path) as far:
        copy = far.import_machine(file, identity="new")
        assert picture(copy)["now"] == before
        assert {Path(path).name.partition(".")[0] for path in far.state.images} == {"link"}
        copy.start().wait_ready()
        far.clean()


@pytest.mark.parametrize("format", ["raw", "qcow2", "vdi", "vmdk", "vhd"])
@pytest.mark.parametrize("allocation", ["fixed", "dynamic"])
def test_every_format_comes_back_with_what_the_host_gave(lab: Lab, file: Path, format: str, allocation: str) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB")
    vm.attach(lab.disks.create("data", capacity="4 MiB", format=format, allocation=allocation))
    _write(vm, 7)
    before, disk = picture(vm), lab.disks["data"].facts
    vm.export(file)
    vm.delete()
    again = lab.import_machine(file)
    after = lab.disks["data"].facts
    assert picture(again) == before
    assert (after.format, after.allocation, after.capacity) == (disk.format, disk.allocation, disk.capacity)
    assert after.allocated <= disk.allocated + MIB
    if allocation == "fixed":
        assert after.allocated >= disk.capacity


def test_the_plan_tells_and_does_nothing(vm: Machine, file: Path) -> None:
    plan = vm.export.plan(file)
    assert plan.files.created == (str(file),)
    assert plan.bytes_copied > 0
    assert not file.exists()
    vm.export(file)
    before = files_of(vm.lab)
    plan = vm.lab.import_machine.plan(file, "copy", identity="new")
    assert all("copy" in path or "data" in path for path in plan.files.created)
    assert "tar -xOf" in plan.preview()
    assert files_of(vm.lab) == before


def test_progress_is_told_in_bytes(vm: Machine, file: Path) -> None:
    heard: list[Progress] = []
    vm.lab.carry_out(vm.export.plan(file), on_progress=heard.append)
    assert any(each.done for each in heard)
    assert all(each.done <= each.total or not each.total for each in heard)


def test_cancelled_there_is_no_archive_and_no_machine(vm: Machine, file: Path) -> None:
    lab, before = vm.lab, files_of(vm.lab)
    _cancel(lab, vm.export.plan(file))
    assert list(file.parent.iterdir()) == []
    vm.export(file)
    _cancel(lab, lab.import_machine.plan(file, "copy", identity="new"))
    with pytest.raises(TimedOut):
        lab.import_machine(file, "copy", identity="new", timeout=0)
    assert files_of(lab) == before
    assert list(lab.machines) == ["web"]


def _cancel(lab: Lab, plan: Plan) -> None:
    """Begin, and cancel as soon as bytes are copied."""
    cancel = threading.Event()

    def hear(progress: Progress) -> None:
        if progress.done:
            cancel.set()

    with pytest.raises(Cancelled):
        lab.carry_out(plan, on_progress=hear, cancel=cancel)


@pytest.mark.parametrize("how", ["running", "saved"])
def test_only_off_it_goes_into_a_file(lab: Lab, file: Path, how: str) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB").start().wait_ready()
    if how == "saved":
        vm.save()
    with pytest.raises(Refused, match="off"):
        vm.export(file)
    assert list(file.parent.iterdir()) == []


def test_without_a_file_it_needs_it_does_not_go(vm: Machine, file: Path) -> None:
    memory = vm.snapshots["two"].memory
    assert memory is not None
    os.rename(memory, f"{memory}.away")
    try:
        with pytest.raises(Refused, match="is gone"):
            vm.export(file)
    finally:
        os.rename(f"{memory}.away", memory)
    assert list(file.parent.iterdir()) == []


def test_what_is_there_is_not_overwritten(vm: Machine, file: Path) -> None:
    file.write_text("mine")
    with pytest.raises(Refused, match="already"):
        vm.export(file)
    with pytest.raises((Refused, AlreadyExists)):
        vm.export(file.parent)
    with pytest.raises(Refused, match="no folder"):
        vm.export(file.parent / "nowhere" / "web.labkit")
    assert file.read_text() == "mine"


@pytest.mark.parametrize("path", ["", 3, None, "a\0b"])
def test_what_is_no_path_is_refused(vm: Machine, path: object) -> None:
    with pytest.raises(BadInput):
        vm.export(path)  # type: ignore[arg-type]
    with pytest.raises(BadInput):
        vm.lab.import_machine(path)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["disks/web.vda.7.qcow2", "memory/web.7.mem", "journal/x.jsonl", "disks/../locks/x"])
def test_an_archive_is_not_put_among_the_lab_s_own_files(vm: Machine, place: str) -> None:
    target = vm.lab.home / place
    with pytest.raises(Refused, match="own files") as caught:
        vm.export(target)
    assert not target.exists()
    assert vm.export(caught.value.hint.removesuffix(".").split()[-1]).is_file()  # as the hint says


def test_what_is_here_already_is_refused(vm: Machine, file: Path) -> None:
    lab = vm.lab
    vm.export(file)
    with pytest.raises(Refused, match="already a machine"):
        lab.import_machine(file, identity="new")
    with pytest.raises(Refused, match="very machine"):
        lab.import_machine(file, "copy")
    with pytest.raises(BadInput):
        lab.import_machine(file, "copy", identity="other")
    with pytest.raises(BadInput):
        lab.import_machine(file, "../copy", identity="new")
    with pytest.raises(NotFound):
        lab.import_machine(file.parent / "nowhere.labkit")
    vm.migrate(lab.neighbour())
    with pytest.raises(Refused, match="other side"):
        lab.import_machine(file, identity="new")
    with pytest.raises(Refused, match="very machine"):
        lab.import_machine(file, "copy")


def instants(steps: int) -> Iterator[Instant]:
    """Before each step, before it is written down, before all is struck out."""
    for step in range(steps):
        yield Instant(function="do_step", number=step)
    yield from (Instant(function="unpack", number=number) for number in (0, 2))
    yield from (Instant(function="define_text"), Instant(function="give_records"), Instant(function="strike_out"))


def test_a_kernel_killed_at_any_step_leaves_before_or_after(vm: Machine, file: Path) -> None:
    lab = vm.lab
    vm.export(file)
    before, whole, kept = files_of(lab), picture(vm), set(lab.disks)
    steps = lab.import_machine.plan(file, "copy", identity="new").steps
    commit = next(at for at, step in enumerate(steps) if type(step).__name__ == "DefineAdopted")
    code = f"with Lab.open({lab.name!r}) as lab: lab.import_machine({str(file)!r}, 'copy', identity='new')"
    for instant in instants(len(steps)):
        with Kernel(code, stop=instant) as kernel:
            kernel.wait_stopped()
        with Lab.open(lab.name) as again:
            (sentence,) = again.recovered
            if "taken back" in sentence:
                assert files_of(again) == before
                assert list(again.machines) == ["web"]
            else:
                assert "has been completed" in sentence
                assert instant.function != "do_step" or instant.number > commit
                assert picture(again.machines["copy"]) == whole
                again.machines["copy"].delete()
                for name in set(again.disks) - kept:
                    again.disks[name].delete()
                assert files_of(again) == before


@pytest.mark.parametrize(
    "instant", [Instant(function="_write_member", number=2), Instant(function="step_done")], ids=str
)
def test_a_kernel_killed_while_it_exports_leaves_no_archive(vm: Machine, file: Path, instant: Instant) -> None:
    code = f"with Lab.open({vm.lab.name!r}) as lab: lab.machines['web'].export({str(file)!r})"
    with Kernel(code, stop=instant) as kernel:
        kernel.wait_stopped()
    with Lab.open(vm.lab.name) as lab:
        assert "taken back" in lab.recovered[0]
        assert list(file.parent.iterdir()) == []
        assert set(lab.machines["web"].snapshots) == {"one", "two"}


FULL = """
file, name = Path(words[0]), words[1]

def look():
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if "lock" not in path.name)

with Lab.open(name, home=home) as lab:
    plan = lab.import_machine.plan(file)
    fill(256 * 1024)
    before = look()
    try:
        lab.carry_out(plan)
        said = None
    except LabError as error:
        said = type(error).__name__
    answer = [said, look() == before, list(lab.machines)]
    free()
    lab.clean()
print(json.dumps(answer))
"""


def test_on_a_full_host_nothing_is_kept_of_it(lab: Lab, file: Path, tmp_path: Path) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB")
    vm.attach(lab.disks.create("data", capacity="4 MiB", allocation="fixed"))
    vm.export(file)
    vm.delete()
    (tmp_path / "home").mkdir()
    answer = run_on_small_disk(FULL, tmp_path / "home", "96m", str(file), "full")
    assert answer == ["NoSpace", True, []]
