"""The host's disk is full at some stage of an act on snapshots: a clear error, nothing lost, no half file.

The lab is on a small file system of its own, in a namespace with a daemon of its own, so that the hypervisor meets
the same full disk as we do.
"""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.instance import Instance
from tests.small_disk import run_on_small_disk

# Run in the namespace: each act once for each amount of room that is left when it begins.
CODE = """
from tests.snapshots.checkpoint import Checkpoint
from tests.snapshots.standing import Eye, without_layers, without_new_memory
from tests.snapshots.test_full_host import ACTS, grow

def outcome(request):
    world.install(stands)
    lab.carry_out(eval(request, {"vm": vm}))
    return without_new_memory(eye.look(), before)

answers = []
with Lab.open("full", home=home) as lab:
    vm = lab.create("web", image="sector", memory="32 MiB")
    vm.attach(lab.disks.create("data", capacity="4 MiB"))
    grow(vm)
    (home / "kept").mkdir()
    world, eye = Checkpoint(lab, home / "kept"), Eye(lab)
    for act, (stands, request, rooms) in ACTS.items():
        world.install(stands)
        before = eye.look()
        ends = {"before": before, "after": outcome(request)}
        for room in rooms:
            world.install(stands)
            plan = eval(request, {"vm": vm})
            fill(room)
            error = None
            try:
                lab.carry_out(plan)
            except LabError as caught:
                error = caught
            free()
            with Lab.open("full", home=home) as again:
                told = again.recovered
            now = without_new_memory(eye.look(), before)
            if without_layers(now) == without_layers(ends["after"]):
                ends["after, not all merged"] = now
            answers.append({
                "act": act, "room": room, "told": told, "error": type(error).__name__ if error else "",
                "hint": error.hint if error else "",
                "ended": next((name for name, end in ends.items() if end == now), str(now)),
            })
    lab.clean()
print(json.dumps(answers))
"""

OFF = (0, 4 << 10, 256 << 10, 640 << 10)
RUNNING = (0, 420 << 10, 1 << 20, 6 << 20)

ACTS = {
    "take, off": ("off", 'vm.snapshots.take.plan("new")', OFF),
    "take, running": ("running", 'vm.snapshots.take.plan("new")', RUNNING),
    "restore, off": ("off", 'vm.snapshots.restore.plan("a")', OFF),
    "restore and save, running": ("running", 'vm.snapshots.restore.plan("c", save_current="new")', RUNNING),
    "delete and merge, off": ("off", 'vm.snapshots.delete.plan("b")', (*OFF, 6 << 20)),
    "delete and merge, running": ("running", 'vm.snapshots.delete.plan("c")', RUNNING),
    "rename, off": ("off", 'vm.snapshots.rename.plan("a", "new")', OFF[:2]),
}
"""What is done, by name: how the machine stands, Python for the plan, and the bytes that are left when it begins."""


def grow(vm: Any) -> None:
    """A → b → c, the last one taken while it ran; b and c hold megabytes that a merge must move."""
    for value, name in enumerate(("a", "b"), 1):
        _write_much(vm, value)
        vm.snapshots.take(name)
    _write_much(vm, 3)
    vm.start().wait_ready()
    vm.snapshots.take("c")


def _write_much(vm: Any, value: int) -> None:
    (disk,) = [disk for disk in vm.facts.spec.disks if disk.name == "data"]
    argv = ["qemu-io", "-f", disk.format.driver, "-c", f"write -P {value} {value - 1}M 2M", disk.path]
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture(scope="module")
def answers(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What became of each act with each amount of room."""
    home = tmp_path_factory.mktemp("full")
    found: list[dict[str, Any]] = run_on_small_disk(CODE, home, "200m", own=Instance(instance.images))
    return found


@pytest.mark.parametrize("act", ACTS)
def test_an_act_on_a_full_host_ends_before_or_after_and_says_what_is_wrong(
    answers: list[dict[str, Any]], act: str
) -> None:
    mine = [answer for answer in answers if answer["act"] == act]
    assert [answer["room"] for answer in mine] == list(ACTS[act][2])
    assert mine[0]["ended"] == "before"
    assert mine[-1]["ended"] == "after" or act == "rename, off"
    for answer in mine:
        assert answer["ended"] in ("before", "after", "after, not all merged"), answer
        assert answer["error"] in ("", "NoSpace"), answer
        assert bool(answer["error"]) == (answer["ended"] == "before"), answer
        assert "all is as before" in answer["hint"] or not answer["error"] or answer["room"] == 0, answer
