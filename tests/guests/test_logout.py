"""A logout while guests run: the daemon is gone, the runtime folder emptied. Nothing takes the guests for off.

Each runs in a home and a process of its own: the tests' daemon must not be lost.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from labkit import Lab
from labkit.cli import main
from labkit.errors import LabError, Refused, WrongState
from labkit.hypervisor.inquiry import find_daemon
from labkit.hypervisor.process import find_pid
from labkit.model.machine import MachineState, Reason
from labkit.storage.image_locks import is_held
from labkit.widgets import LabPanel, MachinePanel
from tests.instance import ROOT, Instance


def run_alone(images: Path, name: str) -> None:
    """Run a function of this module in a home of its own."""
    own = Instance(images)
    code = f"from labkit import Lab; from tests.guests import test_logout as t\nwith Lab.open() as lab: t.{name}(lab)"
    try:
        with own.in_force():
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=400
            )
        assert done.returncode == 0, done.stderr
    finally:
        own.end()


def log_out(lab: Lab) -> None:
    """What the end of a login does: all in the runtime folder goes, and the daemon ends; this kernel sees it."""
    daemon = find_daemon(lab.uri)
    assert daemon is not None
    runtime = Path(os.environ["XDG_RUNTIME_DIR"])
    for path in runtime.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    process = psutil.Process(daemon)
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def lost_guest(lab: Lab) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB").start()
    disk = vm.facts.spec.disks[0].path
    pid = find_pid(vm.id)
    assert pid is not None
    log_out(lab)

    assert (vm.state, vm.reason) == (MachineState.RUNNING, Reason.OUT_OF_REACH)
    assert vm.facts.process == pid
    assert f"process {pid}" in repr(vm)
    assert "out of reach" in repr(lab.machines)
    assert main(["list"]) == 0
    for panel in (LabPanel(lab), MachinePanel(vm)):
        shown: Any = panel._repr_mimebundle_()
        assert str(pid) in str(shown)
    with pytest.raises(WrongState, match=str(pid)):
        vm.start()
    for call in (vm.pause, vm.save, vm.stop, lambda: vm.run("true")):
        with pytest.raises(LabError, match=str(pid)):
            call()
    acts = (
        vm.delete,
        lab.clean,
        lambda: vm.configure(memory="32 MiB"),
        lambda: vm.snapshots.take("s"),
        lambda: lab.create("web", image="sector", memory="16 MiB", if_exists="replace"),
    )
    for act in acts:
        with pytest.raises(Refused, match=str(pid)):
            act()
    assert psutil.pid_exists(pid)
    assert Path(disk).exists()
    assert is_held(disk)
    assert "kill()" in str(vm.delete.plan().refusal)

    other = lab.create("other", image="sector", memory="16 MiB")  # who is not concerned goes on
    other.start().kill()
    vm.kill()
    assert not is_held(disk)
    assert vm.state is MachineState.OFF
    vm.start().kill()
    vm.delete()
    lab.clean()


def saved_guest(lab: Lab) -> None:
    """A machine that was saved and started again, and then lost: its old memory is not what it is."""
    vm = lab.create("web", image="sector", memory="16 MiB").start()
    vm.save()
    vm.start()
    log_out(lab)
    assert (vm.state, vm.reason) == (MachineState.RUNNING, Reason.OUT_OF_REACH)
    vm.kill()
    assert vm.state is not MachineState.RUNNING
    lab.clean()


def lost_at_the_neighbour(lab: Lab) -> None:
    """A neighbour's runtime folder is emptied, too: its daemon knows its guest no more."""
    vm = lab.create("web", image="sector", memory="16 MiB").start()
    other = lab.neighbour()
    vm.migrate(other)
    assert not lab.state.elsewhere["web"].is_out_of_reach
    pid = find_pid(vm.id)
    assert pid is not None
    runtime = other.session.connection.runtime
    daemon = find_daemon(other.uri)
    assert runtime is not None
    assert daemon is not None
    for path in runtime.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    process = psutil.Process(daemon)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert (vm.state, vm.reason) == (MachineState.RUNNING, Reason.OUT_OF_REACH)
    assert lab.state.elsewhere["web"].process == pid
    with pytest.raises(Refused, match=str(pid)):
        lab.clean()
    vm.kill()
    lab.clean()


@pytest.mark.parametrize("name", ["lost_guest", "saved_guest", "lost_at_the_neighbour"])
def test_a_guest_that_the_daemon_has_lost_is_running_out_of_reach(name: str, guest_images: Path) -> None:
    run_alone(guest_images, name)


def test_a_tool_that_works_on_an_image_is_no_guest(lab: Lab) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB")
    disk = vm.facts.spec.disks[0]
    argv = ["qemu-io", "-f", disk.format.driver, disk.path]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tool:
        assert tool.stdin is not None
        assert tool.stdout is not None
        tool.stdin.write("length\n")
        tool.stdin.flush()
        tool.stdout.readline()
        assert is_held(disk.path)
        assert (vm.state, vm.reason is Reason.OUT_OF_REACH) == (MachineState.OFF, False)
        tool.stdin.close()
