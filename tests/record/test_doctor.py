"""The doctor looks at what the daemon uses, and says of each lab what is to be done; no machine is out of its sight."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.instance import Instance
from tests.record.conftest import lose_configuration, sit_at


def examine(computer: Instance, **changes: str) -> dict[str, dict[str, str]]:
    """Return the doctor's checks at a computer, by slug."""
    code = "from labkit.doctor import run_doctor; run_doctor(json=True)"
    environment = {**os.environ, **computer.environment, "LABKIT_LANGUAGE": "en", **changes}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return {check["slug"]: check for check in json.loads(done.stdout)["checks"]}


def repair(computer: Instance, check: dict[str, str]) -> None:
    """Do what a check says."""
    words = shlex.split(check["repair"])
    assert words[:3] == ["./lab", "run", "labkit"]
    code = f"import sys; from labkit.cli import main; sys.exit(main({words[3:]!r}))"
    sit_at(computer, code)


def test_a_variable_that_says_another_folder_than_the_daemon_uses_is_told(
    other_computer: Instance, tmp_path: Path
) -> None:
    sit_at(other_computer, "with Lab.open() as lab: lab.create('web')")
    assert examine(other_computer)["configuration"]["status"] == "ok"
    check = examine(other_computer, XDG_CONFIG_HOME=str(tmp_path))["configuration"]
    assert check["status"] == "trouble"
    used = other_computer.environment["XDG_CONFIG_HOME"]
    assert used in check["what"]
    assert check["repair"] == f"export XDG_CONFIG_HOME={used}"


def test_machines_that_only_the_record_knows_are_told_and_brought_back(other_computer: Instance) -> None:
    sit_at(other_computer, "with Lab.open() as lab: lab.create('web')")
    lose_configuration(other_computer)
    check = examine(other_computer)["labs"]
    assert check["status"] == "note"
    assert "web" in check["what"]
    repair(other_computer, check)
    check = examine(other_computer)["labs"]
    assert check["status"] == "ok", check


def test_copies_moves_and_lost_identities_are_told_with_their_repair(other_computer: Instance) -> None:
    sit_at(other_computer, "with Lab.open() as lab: lab.create('web')")
    labs = Path(other_computer.environment["LABKIT_DATA"]) / "labs"
    shutil.copytree(labs / "default", labs / "copy")
    check = examine(other_computer)["labs"]
    assert "labkit lab copy copy" in check["repair"]
    repair(other_computer, check)
    shutil.copytree(labs / "default", labs / "moved")
    shutil.rmtree(labs / "default")
    check = examine(other_computer)["labs"]
    assert "labkit lab move moved" in check["repair"]
    repair(other_computer, check)
    (labs / "moved" / "lab.json").unlink()
    check = examine(other_computer)["labs"]
    assert "labkit lab restore moved" in check["repair"]
    repair(other_computer, check)
    check = examine(other_computer)["labs"]
    assert check["status"] == "ok", check


def test_files_of_machines_that_come_back_are_no_orphans_to_the_doctor(other_computer: Instance) -> None:
    """Nor is anything in a lab that was let go: to look at it there would bring it back."""
    sit_at(other_computer, "with Lab.open() as lab: lab.create('web').snapshots.take('one')")
    stray = Path(other_computer.environment["LABKIT_DATA"]) / "labs" / "default" / "disks" / "notes.txt"

    def orphans() -> dict[str, str]:
        return examine(other_computer)["orphans"]

    virsh = "import subprocess; subprocess.run(['virsh', 'undefine', 'web', '--snapshots-metadata'], check=True)"
    sit_at(other_computer, virsh)
    assert orphans()["status"] == "ok"
    stray.write_text("mine")
    told = orphans()["what"]
    assert told.startswith("1 file that nobody needs")
    assert "default/notes.txt: " in told
    assert "not a disk image" in told
    sit_at(other_computer, "from labkit.cli import main; main(['lab', 'forget', 'default'])")
    assert orphans()["status"] == "ok"
