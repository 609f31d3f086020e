"""Saving that cannot be done: one clear error, the guest goes on, and no half file stays."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import libvirt
import libvirt_qemu
import pytest

from labkit import Lab
from labkit.engine.progress import OnProgress, Progress, _watches, watch_with
from labkit.errors import Cancelled, LabError, TimedOut, WrongState
from labkit.machine import Machine
from labkit.model.machine import MachineState
from labkit.units import MIB
from labkit.widgets.plain import show
from tests.instance import Instance
from tests.small_disk import run_on_small_disk

# libvirt writes saved memory below its configuration; there a file system too small for it is put, in a namespace of
# its own with a daemon of its own.
CODE = """
with Lab.open("full") as lab:
    guest = lab.create("web").start().wait_ready()
    guest.run("echo kept >/run/note")
    try:
        guest.save()
        error = None
    except LabError as caught:
        error = caught
    answer = {"error": type(error).__name__, "message": error and error.message, "hint": error and error.hint,
              "state": guest.state, "files": [path.name for path in home.iterdir()],
              "note": guest.run("cat /run/note").stdout}
    lab.clean()
print(json.dumps(answer))
"""


TRIES = 5
BALLAST = "dd if=/dev/urandom of=/run/ballast bs=1M count=50"
"""Gives a guest's memory something that takes its time to be written."""


def saved_files(lab: str = "used-test_saving") -> list[Path]:
    return list((Path(os.environ["XDG_CONFIG_HOME"]) / "libvirt/qemu/save").glob(f"*{lab}*"))


@pytest.mark.parametrize("died", ["at the end of a save", "at the end of a start"])
@pytest.mark.parametrize("at", ["the next opening", "the next switching"])
def test_memory_that_a_guest_went_on_from_is_not_taken_up_once_more(
    lab: Lab, instance: Instance, at: str, died: str
) -> None:
    """A daemon that dies then leaves all of the memory, and the next one lets the guest go on."""
    vm = lab.create("web", image="sector", memory="16 MiB").start()
    vm.save()
    (file,) = saved_files(f"{lab.name}.")
    memory, written = file.read_bytes(), file.stat()
    vm.start()
    file.write_bytes(memory)
    if died == "at the end of a start":
        os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns))
    daemon = instance.daemon()
    daemon.kill()
    daemon.wait(60)
    if at == "the next opening":
        with Lab.open(lab.name) as again:
            assert any("web was cut short" in sentence for sentence in again.recovered)
        assert not saved_files(f"{lab.name}.")
    vm.kill()
    assert vm.state is MachineState.OFF
    assert not saved_files(f"{lab.name}.")


def test_memory_that_a_guest_has_not_gone_on_from_stays(lab: Lab, instance: Instance) -> None:
    """The daemon died when the guest had taken its memory up, and stood still as it was saved."""
    vm = lab.create("web", image="sector", memory="16 MiB").start().pause()
    vm.save()
    (file,) = saved_files(f"{lab.name}.")
    memory, written = file.read_bytes(), file.stat()
    vm.start()
    file.write_bytes(memory)
    os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns))
    daemon = instance.daemon()
    daemon.kill()
    daemon.wait(60)
    with Lab.open(lab.name):
        pass
    assert saved_files(f"{lab.name}.")
    vm.resume()
    vm.kill()
    assert vm.state is MachineState.OFF


def test_memory_that_a_machine_is_to_take_up_stays(lab: Lab, instance: Instance) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB").start()
    vm.save()
    daemon = instance.daemon()
    daemon.kill()
    daemon.wait(60)
    with Lab.open(lab.name):
        pass
    assert vm.state is MachineState.SAVED
    vm.start()
    assert not saved_files(f"{lab.name}.")


def test_a_guest_that_is_killed_while_it_is_saved_is_told_as_that(lab: Lab) -> None:
    vm = lab.create("web", memory="256 MiB").start().wait_ready()
    vm.run(BALLAST)
    process = vm.process
    assert process is not None
    saving = threading.Event()

    def kill_in_the_middle() -> None:
        while not any(file.stat().st_size for file in saved_files(f"{lab.name}.")) and not saving.is_set():
            pass
        os.kill(process.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_in_the_middle)
    killer.start()
    try:
        with pytest.raises(WrongState, match="went off before its memory was saved"):
            vm.save()
    finally:
        saving.set()
        killer.join()
    assert vm.state is MachineState.OFF
    assert not saved_files(f"{lab.name}.")


def test_a_host_without_room_for_the_memory_leaves_the_guest_running(guest_images: Path) -> None:
    own = Instance(guest_images)
    folder = Path(own.environment["XDG_CONFIG_HOME"]) / "libvirt/qemu/save"
    folder.mkdir(parents=True)
    answer = run_on_small_disk(CODE, folder, "4m", own=own)
    assert answer["error"] == "NoSpace"
    assert answer["message"].startswith("web cannot be saved")
    assert "running as before" in answer["hint"]
    assert (answer["state"], answer["files"], answer["note"]) == ("running", [], "kept\n")


def test_a_time_limit_leaves_the_guest_running(ready: Machine) -> None:
    ready.run(BALLAST)
    told_so = _save_in_vain(ready, TimedOut, timeout=0.001)
    assert "running as before" in told_so.message
    assert "timeout=" in told_so.hint
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
    told_so = _save_in_vain(ready, TimedOut, timeout=0.001)
    assert "paused as before" in told_so.message
    assert ready.state is MachineState.PAUSED
    assert saved_files() == []
    assert ready.resume().run("rm /run/ballast")


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
def test_interrupted_while_its_memory_is_written_it_goes_on_as_before(ready: Machine, paused: bool) -> None:
    told = ready.run(f"{BALLAST} 2>/dev/null; cksum /run/ballast").stdout
    before = ready.pause().state if paused else ready.state
    far: list[Progress] = []

    @contextmanager
    def interrupting(title: str, bytes_copied: int, cancel: threading.Event | None) -> Iterator[OnProgress]:
        asked = threading.Event()
        with show(title, bytes_copied, cancel) as report:

            def hear(progress: Progress) -> None:
                report(progress)
                far.append(progress)
                if 0 < progress.done < progress.total and not asked.is_set():
                    asked.set()
                    os.kill(os.getpid(), signal.SIGINT)  # as the notebook's own button does, and Cancel in the box

            yield hear

    watch_with(interrupting)
    try:
        told_so = _save_in_vain(ready, Cancelled)
    finally:
        _watches.clear()
    assert (told_so.message, told_so.hint) == ("Saving web was cancelled.", f"It is {before} as before.")
    assert any(0 < progress.done < progress.total for progress in far)
    assert ready.state is before
    assert saved_files() == []
    if paused:
        ready.resume()
    assert ready.save().start().wait_ready().run("cksum /run/ballast; rm /run/ballast").stdout == told


def _save_in_vain(vm: Machine, why: type[LabError], timeout: float = 120) -> LabError:
    """Save it slowly, to be told that it was in vain; where it was done before anybody could end it, once more."""
    for _try in range(TRIES):
        try:
            with slowed_down(vm):
                vm.save(timeout=timeout)
        except why as told_so:
            return told_so
        vm.start()
    raise AssertionError("nothing was in the way of its saving")


@contextmanager
def slowed_down(vm: Machine) -> Iterator[None]:
    """Let QEMU write 16 MiB of the memory a second, so that there is a middle; libvirt begins by lifting all limits."""
    text = json.dumps({"execute": "migrate-set-parameters", "arguments": {"max-bandwidth": 16 << 20}})
    domain = vm.lab.session.connection.raw().lookupByUUIDString(vm.id)
    ended = threading.Event()

    def hold_back() -> None:
        with suppress(libvirt.libvirtError):  # it has ended
            while not ended.wait(0.005):
                libvirt_qemu.qemuMonitorCommand(domain, text, 0)

    thread = threading.Thread(target=hold_back)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_disk_that_grows_while_its_machine_is_saved_is_seen_by_the_guest_when_it_boots(lab: Lab) -> None:
    vm = lab.create("web").start().wait_ready()
    vm.attach(lab.disks.create("data", capacity="8 MiB"))
    vm.save()
    assert any("when it boots" in note for note in lab.disks["data"].resize.plan("16 MiB").notes)
    lab.disks["data"].resize("16 MiB")
    vm.start()
    sectors = "cat /sys/block/vdb/size"
    assert int(vm.run(sectors).stdout) * 512 == 8 * MIB
    vm.stop()
    vm.start().wait_ready()
    assert int(vm.run(sectors).stdout) * 512 == 16 * MIB
