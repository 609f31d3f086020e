"""A lab's folder and its identity."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from labkit import Lab
from labkit.engine.workspace import forget_lab, list_labs, open_workspace
from labkit.errors import BadInput, HostTrouble, LabError
from tests.engine.kernel import Instant, Kernel


def test_a_lab_is_made_on_first_use_and_is_ours_alone(tmp_path: Path) -> None:
    workspace = open_workspace("course", tmp_path)
    assert workspace.home == tmp_path / "course"
    assert stat.S_IMODE(workspace.disks.stat().st_mode) == 0o700
    assert list_labs(tmp_path) == ["course"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_a_lab_is_ours_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        open_workspace("course", tmp_path / "above" / "labs")
    finally:
        os.umask(before)
    made = [path for path in (tmp_path / "above").rglob("*") if path.is_dir()]
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in (tmp_path / "above", *made)} == {"0o700"}


def test_a_lab_that_was_left_open_to_others_is_closed(tmp_path: Path) -> None:
    workspace = open_workspace("course", tmp_path)
    for folder in (workspace.home, workspace.disks):
        folder.chmod(0o777)
    open_workspace("course", tmp_path)
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in (workspace.home, workspace.disks)} == {"0o700"}


def test_a_lab_keeps_its_id_and_each_has_its_own(tmp_path: Path) -> None:
    first = open_workspace("course", tmp_path)
    assert open_workspace("course", tmp_path) == first
    assert open_workspace("other", tmp_path).id != first.id


@pytest.mark.parametrize("name", ["", "a/b", "../a", "x" * 61, "<lab/>", "a\nb", "a b"])
def test_a_labs_name_is_checked_before_a_folder_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput):
        open_workspace(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["a,b", "a\nb", "a\x01b"])
def test_a_home_that_qemu_cannot_take_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(BadInput) as caught:
        open_workspace("course", tmp_path / folder)
    assert "LABKIT_HOME" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_the_home_is_named_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    assert open_workspace("course").home == tmp_path / "course"
    assert list_labs() == ["course"]


@pytest.mark.parametrize("home", ["/{home}", "{home}/x/..", "{home}/link/../labs", "../labs"])
def test_a_home_named_by_a_way_round_is_the_same_and_is_worked_in(
    tmp_path: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    labs = tmp_path / "labs"
    for folder in (labs, tmp_path / "elsewhere"):
        (folder / "x").mkdir(parents=True)
    (labs / "link").symlink_to(tmp_path / "elsewhere" / "x")
    (tmp_path / "elsewhere" / "labs").symlink_to(labs)  # where `..` behind the link leads
    monkeypatch.chdir(labs)
    with Lab.open("round", home=home.format(home=labs)) as lab:
        assert lab.home.samefile(labs / "round")
        lab.disks.create("data", capacity="1 MiB").delete()
        lab.clean()


ODD = ["~nobody-of-this-name/x", "/dev/null", "x" * 5000, "/proc/1/x", "caf\udce9,", "\udcff"]


@pytest.mark.parametrize("variable", ["LABKIT_HOME", "LABKIT_DATA"])
@pytest.mark.parametrize("value", ODD)
def test_a_variable_that_leads_nowhere_is_one_error(
    variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value)
    for ask in (list_labs, lambda: open_workspace("course")):
        with suppress(LabError):
            ask()


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o1777])
def test_what_was_there_before_keeps_its_mode(tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable may name the home folder, /tmp, or no folder at all: only a lab's own folders are closed."""
    data, home, pipe = tmp_path / "data", tmp_path / "home", tmp_path / "pipe"
    data.mkdir()
    home.mkdir()
    os.mkfifo(pipe)
    for each in (data, home, pipe):
        each.chmod(mode)
    monkeypatch.setenv("LABKIT_DATA", str(data))
    open_workspace("course", home)
    for variable in ("LABKIT_DATA", "LABKIT_HOME"):
        monkeypatch.setenv(variable, str(pipe))
        with pytest.raises(HostTrouble):
            open_workspace("course")
    assert {oct(stat.S_IMODE(each.stat().st_mode)) for each in (data, home, pipe)} == {oct(mode)}


def test_in_a_folder_that_was_deleted_there_is_a_language_and_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    monkeypatch.setenv("LABKIT_HOME", "labs")
    (tmp_path / "gone").rmdir()
    with pytest.raises(BadInput) as caught:
        open_workspace("course")
    assert "LABKIT_HOME" in caught.value.hint


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(HostTrouble) as caught:
        open_workspace("course", tmp_path)
    tmp_path.chmod(0o700)
    assert caught.value.hint


def test_a_home_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(HostTrouble):
        open_workspace("course", tmp_path / "home")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_lab_that_lost_its_identity_says_so(tmp_path: Path, text: str) -> None:
    path = open_workspace("course", tmp_path).home / "lab.json"
    path.write_text(text)
    with pytest.raises(HostTrouble, match="identity") as caught:
        open_workspace("course", tmp_path)
    assert caught.value.hint


def test_eight_kernels_that_open_a_new_lab_at_once_agree_on_its_id(tmp_path: Path) -> None:
    code = f"""
from labkit.engine.workspace import open_workspace
answer = open_workspace("course", {str(tmp_path)!r}).id
"""
    kernels = [Kernel(code, stop=Instant(function="_identity")) for _ in range(8)]
    try:
        for kernel in kernels:
            kernel.wait_stopped()
        for kernel in kernels:
            kernel.go_on()
        ids = {kernel.answer().text for kernel in kernels}
    finally:
        for kernel in kernels:
            kernel.kill()
    assert ids == {open_workspace("course", tmp_path).id}
    assert [path.name for path in (tmp_path / "course").iterdir() if path.is_file()] == ["lab.json"]


def test_a_forgotten_lab_leaves_nothing(tmp_path: Path) -> None:
    open_workspace("course", tmp_path)
    forget_lab("course", tmp_path)
    assert list(tmp_path.iterdir()) == []
