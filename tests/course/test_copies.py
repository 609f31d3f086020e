"""The student's copies of the notebooks: made once, without outputs; what somebody has written is never lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.cli import main
from labkit.course.copies import WorkingCopies
from labkit.course.copy_news import Change
from labkit.course.notebook_file import read_notebook
from labkit.errors import HostTrouble, NotFound, WrongState

NAME = "en/03-disks"


def write_notebook(path: Path, *sources: str) -> None:
    """Write a notebook of code cells that have run."""
    outputs = [{"output_type": "stream", "name": "stdout", "text": "theirs\n"}]
    cells = [
        {"cell_type": "code", "id": f"cell-{number}", "metadata": {}, "source": source,
         "execution_count": 7, "outputs": outputs}
        for number, source in enumerate(sources)
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


@pytest.fixture
def copies(tmp_path: Path) -> WorkingCopies:
    """Copies of a course of one notebook; none is made yet."""
    write_notebook(tmp_path / "course" / f"{NAME}.ipynb", "1 + 1")
    return WorkingCopies(tmp_path / "course", tmp_path / "work")


def edit(copies: WorkingCopies, *sources: str) -> None:
    """Work in the copy."""
    write_notebook(copies.path(NAME), *sources)


def publish(copies: WorkingCopies, *sources: str) -> None:
    """Let the course have a newer original."""
    write_notebook(copies.originals / f"{NAME}.ipynb", *sources)


def changes(copies: WorkingCopies) -> list[Change]:
    """Update, and return what was done."""
    return [news.change for news in copies.update()]


def written(path: Path) -> list[str]:
    """Return what is written in a notebook's cells."""
    return [cell["source"] for cell in read_notebook(path).cells]


def everything(copies: WorkingCopies) -> set[str]:
    """Return what is written in all notebooks there are."""
    return {source for path in copies.work.rglob("*.ipynb") for source in written(path)}


def test_copy_is_made_once_and_holds_no_output(copies: WorkingCopies) -> None:
    assert changes(copies) == [Change.MADE]
    table = json.loads(copies.path(NAME).read_text())
    assert [(cell["source"], cell["outputs"], cell["execution_count"]) for cell in table["cells"]] == [
        ("1 + 1", [], None)
    ]
    assert changes(copies) == []


def test_copy_that_was_only_run_again_is_left_alone(copies: WorkingCopies) -> None:
    copies.update()
    edit(copies, "1 + 1")
    before = copies.path(NAME).read_bytes()
    assert changes(copies) == []
    assert copies.path(NAME).read_bytes() == before


def test_newer_original_takes_the_place_of_an_untouched_copy(copies: WorkingCopies) -> None:
    copies.update()
    publish(copies, "2 + 2")
    assert changes(copies) == [Change.RENEWED]
    assert written(copies.path(NAME)) == ["2 + 2"]


@pytest.mark.parametrize("mine", ["1 + 1", "mine"])
def test_newer_original_is_offered_beside_a_copy_that_was_worked_in(copies: WorkingCopies, mine: str) -> None:
    copies.update()
    edit(copies, mine)
    before = copies.path(NAME).read_bytes()
    publish(copies, "2 + 2")
    assert changes(copies) == [Change.OFFERED]
    assert copies.path(NAME).read_bytes() == before
    assert written(copies.offer(NAME)) == ["2 + 2"]
    assert copies.offers() == [NAME]


def offered(copies: WorkingCopies) -> WorkingCopies:
    """Let a newer original be offered."""
    copies.update()
    edit(copies, "mine")
    publish(copies, "2 + 2")
    copies.update()
    return copies


def test_keeping_mine_lets_the_offer_go_until_there_is_another(copies: WorkingCopies) -> None:
    offered(copies).keep_mine(NAME)
    assert (written(copies.path(NAME)), copies.offers(), changes(copies)) == (["mine"], [], [])
    publish(copies, "3 + 3")
    assert changes(copies) == [Change.OFFERED]


def test_taking_the_new_one_keeps_mine_among_the_earlier(copies: WorkingCopies) -> None:
    aside = offered(copies).take_new(NAME)
    assert aside.parent.name == "earlier"
    assert (written(copies.path(NAME)), written(aside)) == (["2 + 2"], ["mine"])
    assert changes(copies) == []


def test_both_lie_side_by_side(copies: WorkingCopies) -> None:
    beside = offered(copies).keep_both(NAME)
    assert beside == copies.work / "en/03-disks-mine.ipynb"
    assert (written(copies.path(NAME)), written(beside)) == (["2 + 2"], ["mine"])


def test_choosing_where_nothing_is_offered_is_refused(copies: WorkingCopies) -> None:
    copies.update()
    for choose in (copies.keep_mine, copies.take_new, copies.keep_both):
        with pytest.raises(WrongState):
            choose(NAME)


def test_reset_makes_it_anew_and_loses_nothing(copies: WorkingCopies) -> None:
    copies.update()
    for mine in ("first", "second"):
        edit(copies, mine)
        assert written(copies.reset(NAME)) == [mine]
        assert written(copies.path(NAME)) == ["1 + 1"]
    assert changes(copies) == []
    assert everything(copies) == {"1 + 1", "first", "second"}


def test_reset_takes_what_was_offered_and_offers_it_no_more(copies: WorkingCopies) -> None:
    copies.update()
    edit(copies, "mine")
    publish(copies, "2 + 2")
    copies.update()
    assert copies.offers() == [NAME]
    copies.reset(NAME)
    assert written(copies.path(NAME)) == ["2 + 2"]
    assert copies.offers() == []
    assert not copies.offer(NAME).exists()
    assert changes(copies) == []


def test_nothing_written_is_lost_whatever_is_chosen(copies: WorkingCopies) -> None:
    copies.update()
    for number, choose in enumerate((copies.keep_mine, copies.take_new, copies.keep_both, copies.reset) * 2):
        edit(copies, f"mine-{number}")
        publish(copies, f"course-{number}")
        copies.update()
        edited = f"offer-{number}"  # and somebody writes into what is offered
        write_notebook(copies.offer(NAME), edited)
        choose(NAME)
        assert {f"mine-{number}", edited} <= everything(copies)


def test_what_was_changed_in_the_course_itself_is_carried_over_as_mine_once(
    copies: WorkingCopies, tmp_path: Path
) -> None:
    edited = tmp_path / "checkout"
    write_notebook(edited / f"{NAME}.ipynb", "1 + 1", "mine")
    assert [news.change for news in copies.update(edited)] == [Change.CARRIED]
    assert written(copies.path(NAME)) == ["1 + 1", "mine"]
    assert "theirs" not in copies.path(NAME).read_text()
    publish(copies, "1 + 1", "mine")  # later the checkout, still changed, is the original
    assert changes(copies) == []
    publish(copies, "2 + 2")
    assert changes(copies) == [Change.OFFERED]


def test_what_was_only_run_in_the_course_itself_is_no_version_of_mine(copies: WorkingCopies, tmp_path: Path) -> None:
    write_notebook(tmp_path / "checkout" / f"{NAME}.ipynb", "1 + 1")
    assert [news.change for news in copies.update(tmp_path / "checkout")] == [Change.MADE]


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"cells": [1]}', '{"cells": [{"cell_type": "code"}]}'])
def test_copy_that_is_no_notebook_any_more_is_left_alone(copies: WorkingCopies, damage: str) -> None:
    copies.update()
    copies.path(NAME).write_text(damage)
    publish(copies, "2 + 2")
    assert changes(copies) == [Change.OFFERED]
    assert copies.path(NAME).read_text() == damage


def test_forgotten_table_lets_nothing_be_replaced(copies: WorkingCopies) -> None:
    copies.update()
    (copies.work / ".labkit" / "copies.json").write_text("[")
    publish(copies, "2 + 2")
    assert changes(copies) == [Change.OFFERED]
    assert written(copies.path(NAME)) == ["1 + 1"]


def test_course_without_notebooks_says_so(tmp_path: Path) -> None:
    with pytest.raises(HostTrouble, match="There are no notebooks in"):
        WorkingCopies(tmp_path, tmp_path / "work").update()


def test_notebook_is_found_by_its_number_or_name(copies: WorkingCopies) -> None:
    for called in ("03", "03-disks", "en/03", "en/03-disks.ipynb"):
        assert copies.find(called, "es") == NAME
    with pytest.raises(NotFound, match="There is no notebook 04"):
        copies.find("04", "en")


def test_command_updates_decides_and_resets(
    copies: WorkingCopies, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LABKIT_COURSE", str(copies.originals))
    monkeypatch.setenv("LABKIT_DATA", str(copies.work.parent))
    assert main(["course", "update"]) == 0
    assert capsys.readouterr().out == "Your copy was made: en/03-disks.\n"
    edit(copies, "mine")
    publish(copies, "2 + 2")
    assert main(["course", "update"]) == 0
    assert "./lab run labkit course update 03 --keep-mine, --take-new or --both." in capsys.readouterr().out
    assert main(["course", "update", "03", "--take-new"]) == 0
    assert capsys.readouterr().out == "en/03-disks is the new version; yours is en/earlier/03-disks.ipynb.\n"
    assert main(["course", "reset", "03"]) == 0
    assert capsys.readouterr().out == (
        "en/03-disks is new; the one before it is en/earlier/03-disks-2.ipynb.\nIts predictions are forgotten.\n"
    )
    assert main(["course", "update", "03"]) == 2


def test_the_command_says_when_nothing_is_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    assert main(["course", "update"]) == 0
    assert "Nothing is newer" not in capsys.readouterr().out  # the copies were made
    assert main(["course", "update"]) == 0
    assert "Nothing is newer" in capsys.readouterr().out
    assert main(["course", "update", "--originals", str(WorkingCopies().originals)]) == 0
    assert capsys.readouterr().out == ""  # `./lab up` does not speak of it
