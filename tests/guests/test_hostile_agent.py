"""A real guest whose agent is somebody else: it speaks on the same port, and answers as it likes.

Whatever it does, who asks it is told in time, and once the agent that the image brings is back, it is heard again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from labkit.errors import GuestError, LabError
from labkit.machine import Machine

LIMIT = 2
"""Seconds that a call is given."""

SLACK = 60
"""Seconds of a busy host that it may take longer: the hypervisor asks the agent first whether it is in step."""

HOSTILE = r"""
kind=$1
echo $$ >/run/hostile.pid
for port in /sys/class/virtio-ports/*; do
    read -r name <"$port/name"
    [ "$name" = org.qemu.guest_agent.0 ] && break
done
number() { case $line in *'"id":'*) id=${line##*'"id":'}; id=${id%%\}*} ;; esac; }
serve() {
printf 'the other agent %s\n' stands >/dev/console
while :; do
    read -r line <&3 || { usleep 10000; continue; }  # the host's end is not joined yet
    number
    case $kind-$line in
        deaf-*) ;;
        *guest-sync*) echo "{\"return\": $id}" >&3 ;;
        noise-*) head -c 3000 /dev/urandom >&3; echo >&3 ;;
        number-*) echo '{"return": 5}' >&3 ;;
        odd-error-*) echo '{"error": {"class": [], "desc": {"a": 1}}}' >&3 ;;
        deep-*) { printf '{"return": '; yes '[' | head -n 100000 | tr -d '\n'; echo; } >&3 ;;
        halves-*) printf '{"return": {"pid": "\\ud800", "exited": "\\udfff"}}\n' >&3 ;;
        long-*) { printf '{"return": "'; head -c 6000000 /dev/zero | tr '\0' x; echo '"}'; } >&3 ;;
        endless-*) head -c 30000000 /dev/zero | tr '\0' x >&3 ;;
        large-pid-*) echo '{"return": {"pid": 99999999999999999999999999, "exited": 1e999}}' >&3 ;;
        never-*guest-exec-status*) echo '{"return": {"exited": false}}' >&3 ;;
        never-*guest-exec*) echo '{"return": {"pid": 1}}' >&3 ;;
        liar-*guest-exec-status*) echo '{"return": {"exited": true, "exitcode": -1, "out-data": "%%%"}}' >&3 ;;
        liar-*guest-exec*) echo '{"return": {"pid": 1}}' >&3 ;;
        frozen-*fsfreeze-freeze*) echo '{"return": "all"}' >&3 ;;
        frozen-*fsfreeze-thaw*) echo '{"return": -5}' >&3 ;;
        *) echo '{"return": {}}' >&3 ;;
    esac
done
}
until serve 3<>"/dev/${port##*/}"; do killall qemu-ga; usleep 10000; done 2>/dev/null
"""

ANSWERS = ("deaf", "noise", "number", "odd-error", "deep", "halves", "long", "endless", "large-pid", "never", "liar")
"""What it answers; `test_answers.py` has many more, for the functions that read them."""


@contextmanager
def another_agent(vm: Machine, kind: str) -> Iterator[None]:
    """Let a guest have another agent; afterwards its own is back, and is heard."""
    vm.run("cat >/run/hostile", stdin=HOSTILE.encode())
    here = vm.console.send(f"setsid sh /run/hostile {kind} &")
    vm.console.expect("the other agent stands", position=here)
    try:
        yield
    finally:
        here = vm.console.send("kill -9 -$(cat /run/hostile.pid); echo it is gone, $((1 + 1))")
        vm.console.expect("it is gone, 2", position=here)
        vm.wait_ready(timeout=120)
    assert vm.run("echo heard").stdout == "heard\n"


def in_time(call: Callable[[], object]) -> None:
    """Make a call that may fail, in words and soon."""
    began = time.monotonic()
    with suppress(LabError):
        call()
    assert time.monotonic() - began < LIMIT + SLACK


@pytest.mark.parametrize("kind", ANSWERS)
def test_who_asks_an_agent_that_answers_as_it_likes_is_told_in_time(shared_guest: Machine, kind: str) -> None:
    with another_agent(shared_guest, kind):
        began = time.monotonic()
        with pytest.raises(LabError) as told:
            shared_guest.run("true", timeout=LIMIT)
        assert shared_guest.name in told.value.message
        assert told.value.hint
        assert time.monotonic() - began < LIMIT + SLACK
        in_time(lambda: shared_guest.run("cat", stdin=b"x" * 100_000, timeout=LIMIT))
        in_time(lambda: shared_guest.wait_ready(timeout=LIMIT))


def test_an_answer_that_is_none_is_named_as_such(shared_guest: Machine) -> None:
    with another_agent(shared_guest, "number"), pytest.raises(GuestError, match="answered something it should not"):
        shared_guest.run("true", timeout=LIMIT)


@pytest.mark.parametrize("kind", ["deaf", "noise", "frozen", "never"])
def test_acts_that_ask_the_agent_end_all_the_same(shared_guest: Machine, kind: str) -> None:
    """Each may go on without it, or says why it does not; the disks stay what they were."""
    lab = shared_guest.lab
    disk = lab.disks.create("more", capacity="1 MiB")
    with another_agent(shared_guest, kind):
        in_time(lambda: shared_guest.attach(disk))
        in_time(lambda: shared_guest.snapshots.take("one", timeout=LIMIT + SLACK))
        in_time(lambda: shared_guest.detach("more"))
        in_time(lambda: shared_guest.clone("other", kind="full", timeout=LIMIT + SLACK))
        assert shared_guest.state == "running"
    if "other" in lab.machines:
        lab.machines["other"].delete()
    if lab.disks["more"].facts.machine is not None:
        shared_guest.detach("more")
    lab.disks["more"].delete()
    if "one" in shared_guest.snapshots:
        shared_guest.snapshots.delete("one")
