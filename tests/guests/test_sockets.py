"""Guests in a home with a long name: every way to a running machine leads to an agent that answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import HostTrouble, Refused
from labkit.hypervisor.domain_xml import build_domain_xml
from labkit.hypervisor.sockets import SOCKET_LIMIT, agent_socket, find_agent_socket, monitor_socket
from labkit.machine import Machine
from tests.instance import ROOT, Instance

LONG = 44
"""Bytes of a configuration folder below which every machine starts, and the agent's path of old does not fit."""


def long_home(images: Path, length: int) -> Instance:
    """An instance with a configuration folder of that many bytes."""
    own = Instance(images)
    folder = own.folder / "".ljust(length - len(str(own.folder)) - 1, "h")
    folder.mkdir(mode=0o700)
    own.environment["XDG_CONFIG_HOME"] = str(folder)
    return own


def run_far(images: Path, length: int, name: str) -> None:
    """Run a function of this module in such a home: a process learns only once where its runtime folder is."""
    own = long_home(images, length)
    code = f"from labkit import Lab; from tests.guests import test_sockets as t\nwith Lab.open() as lab: t.{name}(lab)"
    try:
        with own.in_force():
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=500
            )
        assert done.returncode == 0, done.stderr
    finally:
        own.end()


def live_socket(vm: Machine) -> str | None:
    return find_agent_socket(vm.lab.session.domains.xml(vm.id, persistent=False))


def expected(vm: Machine) -> str:
    assert vm.lab.session.connection.runtime is not None
    return str(agent_socket(vm.id, vm.lab.session.connection.runtime))


def answers(vm: Machine) -> bool:
    """Whether its agent answers, on a path that is the machine's own on this instance."""
    return vm.wait_ready().run("echo there").stdout == "there\n" and live_socket(vm) == expected(vm)


def every_way(far: Lab) -> None:
    vm = far.create("a-name-of-more-than-twenty-letters")
    vm.start()
    assert answers(vm)
    vm.snapshots.take("warm")
    vm.save()
    vm.start()
    assert answers(vm)
    vm.snapshots.restore("warm")
    assert answers(vm)
    wake = vm.clone("wake", kind="linked", snapshot="warm", instant=True)
    assert far.history[-1].remarks == ()
    assert isinstance(wake, Machine)
    assert answers(wake)
    wake.kill()
    wake.delete()
    linked = vm.clone("linked", kind="linked", snapshot="warm")
    assert isinstance(linked, Machine)
    linked.start()
    assert answers(linked)
    linked.kill()
    linked.delete()
    here = live_socket(vm)
    vm.migrate(far.neighbour())
    assert answers(vm)
    assert live_socket(vm) != here
    vm.snapshots.restore("warm")  # a memory kept on one side, restored on the other
    assert answers(vm)
    vm.migrate(far)
    assert answers(vm)
    assert live_socket(vm) == here
    archive = far.home / "travel.labkit"
    vm.kill()
    vm.export(archive)
    vm.delete()
    again = far.import_machine(archive)
    again.snapshots.restore("warm")
    assert answers(again)
    again.kill()
    again.rename("old")
    again.snapshots.delete("warm")
    old = build_domain_xml(again.facts.spec)  # as an older labkit has defined it
    assert find_agent_socket(old) is None
    far.session.connection.raw().defineXML(old)
    again.start()
    assert answers(again)
    far.clean()
    assert far.session.connection.runtime is not None
    assert list(far.session.connection.runtime.rglob("*.agent")) == []


def test_every_way_to_a_running_machine_leads_to_an_agent_that_answers(guest_images: Path) -> None:
    run_far(guest_images, LONG, "every_way")


def test_memory_saved_by_an_older_labkit_goes_on_with_its_own_socket(lab: Lab) -> None:
    """Saved on the path that libvirt chose, started by a labkit that chooses itself."""
    vm = lab.create("web")
    raw = lab.session.connection.raw()
    raw.defineXML(build_domain_xml(vm.facts.spec))
    raw.lookupByUUIDString(vm.id).create()
    assert vm.wait_ready().run("echo kept > /run/kept")
    assert live_socket(vm) != expected(vm)
    vm.snapshots.take("old")
    vm.save()
    vm.start()
    assert answers(vm)
    assert vm.run("cat /run/kept").stdout == "kept\n"
    vm.snapshots.restore("old")
    assert answers(vm)
    assert vm.run("cat /run/kept").stdout == "kept\n"


def test_a_machine_that_libvirt_starts_by_itself_answers_too(lab: Lab) -> None:
    vm = lab.create("web")
    subprocess.run(["virsh", "-q", "-c", lab.uri, "start", vm.facts.spec.domain_name], check=True)
    assert answers(vm)


def too_long(lab: Lab) -> None:
    config = os.environ["XDG_CONFIG_HOME"]
    with pytest.raises(Refused, match="monitor") as refused:
        lab.create("a-name-of-more-than-twenty-letters", image="sector", memory="16 MiB")
    assert config in refused.value.hint
    room = int(re.findall(r"(\d+) bytes", refused.value.hint)[0])
    assert len(str(monitor_socket(Path(config), "n" * room, number=1))) == SOCKET_LIMIT
    vm = lab.create("n" * room, image="sector", memory="16 MiB").start()
    vm.kill()
    vm.rename("n" * 20)
    with pytest.raises(HostTrouble, match="monitor"):
        vm.start()
    assert vm.state == "off"
    lab.clean()


def test_where_no_name_fits_create_and_start_say_so_and_a_shorter_name_starts(guest_images: Path) -> None:
    run_far(guest_images, LONG + 12, "too_long")
