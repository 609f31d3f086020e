"""The host's disk fills up in the middle of a clone: one clear error, and nothing is left of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# A file system of 240 MiB in a namespace of its own; the ballast leaves room for the plan, and later takes it.
CODE = """
import json, os, subprocess, sys
from pathlib import Path
from labkit import Lab
from labkit.errors import LabError

home, kind = Path(sys.argv[1]), sys.argv[2]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=240m", "tmpfs", home], check=True)

def fill(left):
    info = os.statvfs(home)
    with open(home / "ballast", "wb") as file:
        file.write(bytes(info.f_bavail * info.f_frsize - left))

def look(lab):
    files = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    return {"machines": list(lab.machines), "files": [path for path in files if not path.endswith("lock")]}

with Lab.open("full-" + kind, home=home) as lab:
    # A fixed VMDK is two files: its content is converted, not its file copied.
    vm = lab.create("web", **({} if kind == "copied" else {"disk_format": "vmdk", "allocation": "fixed"}))
    plan = vm.clone.plan("copy")
    before = look(lab)
    fill(2 << 20)
    try:
        lab.carry_out(plan)
        error = None
    except LabError as caught:
        error = caught
    (home / "ballast").unlink()
    after = look(lab)
    answer = {"error": type(error).__name__, "message": error and error.message, "hint": error and error.hint,
              "before": before, "after": after}
    vm.clone("later")
    lab.clean()
print(json.dumps(answer))
"""


@pytest.mark.parametrize("kind", ["copied", "converted"])
def test_a_host_that_fills_up_takes_the_clone_back(tmp_path: Path, kind: str) -> None:
    namespace = ["unshare", "--user", "--map-current-user", "--mount", "--keep-caps", "--"]
    done = subprocess.run(
        [*namespace, sys.executable, "-c", CODE, str(tmp_path), kind],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["error"] == "NoSpace"
    assert "No space left" in answer["message"]
    assert "taken back" in answer["hint"]
    assert answer["after"] == answer["before"]
