"""Saving that cannot be done: one clear error, the guest goes on, and no half file stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import TimedOut, WrongState
from labkit.machine import Machine
from labkit.model.machine import MachineState
from tests.instance import Instance

# libvirt writes saved memory below its configuration; there a file system too small for it is put, in a namespace of
# its own with a daemon of its own.
CODE = """
import json, os, subprocess
from pathlib import Path
from labkit import Lab
from labkit.errors import LabError

folder = Path(os.environ["XDG_CONFIG_HOME"]) / "libvirt/qemu/save"
folder.mkdir(parents=True)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
with Lab.open("full") as lab:
    guest = lab.create("web").start().wait_ready()
    guest.run("echo kept >/run/note")
    try:
        guest.save()
        error = None
    except LabError as caught:
        error = caught
    answer = {"error": type(error).__name__, "message": error and error.message, "hint": error and error.hint,
              "state": guest.state, "files": [path.name for path in folder.iterdir()],
              "note": guest.run("cat /run/note").stdout}
    lab.clean()
print(json.dumps(answer))
"""


BALLAST = "dd if=/dev/urandom of=/run/ballast bs=1M count=50"
"""Gives a guest's memory something that takes its time to be written."""


def saved_files() -> list[Path]:
    return list((Path(os.environ["XDG_CONFIG_HOME"]) / "libvirt/qemu/save").glob("*used-test_saving*"))


def test_a_host_without_room_for_the_memory_leaves_the_guest_running(guest_images: Path) -> None:
    own = Instance(guest_images)
    namespace = ["unshare", "--user", "--map-current-user", "--mount", "--keep-caps", "--"]
    try:
        with own.in_force():
            done = subprocess.run(
                [*namespace, sys.executable, "-c", CODE], capture_output=True, text=True, check=False, timeout=400
            )
    finally:
        own.end()
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["error"] == "NoSpace"
    assert answer["message"].startswith("web cannot be saved")
    assert "running as before" in answer["hint"]
    assert (answer["state"], answer["files"], answer["note"]) == ("running", [], "kept\n")


def test_a_time_limit_leaves_the_guest_running(ready: Machine) -> None:
    ready.run(BALLAST)
    with pytest.raises(TimedOut, match="running as before") as caught:
        ready.save(timeout=0.001)
    assert "timeout=" in caught.value.hint
    assert ready.state is MachineState.RUNNING
    assert ready.run("rm /run/ballast")
    assert saved_files() == []


def test_a_paused_guest_whose_memory_was_kept_is_told_to_go_on_first(lab: Lab) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB").start()
    vm.pause()
    vm.snapshots.take("kept")
    acts: list[Callable[[], object]] = [vm.save, lambda: vm.migrate(lab.neighbour())]
    for act in acts:
        with pytest.raises(WrongState, match="only once while it is paused") as caught:
            act()
        assert "resume()" in caught.value.hint
        assert vm.state is MachineState.PAUSED
    vm.resume()
    vm.pause()
    assert vm.save().state is MachineState.SAVED


def test_a_time_limit_leaves_a_paused_guest_paused(ready: Machine) -> None:
    ready.run(BALLAST)
    ready.pause()
    with pytest.raises(TimedOut, match="paused as before"):
        ready.save(timeout=0.001)
    assert ready.state is MachineState.PAUSED
    assert saved_files() == []
    assert ready.resume().run("rm /run/ballast")
