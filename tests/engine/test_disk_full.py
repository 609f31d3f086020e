"""The host's disk is full: one clear error, the act is taken back, nothing is left."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

# A file system of 96 MiB in a namespace of its own; the ballast leaves room for the plan, and later takes it.
CODE = """
import json, os, subprocess, sys
from pathlib import Path
from labkit import Lab
from labkit.errors import LabError

home, image, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", home], check=True)

def fill(left):
    info = os.statvfs(home)
    with open(home / "ballast", "wb") as file:
        file.write(bytes(info.f_bavail * info.f_frsize - left))

def look(lab):
    files = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    return {"machines": list(lab.machines), "files": [path for path in files if not path.endswith("lock")]}

with Lab.open(name, home=home) as lab:
    plan = lab.create.plan("web", image=image)
    fill(int(sys.argv[4]))
    before = look(lab)
    try:
        lab.carry_out(plan)
        error = None
    except LabError as caught:
        error = caught
    (home / "ballast").unlink()
    after = look(lab)
    before["files"].remove("ballast")
    lab.create("web", image=image)
    answer = {"error": type(error).__name__, "message": error and error.message, "hint": error and error.hint,
              "same": before == after, "after": after, "later": list(lab.machines)}
    lab.clean()
print(json.dumps(answer))
"""


def create_on_a_full_disk(home: str, image: str, name: str, left: int) -> dict[str, Any]:
    """Create a machine where only `left` bytes are free; returns what was said and what is left."""
    namespace = ["unshare", "--user", "--map-current-user", "--mount", "--keep-caps", "--"]
    done = subprocess.run(
        [*namespace, sys.executable, "-c", CODE, home, image, name, str(left)],
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("left", [2 << 20, 8192, 0], ids=["in the image", "in the journal", "before the journal"])
def test_a_disk_that_fills_up_while_a_machine_is_created(tmp_path: object, left: int) -> None:
    answer = create_on_a_full_disk(str(tmp_path), "tiny", f"full-{left}", left)
    assert answer["error"] == "NoSpace"
    assert "No space left" in answer["message"]
    assert "free space" in answer["hint"]
    assert answer["same"], answer["after"]
    assert answer["later"] == ["web"]
