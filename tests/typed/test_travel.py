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
    commands = guest.clone.plan("seat", kind="linked", snapshot="on", instant=True).commands
    own = [line for line in commands if line.startswith("# labkit: ")]
    assert [line for line in own if "virsh save-image-define does not change a name" in line]
    assert subprocess.run(["bash", "-n"], input="\n".join(commands), text=True, check=False).returncode == 0
