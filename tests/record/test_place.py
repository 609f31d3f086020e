"""A lab's folder that was moved, copied, carried elsewhere or brought back: asked on evidence, and nothing is lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from labkit import Lab
from labkit.cli import main
from labkit.engine.record_file import read_record
from labkit.engine.workspace import list_labs
from labkit.errors import HostTrouble, LabError, Refused, WrongState
from tests.beside.hands import active_path, make_machine, write
from tests.beside.hands import contents as contents_of
from tests.engine.kernel import Instant, Kernel
from tests.instance import Instance
from tests.record.conftest import sit_at
from tests.record.look import contents, grow_tree, machines_of, virsh


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of labs of its own; the machines of all labs in it go with it."""
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    yield tmp_path
    for name in list_labs(tmp_path):
        with suppress(LabError), Lab.open(name) as left:
            left.clean()
    known = subprocess.run(["virsh", "list", "--all", "--name"], capture_output=True, text=True, check=True).stdout
    for name in filter(None, known.splitlines()):  # a test that failed must not disturb the others
        if (
            f"{tmp_path}/"
            in subprocess.run(["virsh", "dumpxml", name], capture_output=True, text=True, check=False).stdout
        ):
            virsh("undefine", name, "--snapshots-metadata")


def make(name: str) -> tuple[object, dict[str, str]]:
    """Make a lab with a tree; returns what it is made of."""
    with Lab.open(name) as lab:
        grow_tree(lab)
        return machines_of(lab.state), contents(lab.home)


def test_a_copy_is_refused_with_both_commands_and_its_clean_leaves_the_original_whole(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, images = make("course")
    shutil.copytree(home / "course", home / "copy", symlinks=True)
    with pytest.raises(WrongState) as caught:
        Lab.open("copy")
    assert "lab move copy" in caught.value.hint
    assert "lab copy copy" in caught.value.hint
    assert main(["clean", "--lab", "copy"]) == 1
    assert main(["list"]) == 1  # what is wrong with one lab
    assert "course.web\toff" in capsys.readouterr().out  # holds up no other
    assert main(["lab", "move", "copy"]) == 1  # it is there, so it was not moved
    assert main(["lab", "copy", "copy"]) == 0
    capsys.readouterr()
    with Lab.open("copy") as copy:
        assert copy.recovered == ()
        state = copy.state
        assert sorted(state.machines) == ["link", "web"]
        ids = {machine.id for machine in state.machines.values()}
        assert state.snapshots["web"].current == "right"
        assert all(path.startswith(f"{home}/copy/") for path in state.roots)
        assert contents(home / "copy").items() >= images.items()
        copy.machines["web"].snapshots.restore("left")
        copy.machines["link"].snapshots.take("new")
    with Lab.open("course") as original:
        assert original.recovered == ()
        assert machines_of(original.state) == before
        assert ids.isdisjoint(machine.id for machine in original.state.machines.values())
    assert main(["clean", "--lab", "copy"]) == 0
    assert not (home / "copy").exists()
    with Lab.open("course") as original:
        assert machines_of(original.state) == before
        assert contents(home / "course") == images


def test_a_copy_is_another_lab_with_other_identities_unless_twins_are_asked_for(home: Path) -> None:
    make("course")
    for name, options in (("new", []), ("twins", ["--keep-identity"])):
        shutil.copytree(home / "course", home / name)
        assert main(["lab", "copy", name, *options]) == 0
    with Lab.open("course") as lab, Lab.open("new") as new, Lab.open("twins") as twins:
        specs = [each.state.machines["web"].spec for each in (lab, new, twins)]
        assert len({spec.id for spec in specs}) == 3
        assert specs[0].genid != specs[1].genid
        assert specs[0].genid == specs[2].genid
        assert [spec.boot.keeps_identity for spec in specs] == [False, False, True]
        assert len({each.state.lab_id for each in (lab, new, twins)}) == 3


@pytest.mark.parametrize("name", ["course", "renamed"])
def test_a_moved_lab_is_asked_for_once_and_works(home: Path, tmp_path: Path, name: str) -> None:
    before, images = make("course")
    target = tmp_path / "elsewhere" / name
    shutil.copytree(home / "course", target)
    shutil.rmtree(home / "course")
    with pytest.raises(WrongState) as caught:
        Lab.open(name, home=target.parent)
    assert f"lab move {name} --home {target.parent}" in caught.value.hint
    assert main(["lab", "move", name, "--home", str(target.parent)]) == 0
    with Lab.open(name, home=target.parent) as lab:
        assert lab.recovered == ()
        state = lab.state
        assert {n: each.id for n, each in state.machines.items()} == {n: each.id for n, each in before[0].items()}  # type: ignore[index]
        assert all(path.startswith(f"{target}/") for path in state.roots)
        assert contents(target) == images
        lab.machines["web"].snapshots.restore("left")
        assert [each.spec.domain_name for each in state.machines.values()] == [f"{name}.link", f"{name}.web"]
        lab.clean()


def test_a_lab_reached_by_another_path_is_the_same_lab(home: Path, tmp_path: Path) -> None:
    before, _images = make("course")
    link = tmp_path / "link"
    link.symlink_to(home, target_is_directory=True)
    with Lab.open("course", home=link) as lab:
        assert lab.recovered == ()
        assert machines_of(lab.state) == before


def test_a_folder_whose_only_path_was_renamed_is_the_same_lab_and_is_followed(home: Path) -> None:
    _before, images = make("course")
    (home / "course").rename(home / "other")
    with Lab.open("other") as lab:
        assert lab.recovered
        assert all(path.startswith(f"{home}/other/") for path in lab.state.roots)
        assert contents(home / "other") == images
        lab.machines["web"].snapshots.restore("left")
    with Lab.open("other") as lab:
        assert lab.recovered == ()


def test_a_lab_carried_to_another_computer_is_the_lab(home: Path, other_computer: Instance) -> None:
    before, images = make("course")
    there = other_computer.folder / "stick" / "course"
    shutil.copytree(home / "course", there)
    (home / "course").rename(home / "at-home")  # there the folder it comes from is not to be seen
    (there.parent.parent / "d" / "labkit" / "images").unlink()  # its data folder knows no guest image
    code = f"""
from labkit.cli import main
assert main(["lab", "move", "course", "--home", {str(there.parent)!r}]) == 0
with Lab.open("course", home={str(there.parent)!r}) as lab:
    state = lab.state
    print(sorted(state.machines), state.snapshots["web"].current, sorted(state.snapshots["web"]))
    print(all(path.startswith({str(there)!r}) for path in state.roots))
    boot = state.machines["web"].spec.boot
    found = [Path(path).exists() for path in (boot.kernel, boot.initramfs)]
    print(*found, boot.kernel.startswith({str(other_computer.folder)!r}))
    print(sorted(contents(lab.home).items()) == {sorted(images.items())!r})
    lab.machines["web"].snapshots.restore("left")
    lab.clean()
"""
    *_told, machines, roots, boot, same = sit_at(other_computer, code)
    assert machines == "['link', 'web'] right ['clean', 'left', 'right']"
    assert (roots, boot, same) == ("True", "True True True", "True")
    (home / "at-home").rename(home / "course")
    with Lab.open("course") as lab:  # where it came from, nothing has changed
        assert machines_of(lab.state) == before


WORK_THERE = """
with Lab.open("course", home={home!r}) as lab:
    vm = lab.machines["web"]
    vm.snapshots.restore("left")
    vm.snapshots.take("there")
    vm.snapshots.delete("right")
    print(vm.facts.spec.disks[0].path, sorted(vm.snapshots), vm.snapshots.current)
"""


def test_what_was_done_at_another_computer_is_not_undone_by_what_this_one_remembers(
    home: Path, other_computer: Instance
) -> None:
    """The folder comes back to the same place, and the definitions here are older than it."""
    make("course")
    there = sit_at(other_computer, WORK_THERE.format(home=str(home)))[-1]
    with Lab.open("course") as lab:
        assert any("web was worked on elsewhere since" in sentence for sentence in lab.recovered), lab.recovered
        vm = lab.machines["web"]
        here = f"{vm.facts.spec.disks[0].path} {sorted(vm.snapshots)} {vm.snapshots.current}"
        assert here == there
        assert not lab.orphans
        vm.snapshots.restore("clean")
        vm.start().kill()
    assert list((home / "course").glob("record.json.*.here"))  # what was given up is kept
    with Lab.open("course") as lab:
        assert lab.recovered == ()


def test_a_lab_that_was_carried_and_worked_on_comes_back_as_it_was_there(home: Path, other_computer: Instance) -> None:
    make("course")
    stick = other_computer.folder / "stick"
    stick.mkdir()
    (home / "course").rename(stick / "course")
    move = f'from labkit.cli import main\nassert main(["lab", "move", "course", "--home", {str(stick)!r}]) == 0\n'
    _path, *there = sit_at(other_computer, move + WORK_THERE.format(home=str(stick)))[-1].split(" ", 1)
    (stick / "course").rename(home / "again")
    assert main(["lab", "move", "again"]) == 0
    with Lab.open("again") as lab:
        vm = lab.machines["web"]
        assert [f"{sorted(vm.snapshots)} {vm.snapshots.current}"] == there
        assert vm.facts.spec.disks[0].path.startswith(str(home / "again"))
        assert not lab.orphans
        vm.start().kill()


def test_an_older_folder_brought_back_is_told_and_can_be_taken(home: Path, tmp_path: Path) -> None:
    before, images = make("course")
    backup = tmp_path / "backup"
    shutil.copytree(home / "course", backup / "course")
    with Lab.open("course") as lab:
        lab.machines["web"].snapshots.take("newer")
    shutil.rmtree(home / "course")
    shutil.copytree(backup / "course", home / "course")
    shutil.rmtree(backup)
    with Lab.open("course") as lab:
        assert any("web" in sentence and "older" in sentence for sentence in lab.recovered)
        assert "newer" in lab.state.snapshots["web"]  # libvirt knows it: libvirt's definition holds
        lab.disks.create("data", capacity="1 MiB")  # and an act of it does not write over the folder's own record
        lab.disks["data"].delete()
    assert contents(home / "course") == images
    assert main(["lab", "restore", "course"]) == 0
    with Lab.open("course") as lab:
        assert lab.recovered == ()
        assert machines_of(lab.state) == before
        assert contents(home / "course") == images
        lab.machines["web"].snapshots.restore("left")


def test_of_several_folders_brought_back_each_machine_is_as_the_last_one_that_is_whole_tells(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """First one in which `web` is older, then one in which `other` is too."""
    make("course")
    with Lab.open("course") as lab:
        make_machine(lab, "other", "one")
        before = {name: contents_of(vm) for name, vm in lab.machines.items()}

    def bring_back(*machines: str) -> None:
        shutil.copytree(home / "course", tmp_path / "backup" / "course")
        with Lab.open("course") as lab:
            for name in machines:
                lab.machines[name].snapshots.take("newer")
        aside = [(path.name, path.read_bytes()) for path in (home / "course").glob("record.json.*.older")]
        shutil.rmtree(home / "course")
        shutil.move(tmp_path / "backup" / "course", home / "course")
        for name, content in aside:
            (home / "course" / name).write_bytes(content)
        with Lab.open("course") as lab:
            assert any(machine in told for told in lab.recovered for machine in machines)

    bring_back("web")
    bring_back("other")
    older = sorted((home / "course").glob("record.json.*.older"))
    assert len(older) == 2
    held = older[0].read_bytes()
    older[0].write_text("{")
    assert main(["lab", "restore", "course"]) == 1
    assert f"{older[0]} cannot be read" in capsys.readouterr().err
    older[0].write_bytes(held)
    assert main(["lab", "restore", "course"]) == 0
    assert not list((home / "course").glob("record.json.*.older"))
    with Lab.open("course") as lab:
        assert lab.recovered == ()
        assert {name: contents_of(vm) for name, vm in lab.machines.items()} == before


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"id": 7}', "[" * 9000, " " * 10**6, '{"id": "../.."}'])
def test_a_lost_identity_is_refused_and_found_again(home: Path, text: str | None) -> None:
    before, images = make("course")
    path = home / "course" / "lab.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(HostTrouble) as caught:
        Lab.open("course")
    assert "lab restore course" in caught.value.hint
    assert main(["clean", "--lab", "course"]) == 1
    assert main(["lab", "restore", "course"]) == 0
    with Lab.open("course") as lab:
        assert machines_of(lab.state) == before
        assert contents(lab.home) == images
    assert text is None or (home / "course" / "lab.json.1.unreadable").read_text() == text


def test_without_a_record_the_machines_themselves_tell_the_lab(home: Path) -> None:
    before, _images = make("course")
    (home / "course" / "lab.json").unlink()
    (home / "course" / "record.json").unlink()
    with pytest.raises(HostTrouble):
        Lab.open("course")
    assert main(["lab", "restore", "course"]) == 0
    with Lab.open("course") as lab:
        assert machines_of(lab.state) == before


def test_disks_of_nobody_get_no_new_identity(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "course" / "disks").mkdir(parents=True)
    (home / "course" / "disks" / "web.vda.0.raw").write_bytes(b"precious")
    with pytest.raises(HostTrouble):
        Lab.open("course")
    assert main(["lab", "restore", "course"]) == 1
    assert "Nothing tells" in capsys.readouterr().err
    assert (home / "course" / "disks" / "web.vda.0.raw").read_bytes() == b"precious"
    assert not (home / "course" / "lab.json").exists()


def test_a_lab_let_go_is_whole_and_comes_back_when_it_is_opened(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, images = make("course")
    assert main(["lab", "forget", "course"]) == 0
    known = subprocess.run(["virsh", "list", "--all", "--name"], capture_output=True, text=True, check=True).stdout
    assert "course." not in known
    assert main(["list"]) == 0  # whoever only looks around does not wake it
    assert main(["lab", "list"]) == 0
    assert "let go" in capsys.readouterr().out
    assert contents(home / "course") == images
    with Lab.open("course") as lab:
        assert machines_of(lab.state) == before


def test_a_lab_of_before_there_were_records_is_taken_as_it_is(home: Path) -> None:
    before, images = make("course")
    place = home / "course" / "lab.json"
    place.write_text(json.dumps({"id": json.loads(place.read_text())["id"]}))
    (home / "course" / "record.json").unlink()
    with Lab.open("course") as lab:
        assert machines_of(lab.state) == before
        lab.disks.create("data", capacity="1 MiB")
    record = read_record(home / "course")
    assert record is not None
    assert [machine.name for machine in record.machines] == ["link", "web"]
    assert contents(home / "course").items() >= images.items()
    # A copy that was made before then is told all the same: the original is there.
    shutil.copytree(home / "course", home / "copy")
    (home / "copy" / "record.json").unlink()
    (home / "copy" / "lab.json").write_text(json.dumps({"id": json.loads(place.read_text())["id"]}))
    with pytest.raises(WrongState):
        Lab.open("copy")
    shutil.rmtree(home / "copy")


def test_a_lab_whose_guest_is_on_is_not_moved(home: Path) -> None:
    with Lab.open("course") as lab:
        lab.create("web", image="sector", memory="16 MiB").start()
    (home / "course").rename(home / "moved")
    with pytest.raises(LabError) as caught:
        Lab.open("moved")
    assert "web" in caught.value.message
    (home / "moved").rename(home / "course")
    with Lab.open("course") as lab:
        assert lab.machines["web"].state == "running"
        lab.machines["web"].kill()


@pytest.mark.parametrize("verb", ["copy", "move"])
@pytest.mark.parametrize("name", ["x.qcow2", "web.vda.byhand"])  # the latter is as virsh names it by itself
def test_an_absolute_backing_name_does_not_lead_out_of_a_copy(home: Path, verb: str, name: str) -> None:
    make("course")
    path = f"{home}/course/disks/{name}"
    virsh("snapshot-create-as", "course.web", "byhand", "--disk-only", "--diskspec", f"vda,file={path}")
    with Lab.open("course") as lab:
        lab.machines["web"].snapshots.describe("byhand", "an act, with which it is written down")
    shutil.copytree(home / "course", home / "other")
    if verb == "move":
        shutil.rmtree(home / "course")
    assert main(["lab", verb, "other"]) == 0
    said = subprocess.run(
        ["qemu-img", "info", "-U", "--backing-chain", home / "other/disks" / name],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"{home}/course/" not in said
    assert os.path.exists(path) == (verb == "copy")


INSTANTS = [Instant(function=name) for name in ("write_record", "follow", "write_place", "define_again")]
INSTANTS += [Instant(function="give_records", number=number) for number in (0, 1)]


@pytest.mark.parametrize("instant", INSTANTS, ids=str)
@pytest.mark.parametrize("verb", ["move", "copy"])
def test_a_move_or_copy_that_is_killed_goes_on_when_it_is_asked_for_again(
    home: Path, tmp_path: Path, verb: str, instant: Instant
) -> None:
    before, images = make("course")
    target = tmp_path / "elsewhere" / "other"
    shutil.copytree(home / "course", target)
    if verb == "move":
        shutil.rmtree(home / "course")
    argv = ["lab", verb, "other", "--home", str(target.parent)]
    kernel = Kernel(f"from labkit.cli import main\nmain({argv!r})", stop=instant)
    kernel.wait_stopped()
    kernel.kill()
    done = main(argv)
    with Lab.open("other", home=target.parent) as lab:
        assert done in (0, 1)  # 1: it had got so far that only the opening was left
        state = lab.state
        assert sorted(state.machines) == ["link", "web"]
        assert state.snapshots["web"].current == "right"
        assert sorted(state.snapshots["web"]) == ["clean", "left", "right"]
        assert all(path.startswith(f"{target}/") for path in state.roots)
        assert contents(target) == images
        lab.machines["web"].snapshots.restore("left")
        lab.clean()
    if verb == "copy":
        with Lab.open("course") as original:
            assert machines_of(original.state) == before
            assert contents(home / "course") == images


@pytest.mark.parametrize("end", ["end", "drop"])
@pytest.mark.parametrize("name", ["course", "renamed"])
def test_a_lab_moved_in_the_middle_of_an_act_is_moved_and_the_act_is_ended_when_told_to(
    home: Path, tmp_path: Path, name: str, end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, images = make("course")
    code = f"with Lab.open('course', home={str(home)!r}) as lab: lab.create('new')"
    kernel = Kernel(code, stop=Instant(function="_copy_data"))
    kernel.wait_stopped()
    target = tmp_path / "elsewhere" / name
    target.parent.mkdir()
    (home / "course").rename(target)
    argv = ["--home", str(target.parent)]
    assert main(["lab", "move", name, *argv]) == 1  # the kernel goes on in it: its locks tell
    assert "create new is just being done" in capsys.readouterr().err
    kernel.kill()
    assert main(["lab", "move", name, *argv]) == 0
    assert f"lab restore {name} --home {target.parent} --journal" in capsys.readouterr().out
    with Lab.open(name, home=target.parent) as lab:
        assert sorted(lab.machines) == ["link", "web"]
        lab.machines["web"].snapshots.restore("left")  # who is not concerned goes on
        lab.machines["web"].snapshots.restore("right")
    assert main(["lab", "restore", name, *argv, "--journal", end]) == 0
    with Lab.open(name, home=target.parent) as lab:
        assert lab.recovered == ()
        assert sorted(lab.machines) == ["link", "web"]
        assert not list((target / "journal").iterdir())
        assert bool(list((target / "disks").glob("new.*"))) == (end == "drop")  # what it had begun, and nobody needs
        lost = {image for image, _hash in images.items() - contents(target).items()}
        assert lost <= {"web.vda.4.qcow2"}  # the current state that the restores discarded
        lab.create("new")
        lab.clean()


def test_a_copy_made_in_the_middle_of_an_act_says_what_to_do(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make("course")
    code = f"with Lab.open('course', home={str(home)!r}) as lab: lab.create('new')"
    kernel = Kernel(code, stop=Instant(function="_copy_data"))
    kernel.wait_stopped()
    kernel.kill()
    shutil.copytree(home / "course", home / "copy")
    assert main(["lab", "copy", "copy"]) == 1
    said = capsys.readouterr().err
    assert "create new" in said
    assert f"Open the lab in {home / 'course'}, which ends it" in said
    shutil.rmtree(home / "copy")
    assert main(["lab", "forget", "course"]) == 1
    assert "lab restore course --journal" in capsys.readouterr().err
    with Lab.open("course") as lab:
        assert "taken back" in lab.recovered[0]
    assert main(["lab", "forget", "course"]) == 0


@pytest.mark.parametrize("original", ["there", "gone"])
def test_an_act_that_stops_a_copying_can_be_ended_by_the_commands_of_the_hint(
    home: Path, capsys: pytest.CaptureFixture[str], original: str
) -> None:
    make("course")
    code = f"with Lab.open('course', home={str(home)!r}) as lab: lab.create('new')"
    kernel = Kernel(code, stop=Instant(function="_copy_data"))
    kernel.wait_stopped()
    kernel.kill()
    (home / "course").rename(home / "moved")
    assert main(["lab", "move", "moved"]) == 0  # from now on nobody here has begun the act
    shutil.copytree(home / "moved", home / "copy")
    if original == "gone":
        shutil.rmtree(home / "moved")
    assert main(["lab", "copy", "copy"]) == 1
    said = capsys.readouterr().err
    for words in re.findall(r"labkit (lab (?:move|restore) \w+(?: --journal)?)", said):
        assert main(words.split()) == 0
    last = "moved" if original == "there" else "copy"
    assert f"lab restore {last} --journal" in said
    assert main(["lab", "restore", last, "--journal", "drop"]) == 0
    if original == "there":
        shutil.rmtree(home / "copy")
        shutil.copytree(home / "moved", home / "copy")
        assert main(["lab", "copy", "copy"]) == 0
    with Lab.open("copy") as lab:
        assert "web" in lab.machines
        lab.create("new")


def test_two_kernels_that_open_a_followed_folder_at_once_agree(home: Path) -> None:
    _before, images = make("course")
    (home / "course").rename(home / "other")
    code = f"from labkit import Lab\nwith Lab.open('other', home={str(home)!r}) as lab: answer = ' '.join(lab.machines)"
    kernels = [Kernel(code, stop=Instant(function="move_lab")) for _ in range(2)]
    try:
        for kernel in kernels:
            kernel.wait_stopped()
        for kernel in kernels:
            kernel.go_on()
        assert [kernel.answer().text for kernel in kernels] == ["link web"] * 2
    finally:
        for kernel in kernels:
            kernel.kill()
    with Lab.open("other") as lab:
        assert sorted(lab.state.snapshots["web"]) == ["clean", "left", "right"]
        assert all(path.startswith(f"{home}/other/") for path in lab.state.roots)
        assert contents(lab.home) == images


def test_a_copy_takes_no_instance_along_and_leaves_the_original_s_alone(home: Path) -> None:
    with Lab.open("course") as lab:
        vm = lab.create("web")
        vm.snapshots.take("clean")
        vm.migrate(lab.neighbour())
        other = lab.neighbour()
        before = machines_of(other.state)
        shutil.copytree(home / "course", home / "copy", symlinks=True)
        assert main(["lab", "copy", "copy"]) == 0
        with Lab.open("copy") as copy:
            assert list(copy.machines) == ["web"]  # on the session's own
            assert list(copy.state.snapshots["web"]) == ["clean"]
            assert not (home / "copy" / "instances").exists()
            copy.clean()
        assert machines_of(other.state) == before
        assert other.state.machines["web"].spec.disks[0].path.startswith(f"{home}/course/")


@pytest.mark.parametrize("how", ["moved and moved back", "an older folder"])
def test_a_neighbour_s_daemon_does_not_outlive_the_folder_it_was_started_for(home: Path, how: str) -> None:
    with Lab.open("course") as lab:
        vm = lab.create("web", image="sector", memory="16 MiB")
        older = home.parent / f"{home.name}-older"
        shutil.copytree(home / "course", older)
        vm.migrate(lab.neighbour())
        vm.migrate(lab)
    if how == "an older folder":
        shutil.rmtree(home / "course")
        shutil.copytree(older, home / "course")
    else:
        (home / "course").rename(home / "other")
        assert main(["lab", "move", "other"]) == 0
        (home / "other").rename(home / "course")
    with Lab.open("course") as lab:
        vm = lab.machines["web"]
        vm.migrate(lab.neighbour())
        assert list(lab.machines) == []
        vm.migrate(lab)
        assert list(lab.machines) == ["web"]


def test_an_act_under_newer_definitions_deletes_nothing_of_an_older_folder(home: Path, tmp_path: Path) -> None:
    before, images = make("course")
    shutil.copytree(home / "course", tmp_path / "backup" / "course")
    with Lab.open("course") as lab:
        lab.machines["web"].snapshots.take("newer")  # it keeps what was active, and not frozen, in the backup
    shutil.rmtree(home / "course")
    shutil.copytree(tmp_path / "backup" / "course", home / "course")
    with Lab.open("course") as lab:
        with suppress(LabError):
            lab.machines["web"].snapshots.delete("newer")
        assert contents(home / "course") == images
    assert main(["lab", "restore", "course"]) == 0
    with Lab.open("course") as lab:
        assert machines_of(lab.state) == before


@pytest.mark.parametrize("by_hand", [False, True], ids=["by labkit", "by virsh"])
def test_what_an_older_folder_s_machine_writes_is_no_free_disk_under_newer_definitions(
    home: Path, tmp_path: Path, by_hand: bool
) -> None:
    """The definition's image is not there, and that of the folder's own record is nobody's: it keeps its name."""
    with Lab.open("course") as lab:
        vm = make_machine(lab, "web", "one")
        domain, before = vm.facts.spec.domain_name, contents_of(vm)
    shutil.copytree(home / "course", tmp_path / "backup" / "course")
    images = contents(home / "course")
    with Lab.open("course") as lab:
        lab.machines["web"].snapshots.restore("one")
        if by_hand:
            path = home / "course" / "disks" / "web.hand"
            virsh("snapshot-create-as", domain, "two", "--disk-only", "--diskspec", f"vda,file={path}")
    shutil.rmtree(home / "course")
    shutil.copytree(tmp_path / "backup" / "course", home / "course")
    with Lab.open("course") as lab:
        assert not [disk for disk in lab.disks.values() if disk.machine is None]
        assert list(lab.orphans) == ["web.vda.1.qcow2"]
        lab.machines["web"].snapshots.restore("one")
        assert contents(home / "course").items() >= images.items()
    assert main(["lab", "restore", "course"]) == 0
    with Lab.open("course") as lab:
        assert contents_of(lab.machines["web"]) == before


@pytest.mark.parametrize("frozen", ["below another", "kept"])
def test_a_newer_folder_under_older_definitions_is_told_and_can_be_taken(
    home: Path, tmp_path: Path, frozen: str
) -> None:
    """Two backups are brought back one after the other: what libvirt lets the machine write is frozen in the second."""
    with Lab.open("course") as lab:
        make_machine(lab, "web", "one")
        write(active_path(lab.machines["web"]), 4096, "before both")
    shutil.copytree(home / "course", tmp_path / "older" / "course")
    with Lab.open("course") as lab:
        vm = lab.machines["web"]
        vm.snapshots.take("two")
        write(active_path(vm), 4096 * 2, "since")
        if frozen == "kept":
            vm.snapshots.restore("one")
        before, held, images = machines_of(lab.state), contents_of(vm), contents(lab.home)
    shutil.copytree(home / "course", tmp_path / "newer" / "course")
    for folder in ("older", "newer"):
        shutil.rmtree(home / "course")
        shutil.copytree(tmp_path / folder / "course", home / "course")
        if folder == "older":
            assert main(["lab", "restore", "course"]) == 0
    with Lab.open("course") as lab:
        (told,) = lab.recovered
        assert "web.vda.1.qcow2" in told
        assert "newer" in told
        vm = lab.machines["web"]
        with pytest.raises(Refused):  # it would write into what is frozen
            vm.start()
        vm.snapshots.restore("one")
        vm.start().kill()
        vm.snapshots.take("other")
        vm.snapshots.delete("other", merge="always")
        assert contents(home / "course").items() >= images.items()
    assert main(["lab", "restore", "course"]) == 0
    with Lab.open("course") as lab:
        assert lab.recovered == ()
        assert machines_of(lab.state) == before
        assert contents_of(lab.machines["web"]) == held


def test_an_older_folder_under_newer_definitions_is_not_taken_for_what_snapshots_kept(
    home: Path, tmp_path: Path
) -> None:
    make("course")
    with Lab.open("course") as lab:
        make_machine(lab, "other", "one")
        before = {name: contents_of(vm) for name, vm in lab.machines.items()}
    shutil.copytree(home / "course", tmp_path / "backup" / "course")
    with Lab.open("course") as lab:
        write(active_path(lab.machines["web"]), 4096, "since the backup")
        lab.machines["web"].snapshots.take("newer")
    shutil.rmtree(home / "course")
    shutil.copytree(tmp_path / "backup" / "course", home / "course")
    with Lab.open("course") as lab:
        with pytest.raises(Refused):  # what "newer" held is not in the older image
            lab.machines["web"].snapshots.restore("newer")
        other = lab.machines["other"]  # it is whole, and is worked with
        other.snapshots.take("since")
        other.snapshots.restore("one")
        now = contents_of(other)
    assert main(["lab", "restore", "course"]) == 0
    with Lab.open("course") as lab:
        assert lab.recovered == ()
        assert contents_of(lab.machines["web"]) == before["web"]
        assert contents_of(lab.machines["other"]) == now
        assert set(now) > set(before["other"])
        lab.machines["other"].snapshots.restore("since")
