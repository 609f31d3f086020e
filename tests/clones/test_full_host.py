"""The host's disk fills up in the middle of a clone: one clear error, and nothing is left of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.instance import Instance
from tests.small_disk import run_on_small_disk

CODE = """
(kind,) = words

def look(lab):
    files = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    files = [path for path in files if not path.endswith("lock") and "/locks/" not in path]
    return {"machines": list(lab.machines), "files": files}

with Lab.open("full-" + kind, home=home) as lab:
    # A fixed VMDK is two files: its content is converted, not its file copied.
    vm = lab.create("web", **({"disk_format": "vmdk", "allocation": "fixed"} if kind == "converted" else {}))
    asked = {"kind": "linked", "snapshot": "warm", "instant": True} if kind == "instant" else {}
    if kind in ("running", "writing", "instant"):
        vm.start().wait_ready()
    if kind == "writing":
        vm.run("while :; do dd if=/dev/urandom of=/root/log bs=4k count=1 conv=notrunc,fsync; done > /dev/null 2>&1 &")
    if kind == "instant":
        vm.snapshots.take("warm")
        vm.kill()
    plan = vm.clone.plan("copy", **asked)
    before = look(lab)
    fill((12 if kind == "writing" else 2) << 20)  # less than a copy takes, more than the guest's journal grows by
    try:
        lab.carry_out(plan)
        error = None
    except LabError as caught:
        error = caught
    free()
    after = look(lab)
    answer = {"error": type(error).__name__, "message": error and error.message, "hint": error and error.hint,
              "before": before, "after": after}
    assert (vm.state == "running") == (kind in ("running", "writing")), (vm.state, vm.facts.reason, answer)
    vm.clone("later", **asked)
    lab.clean()
print(json.dumps(answer))
"""


@pytest.mark.parametrize("kind", ["copied", "converted", "running", "writing", "instant"])
def test_a_host_that_fills_up_takes_the_clone_back(tmp_path: Path, guest_images: Path, kind: str) -> None:
    answer = run_on_small_disk(CODE, tmp_path, "320m", kind, own=Instance(guest_images))
    assert answer["error"] == "NoSpace"
    assert "No space left" in answer["message"]
    assert "taken back" in answer["hint"]
    assert answer["after"] == answer["before"]
