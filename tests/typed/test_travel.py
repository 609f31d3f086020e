"""A machine that goes over to a neighbour by what was typed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from labkit import Lab
from labkit.machine import Machine
from labkit.plans.plan import Plan
from tests.typed.twin import Twin


def type_it(lab: Lab, plan: Plan) -> None:
    """Type a plan's commands in the lab's folder."""
    Twin(lab, Path()).type(plan)


def test_running_guest_goes_over_with_its_snapshots(guest: Machine) -> None:
    lab, other = guest.lab, guest.lab.neighbour()
    guest.run("echo one > /word; sync")
    guest.snapshots.take("one")
    guest.run("echo two > /word; sync")
    boot, tree = guest.run("cat /proc/sys/kernel/random/boot_id").stdout, guest.snapshots.tree
    type_it(lab, guest.migrate.plan(other))
    assert list(lab.machines) == []
    there = other.machines["web"]
    assert there.run("cat /proc/sys/kernel/random/boot_id /word").stdout == f"{boot}two\n"
    assert there.snapshots.tree == tree
    there.snapshots.restore("one")
    assert there.wait_ready().run("cat /word").stdout == "one\n"


def test_machine_that_is_off_goes_over(lab: Lab) -> None:
    vm, other = lab.create("web", image="sector", memory="16 MiB"), lab.neighbour()
    vm.snapshots.take("one")
    tree = vm.snapshots.tree
    type_it(lab, vm.migrate.plan(other))
    assert list(lab.machines) == []
    assert other.machines["web"].start().snapshots.tree == tree
    other.machines["web"].kill()


def test_instant_clones_say_what_no_line_does(guest: Machine) -> None:
    guest.snapshots.take("on")
    plan = guest.clone.plan("seat", kind="linked", snapshot="on", instant=True)
    own = [line for line in plan.commands if line.startswith("# labkit: ")]
    assert [line for line in own if "lays the pages of memory/web.0.mem out as the guest sees them" in line]
    assert [line for line in own if "sends memory/web.0.mem.devices to that socket" in line]
    assert [line for line in own if "renew its host name" in line]
    domain = f"{guest.lab.name}.seat"
    assert f"virsh create {domain}.waking.xml --paused" in plan.commands
    assert f"{domain}.waking.xml" in plan.write(guest.lab.home)
    assert f"mem-path={guest.lab.home}/memory/web.0.mem.pages" in (guest.lab.home / f"{domain}.waking.xml").read_text()
    script = "\n".join(plan.commands)
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
