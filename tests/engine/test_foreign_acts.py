"""A journal that somebody else wrote: nothing of it is carried out; what is ours, and only that, is ended."""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from labkit import Lab
from labkit.cli import main
from labkit.engine.confinement import find_outside
from labkit.engine.entry_lines import MOST_FOREIGN
from labkit.engine.foreign_acts import drop_foreign_act, end_foreign_act, find_foreign_acts
from labkit.engine.journal import Record, dump_plan, find_entries, read_entry
from labkit.errors import Busy, HostTrouble, Refused
from labkit.plans.plan import Plan
from labkit.plans.steps import (
    CopyImage,
    CutPower,
    DeleteFiles,
    DropSaved,
    FreezeImages,
    Step,
    UndefineMachine,
    WriteArchive,
)
from tests.engine.kernel import Instant, Kernel
from tests.engine.picture import take_picture


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of somebody's outside every lab."""
    path = tmp_path / "thesis.txt"
    path.write_text("three years")
    return path


def deleting(lab: Lab, *paths: Path | str, home: Path | None = None) -> Plan:
    """A plan that deletes files, as a journal could hold it."""
    steps = (DeleteFiles(paths=tuple(map(str, paths)), bytes=0),)
    return Plan(act="delete", subject="web", home=str(home or lab.home), names=("web",), basis="", steps=steps)


def forge(lab: Lab, plan: Plan, name: str = "f0") -> Path:
    """Write an act as somebody would who knows labkit and has not our key."""
    path = lab.home / "journal" / f"{name}.jsonl"
    path.write_text(f"{'0' * 64} {dump_plan(plan)}\n")
    return path


def test_an_act_without_our_code_is_told_and_nothing_of_it_is_done(sector_lab: Lab, victim: Path) -> None:
    before = take_picture(sector_lab)
    disk = next((sector_lab.home / "disks").iterdir())
    path = forge(sector_lab, deleting(sector_lab, victim, disk))
    with Lab.open(sector_lab.name) as again:
        assert "nothing of it is done" in again.recovered[0]
        assert f"labkit lab restore {again.name} --journal" in again.recovered[0]
        with pytest.raises(Busy):
            again.machines["web"].delete()
        with pytest.raises(Busy):
            again.machines["web"].start()
        assert len(again.recovered) == 1
        again.create("other", image="sector", memory="16 MiB").delete()  # who is not concerned goes on
    assert victim.read_text() == "three years"
    path.unlink()
    assert take_picture(sector_lab) == before


def test_a_journal_of_an_older_labkit_without_codes_is_not_believed_either(sector_lab: Lab, victim: Path) -> None:
    path = sector_lab.home / "journal" / "0.jsonl"
    path.write_text(dump_plan(deleting(sector_lab, victim)) + "\n")
    with Lab.open(sector_lab.name) as again:
        assert "nothing of it is done" in again.recovered[0]
    assert victim.exists()
    path.unlink()


def test_a_line_of_ours_put_into_another_file_is_not_ours(sector_lab: Lab) -> None:
    record = Record(sector_lab.home / "journal", deleting(sector_lab, sector_lab.home / "disks" / "x"))
    entry = read_entry(record.path)
    assert entry is not None
    assert entry.ours
    copy = record.path.with_name("0.jsonl")
    shutil.copy(record.path, copy)
    entry = read_entry(copy)
    assert entry is not None
    assert not entry.ours
    copy.unlink()
    record.close()


def test_steps_that_somebody_reports_done_are_not_believed(sector_lab: Lab) -> None:
    record = Record(sector_lab.home / "journal", deleting(sector_lab, sector_lab.home / "disks" / "x"))
    with record.path.open("a") as file:
        file.write(f"{'0' * 64} {json.dumps({'done': 0})}\n")
    entry = read_entry(record.path)
    assert entry is not None
    assert (entry.ours, entry.done) == (True, 0)
    record.close()


def test_an_act_of_ours_that_leads_out_of_the_lab_is_not_carried_out(sector_lab: Lab, victim: Path) -> None:
    """Before it begins, and in recovery: here it got into the journal past the first."""
    plan = deleting(sector_lab, victim)
    with pytest.raises(Refused, match=r"thesis\.txt"):
        sector_lab.carry_out(replace(plan, basis=sector_lab.state.fingerprint(("web",), ())))
    record = Record(sector_lab.home / "journal", plan)
    with Lab.open(sector_lab.name) as again:
        assert "does not lie in the lab's folder" in again.recovered[0]
    assert victim.read_text() == "three years"
    record.close()


def test_a_folder_that_is_a_link_out_of_the_lab_is_outside(sector_lab: Lab, tmp_path: Path, victim: Path) -> None:
    memory = sector_lab.home / "memory"
    memory.rmdir()
    memory.symlink_to(tmp_path)
    record = Record(sector_lab.home / "journal", deleting(sector_lab, memory / victim.name))
    with Lab.open(sector_lab.name) as again:
        assert victim.name in again.recovered[0]
    assert victim.exists()
    record.close()
    memory.unlink()
    memory.mkdir()


def test_what_an_act_may_touch(sector_lab: Lab, tmp_path: Path) -> None:
    home, workspace = sector_lab.home, sector_lab.session.workspace
    inside = deleting(sector_lab, home / "disks" / "x")

    def outside(*steps: Step) -> str | None:
        return find_outside(replace(inside, steps=steps), workspace)

    assert outside(DeleteFiles(paths=(str(home / "disks" / "x"),), bytes=0)) is None
    assert outside(DeleteFiles(paths=(str(home / "disks/../../x"),), bytes=0)) == str(home / "disks/../../x")
    assert outside(DeleteFiles(paths=("disks/x",), bytes=0)) == "disks/x"
    assert outside(FreezeImages(paths=("/etc/passwd",))) == "/etc/passwd"
    assert outside(CopyImage(source="/etc/passwd", target=str(home / "disks/x"), bytes=0)) is None
    assert outside(CopyImage(source="/x", target=str(tmp_path / "x"), bytes=0)) == str(tmp_path / "x")
    archive = sector_lab.machines["web"].export.plan(tmp_path / "web.labkit")
    assert any(isinstance(step, WriteArchive) for step in archive.steps)
    assert find_outside(archive, workspace) is None
    link = home / "disks" / "link"
    link.symlink_to(tmp_path / "elsewhere")
    assert outside(DeleteFiles(paths=(str(link),), bytes=0)) == str(link)
    link.unlink()
    assert find_outside(replace(inside, home=str(tmp_path)), workspace) == str(tmp_path)
    clean = sector_lab.clean.plan()
    assert find_outside(clean, workspace) is None


NAMES = ["../../escape", "/tmp/escape-absolute", "a\n", ""]


@pytest.mark.parametrize("name", NAMES)
def test_names_in_a_foreign_act_make_no_files(name: str, sector_lab: Lab) -> None:
    before = set(sector_lab.home.parent.rglob("*"))
    path = forge(sector_lab, replace(deleting(sector_lab), names=(name,), disks=(name,)))
    with Lab.open(sector_lab.name) as again:
        assert len(again.recovered) == 1
        (act,) = find_foreign_acts(again.session.executor)
        assert act.why_not
        with pytest.raises(Refused):
            end_foreign_act(act, again.session.executor)
    path.unlink()
    assert set(sector_lab.home.parent.rglob("*")) - before <= {sector_lab.home / "lock"}


def test_a_folder_carried_elsewhere_in_the_middle_of_an_act_is_ended_when_told_to(
    sector_lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kernel dies in the middle of `create`; what it had begun is taken back with the paths of the new place."""
    code = f"with Lab.open({sector_lab.name!r}) as lab: lab.create('new', image='sector', memory='16 MiB')"
    with Kernel(code, stop=Instant(function="_copy_data")) as kernel:
        kernel.wait_stopped()
        kernel.kill()
    made = list((sector_lab.home / "disks").glob("new.*"))
    assert made
    monkeypatch.setenv("LABKIT_HOME", str(sector_lab.home.parent))
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))  # another computer: another key
    with Lab.open(sector_lab.name) as there:
        assert "new" in there.recovered[0]
        (act,) = find_foreign_acts(there.session.executor)
        assert (act.completes, act.why_not) == (False, None)
        assert "taken back" in act.text
        assert made[0].name in act.text
        assert made[0].exists()
    assert main(["lab", "restore", sector_lab.name, "--journal"]) == 0
    assert made[0].exists()
    assert main(["lab", "restore", sector_lab.name, "--journal", "end"]) == 0
    assert "taken back" in capsys.readouterr().out
    assert not made[0].exists()
    assert find_entries(sector_lab.home / "journal") == []
    assert list(sector_lab.machines) == ["web"]


def test_a_copied_folder_does_not_end_the_originals_act(sector_lab: Lab) -> None:
    """Same key, another folder: paths are taken relative to it, and nothing is done to the original's machine."""
    record = Record(sector_lab.home / "journal", sector_lab.machines["web"].delete.plan())
    copy = sector_lab.home.with_name("copied")
    shutil.copytree(sector_lab.home, copy)
    entry = read_entry(copy / "journal" / record.path.name)
    assert entry is not None
    assert not entry.ours
    assert all(path.startswith(f"{copy}/") for path in entry.plan.files.deleted)
    record.close()
    assert list(sector_lab.machines) == ["web"]
    shutil.rmtree(copy)


def test_an_act_about_a_machine_of_others_can_only_be_dropped(sector_lab: Lab, lab: Lab) -> None:
    assert lab is sector_lab
    with Lab.open(f"{lab.name}-other") as other:
        theirs = other.create("theirs", image="sector", memory="16 MiB")
        steps = (
            CutPower(machine_id=theirs.id, domain=theirs.facts.spec.domain_name),
            DropSaved(machine_id=theirs.id, domain=theirs.facts.spec.domain_name),
            UndefineMachine(machine_id=theirs.id, domain=theirs.facts.spec.domain_name),
        )
        forge(lab, replace(deleting(lab), steps=steps))
        (act,) = find_foreign_acts(lab.session.executor)
        assert act.why_not is not None
        assert theirs.id in act.why_not
        drop_foreign_act(act, lab.session.executor)
        assert find_foreign_acts(lab.session.executor) == []
        assert list(other.machines) == ["theirs"]
        other.clean()


def _deep() -> str:
    return "[" * 100_000


def _long_text_for_a_list() -> str:
    return json.dumps(
        {"act": "a", "subject": "b", "home": "/labs/x", "names": [], "basis": "", "steps": "n" * 3_000_000}
    )


def _too_long() -> str:
    return json.dumps({"act": "a" * MOST_FOREIGN, "subject": "b", "home": "/labs/x", "names": [], "basis": ""})


def _wrong_types() -> str:
    return json.dumps({"act": {}, "subject": [], "home": 7, "names": {"a": 1}, "basis": None, "steps": 3})


def _folders_everywhere() -> str:
    return json.dumps({"act": "a", "subject": "/a/b/" * 500_000, "home": "/a/b", "names": 5, "basis": ""})


@pytest.mark.parametrize(
    "text", [_deep, _long_text_for_a_list, _too_long, _wrong_types, _folders_everywhere, lambda: "\0" * 100, str]
)
def test_whatever_stands_in_a_journal_is_one_error_and_bounded(text: Callable[[], str], tmp_path: Path) -> None:
    path = tmp_path / "lab" / "journal" / "0.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(text() + "\n")
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(HostTrouble) as trouble:
        read_entry(path)
    assert len(trouble.value.details) < 1000
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KiB


def test_a_named_pipe_in_a_journal_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "lab" / "journal" / "0.jsonl"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(HostTrouble):
        read_entry(path)


def test_the_key_is_ours_alone_and_made_once(tmp_path: Path) -> None:
    code = "from labkit.engine.signing import sign; print(sign('words'))"
    environment = {**os.environ, "LABKIT_DATA": str(tmp_path / "data")}
    makers = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _number in range(4)
    ]
    codes = {maker.communicate()[0] for maker in makers}
    assert len(codes) == 1
    (key,) = (tmp_path / "data").iterdir()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


CLEARS = "\x1b[2J\x9b31m\u202e"
"""What a terminal would obey: its screen is cleared, its letters are red, what follows is written backwards."""


def test_what_strangers_have_written_does_nothing_to_the_terminal(
    sector_lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Titles and paths in a journal, files in a folder, names in a record and in the list of another's guests."""
    lab, home = sector_lab, sector_lab.home
    monkeypatch.setenv("LABKIT_HOME", str(home.parent))
    strays = [home / "disks" / f"note{CLEARS}.txt", home / "disks" / f"web{CLEARS}.vda.0.qcow2"]
    for stray in strays:
        stray.write_text("nobody's")
    path = forge(lab, replace(deleting(lab, f"/etc/{CLEARS}"), subject=f"web{CLEARS}"))
    inside = forge(
        lab,
        replace(deleting(lab, home / "disks" / f"gone{CLEARS}"), subject=f"new{CLEARS}", names=(f"a{CLEARS}",)),
        name="f1",
    )
    record = home / "record.json"
    held = record.read_text()
    text = json.loads(held)
    text["machines"].append({**text["machines"][0], "id": "0" * 8, "name": f"x{CLEARS}"})
    record.write_text(json.dumps(text))
    (home / "locks" / "0.guests").write_text(json.dumps({"guests": [{"name": f"g{CLEARS}"}]}))
    says = [
        ["orphans", "--lab", lab.name],
        ["orphans", "--lab", lab.name, "--discard", f"none{CLEARS}"],
        ["list", "--lab", lab.name],
        ["lab", "list"],
        ["lab", "restore", lab.name, "--journal"],
        ["lab", "restore", lab.name, "--journal", "end"],
        ["doctor"],
    ]
    for words in says:
        main(words)
    with Lab.open(lab.name) as again:
        plans = [again.orphans.discard.plan().preview(), again.machines["web"].delete.plan().preview()]
    said = "".join(capsys.readouterr()) + "".join(plans)
    assert "note" in said
    assert "web?" in said
    assert [line for line in said.splitlines() if {"\x1b", "\x9b", "\u202e"}.intersection(line)] == []
    for each in (path, inside, *strays, home / "locks" / "0.guests"):
        each.unlink(missing_ok=True)
    record.write_text(held)
