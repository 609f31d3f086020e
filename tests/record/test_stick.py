"""A lab on a stick: FAT and exFAT have no second names for a file, whatever else they have.

What they answer to `link` is measured on exFAT: EPERM. They keep no modes either, which nothing relies on.
"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from labkit import Lab
from labkit.course.progress import CourseProgress
from labkit.engine.computer import Computer
from labkit.engine.lease_files import make_holder, read_holder, remove_holder
from labkit.storage.whole_files import put_new, write_new

HERE, OTHER = (Computer(boot=name, id=name, name=name) for name in ("here", "other"))


@pytest.fixture
def stick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on it."""

    def link(_source: object, target: object, **_options: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(target))

    monkeypatch.setattr(os, "link", link)
    return tmp_path


def test_a_new_lab_is_made_there_and_its_machine_has_a_past(stick: Path) -> None:
    with Lab.open("course", home=stick) as lab:
        machine = lab.create("web", memory="16 MiB", image="sector").start().wait_ready()
        machine.snapshots.take("running")
        machine.snapshots.restore("running")
        machine.save()
    with Lab.open("course", home=stick) as again:
        assert again.recovered == ()
        again.machines["web"].start().kill()
        again.machines["web"].snapshots.restore("running", run=False)
        again.clean()


def test_of_many_who_write_a_new_file_one_is_the_first_and_its_words_stay(stick: Path) -> None:
    first: list[int] = []
    ready = threading.Barrier(8)

    def write(number: int) -> None:
        ready.wait()
        try:
            write_new(stick / "identity", f"{number}".encode() * 1000)
        except FileExistsError:
            return
        first.append(number)

    for _again in range(20):
        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(first) == 1
        assert (stick / "identity").read_bytes() == f"{first.pop()}".encode() * 1000
        assert [path.name for path in stick.iterdir()] == ["identity"], "a draft is left"
        (stick / "identity").unlink()


def test_a_name_that_is_taken_is_not_given_again(stick: Path) -> None:
    draft, taken = stick / "draft", stick / "taken"
    draft.write_text("new")
    taken.write_text("old")
    with pytest.raises(FileExistsError):
        put_new(draft, taken)
    assert (draft.read_text(), taken.read_text()) == ("new", "old")


def test_the_lab_is_one_computers_at_a_time(stick: Path) -> None:
    assert make_holder(stick, HERE)
    assert not make_holder(stick, OTHER)
    assert not remove_holder(stick, OTHER)
    assert read_holder(stick) == HERE
    assert remove_holder(stick, HERE)
    assert make_holder(stick, OTHER)


def test_unreadable_progress_is_kept_beside(stick: Path) -> None:
    progress = CourseProgress(stick)
    progress.path.write_text("{")
    progress.record_done("primer-arranque")
    (aside,) = stick.glob("*.unreadable")
    assert aside.read_text() == "{"
    assert "primer-arranque" in progress.path.read_text()
