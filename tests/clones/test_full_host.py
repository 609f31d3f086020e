"""The host's disk fills up in the middle of a clone: one clear error, and nothing is left of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.instance import Instance

# A file system of 320 MiB in a namespace of its own; the ballast leaves room for the plan, and later takes it.
CODE = """
import json, os, subprocess, sys
from pathlib import Path
from labkit import Lab
from labkit.errors import LabError

home, kind = Path(sys.argv[1]), sys.argv[2]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=320m", "tmpfs", home], check=True)

def fill(left):
    info = os.statvfs(home)
    with open(home / "ballast", "wb") as file:
        file.write(bytes(info.f_bavail * info.f_frsize - left))

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
    (home / "ballast").unlink()
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
    own = Instance(guest_images)  # its daemon is started in the namespace, so the hypervisor meets the full disk too
    namespace = ["unshare", "--user", "--map-current-user", "--mount", "--keep-caps", "--"]
    said = own.folder / "said"
    try:
        with own.in_force(), said.open("w") as output:  # no pipe: its guests would hold it open after a failure
            argv = [*namespace, sys.executable, "-c", CODE, str(tmp_path), kind]
            done = subprocess.run(argv, stdout=output, stderr=subprocess.STDOUT, check=False, timeout=400)
        text = said.read_text()
    finally:
        own.end()
    assert done.returncode == 0, text
    answer: dict[str, Any] = json.loads(text.splitlines()[-1])
    assert answer["error"] == "NoSpace"
    assert "No space left" in answer["message"]
    assert "taken back" in answer["hint"]
    assert answer["after"] == answer["before"]
