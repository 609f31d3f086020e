"""Switching a real guest: its state, the reason, and what goes on inside."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from labkit.engine.progress import OnProgress, _watches, watch_with
from labkit.errors import Cancelled, GuestSilent, WrongState
from labkit.lab import Lab
from labkit.machine import Machine
from labkit.model.machine import MachineState, Reason
from labkit.widgets.plain import show

OFF, RUNNING, PAUSED, SAVED = MachineState
COUNTER = (
    "(n=0; while :; do n=$((n+1)); echo $n >/run/next; mv /run/next /run/counter; sleep 0.05; done)"
    " >/dev/null 2>&1 </dev/null & until [ -e /run/counter ]; do sleep 0.05; done"
)


def stop_the_agent(vm: Machine) -> None:
    """Let the guest's agent hang; the guest itself goes on."""
    type_in(vm, "kill -STOP $(pidof qemu-ga) && echo the agent 'hangs'")
    vm.console.expect("the agent hangs")


def type_in(vm: Machine, line: str) -> None:
    """Type on the console what must not be asked of the agent: it could not answer any more."""
    vm.console.send("")  # a guest that goes on from a kept memory has printed its prompt before
    vm.console.expect("root@", timeout=90)  # the agent answers before the shell stands
    vm.console.send(line)


def counter(vm: Machine) -> int:
    return int(vm.run("cat /run/counter").stdout)


def stands(vm: Machine) -> tuple[MachineState, Reason]:
    return vm.state, vm.reason


def test_a_started_guest_runs_as_a_process_of_the_host(off: Machine) -> None:
    ready = off.start().wait_ready()
    assert stands(ready) == (RUNNING, Reason.BOOTED)
    process = ready.process
    assert process is not None
    assert psutil.pid_exists(process.pid)
    assert process.guest_memory == ready.memory
    assert process.guest_memory_resident is not None
    assert 0 < process.guest_memory_resident <= process.guest_memory
    usage = ready.lab.usage()[ready.id]
    assert usage.state is RUNNING
    assert usage.cpu_time > 0
    assert usage.memory > 0
    assert usage.read_bytes > 0


def test_a_paused_guest_stands_still_and_goes_on(ready: Machine) -> None:
    ready.run(COUNTER)
    ready.pause()
    assert stands(ready) == (PAUSED, Reason.BY_USER)
    with pytest.raises(WrongState, match="web is paused"):
        ready.run("true")
    with pytest.raises(WrongState, match="web is paused"):
        ready.stop()
    ready.resume()
    assert stands(ready) == (RUNNING, Reason.BY_USER)
    before = counter(ready)
    assert ready.run(f"until [ $(cat /run/counter) -gt {before} ]; do sleep 0.05; done; echo on")


def test_a_saved_guest_goes_on_from_that_instant(ready: Machine) -> None:
    ready.run("echo precious >/run/in-memory")
    boot = ready.run("cat /proc/sys/kernel/random/boot_id").stdout
    ready.save()
    assert stands(ready) == (SAVED, Reason.SAVED)
    assert ready.process is None
    with pytest.raises(WrongState, match="web is saved"):
        ready.kill()
    ready.start().wait_ready()
    assert stands(ready) == (RUNNING, Reason.RESTORED)
    assert ready.run("cat /run/in-memory").stdout == "precious\n"
    assert ready.run("cat /proc/sys/kernel/random/boot_id").stdout == boot


def test_the_agent_shuts_the_guest_down_and_what_was_written_is_kept(ready: Machine) -> None:
    ready.run("echo kept >/root/note")
    assert stands(ready.stop()) == (OFF, Reason.SHUT_DOWN)
    assert ready.process is None
    assert ready.stop().state is OFF
    assert ready.start().wait_ready().run("cat /root/note").stdout == "kept\n"


def test_without_an_answer_of_the_agent_the_power_button_is_pressed(ready: Machine) -> None:
    stop_the_agent(ready)
    assert stands(ready.stop(timeout=90)) == (OFF, Reason.SHUT_DOWN)


def test_cutting_the_power_ends_the_guest_at_once(ready: Machine) -> None:
    assert stands(ready.kill()) == (OFF, Reason.KILLED)
    assert ready.process is None
    assert ready.kill().state is OFF


def test_a_guest_that_somebody_is_about_to_start_is_waited_for(off: Machine) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(off.wait_ready)
        off.start()
        assert waiting.result().state is RUNNING


def test_a_guest_that_never_answers_costs_no_more_than_the_time_limit(off: Machine) -> None:
    off.start()
    with pytest.raises(GuestSilent, match="web is running but has not answered") as caught:
        off.wait_ready(timeout=0.2)
    assert "kill()" in caught.value.hint
    assert off.state is RUNNING


def test_a_guest_whose_agent_hangs_is_silent_and_still_there(ready: Machine) -> None:
    stop_the_agent(ready)
    with pytest.raises(GuestSilent, match="web") as caught:
        ready.run("true", timeout=2)
    assert caught.value.hint
    with pytest.raises(GuestSilent) as caught:
        ready.wait_ready(timeout=2)
    assert "the agent hangs" in caught.value.details
    assert ready.kill().state is OFF


def test_a_guest_that_ends_while_it_is_waited_for_is_told(off: Machine) -> None:
    off.start()
    process = off.process
    assert process is not None
    os.kill(process.pid, 9)
    with pytest.raises(WrongState) as caught:
        off.wait_ready()
    assert "web" in caught.value.message


def test_a_guest_that_is_paused_while_it_is_waited_for_is_told_in_whole_words(off: Machine) -> None:
    off.start()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(off.wait_ready)
        off.pause()
        with pytest.raises(WrongState) as caught:
            waiting.result()
    assert "paused" in caught.value.message
    assert "()" not in caught.value.message
    assert "resume()" in caught.value.hint
    assert off.resume().wait_ready().state is RUNNING


def test_a_start_that_is_interrupted_ends_in_a_sentence_that_says_where_the_machine_is(off: Machine) -> None:
    @contextmanager
    def interrupting(title: str, bytes_copied: int, cancel: threading.Event | None) -> Iterator[OnProgress]:
        with show(title, bytes_copied, cancel) as report:
            os.kill(os.getpid(), signal.SIGINT)  # as the notebook's own button does
            yield report

    watch_with(interrupting)
    try:
        with pytest.raises(Cancelled, match="Starting web was cancelled"):
            off.start()
    finally:
        _watches.clear()
    assert off.state is OFF


def test_a_start_that_is_cancelled_when_it_has_begun_says_that_the_machine_runs(off: Machine) -> None:
    class Begun(threading.Event):
        """Set from the instant on in which the guest runs."""

        def is_set(self) -> bool:
            return off.state is RUNNING

    with pytest.raises(Cancelled, match="interrupted when it had begun: web is running") as caught:
        off.start(cancel=Begun())
    assert "stop(), kill()" in caught.value.hint
    assert off.kill().state is OFF


def test_a_panic_is_heard_of_through_its_device(ready: Machine) -> None:
    ready.run("until grep -q pvpanic /proc/modules; do sleep 0.1; done")
    type_in(ready, "sleep 1; echo c >/proc/sysrq-trigger")
    ready.wait_for("off")
    assert ready.reason is Reason.CRASHED
    assert "panic" in ready.console.tail(200).lower()


def test_pinned_cpus_stay_on_their_cpu_now_and_after_a_restart(ready: Machine) -> None:
    ready.pin(0)
    assert vcpu_affinity(ready) == {0}
    assert ready.facts.spec.pinned_to == 0
    ready.kill().start()
    assert vcpu_affinity(ready) == {0}
    ready.pin(None)
    assert vcpu_affinity(ready) == set(range(psutil.cpu_count() or 1))
    assert ready.kill().facts.spec.pinned_to is None


def vcpu_affinity(vm: Machine) -> set[int]:
    """The host's CPUs on which the threads of the guest's CPUs may run."""
    process = vm.process
    assert process is not None
    threads = []
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        with suppress(OSError):  # others come and go
            if (task / "comm").read_text().startswith("CPU "):
                threads.append(int(task.name))
    assert threads
    return set().union(*(os.sched_getaffinity(thread) for thread in threads))


def test_without_the_device_nobody_hears_of_a_panic_and_the_guest_is_silent(lab: Lab) -> None:
    vm = lab.create("mute", panic_device=False).start().wait_ready()
    type_in(vm, "sleep 1; echo c >/proc/sysrq-trigger")
    vm.console.expect("end Kernel panic", timeout=90)
    assert vm.state is RUNNING
    with pytest.raises(GuestSilent):
        vm.wait_ready(timeout=2)
