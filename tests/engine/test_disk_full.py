"""The host's disk is full: one clear error, the act is taken back, nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.small_disk import run_on_small_disk

SCRIPT = """
image, name, left = words

def look(lab):
    files = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    return {"machines": list(lab.machines), "files": [path for path in files if not path.endswith("lock")]}

with Lab.open(name, home=home) as lab:
    plan = lab.create.plan("web", image=image)
    fill(int(left))
    before = look(lab)
    try:
        lab.carry_out(plan)
        error = None
    except LabError as caught:
        error = caught
    free()
    after = look(lab)
    before["files"].remove("ballast")
    lab.create("web", image=image)
    answer = {"error": type(error).__name__, "message": error and error.message, "hint": error and error.hint,
              "same": before == after, "after": after, "later": list(lab.machines)}
    lab.clean()
print(json.dumps(answer))
"""


@pytest.mark.parametrize("left", [2 << 20, 8192, 0], ids=["in the image", "in the journal", "before the journal"])
def test_a_disk_that_fills_up_while_a_machine_is_created(tmp_path: Path, left: int) -> None:
    answer = run_on_small_disk(SCRIPT, tmp_path, "96m", "tiny", f"full-{left}", str(left))
    assert answer["error"] == "NoSpace"
    assert "No space left" in answer["message"]
    assert "free space" in answer["hint"]
    assert answer["same"], answer["after"]
    assert answer["later"] == ["web"]
