"""A machine that is as it was made is resumed from the memory of a guest of its image that was booted once."""

from __future__ import annotations

import time
from pathlib import Path

from labkit import Lab
from labkit.engine import as_made
from labkit.machine import Machine
from labkit.units import MIB

MEMORY = "100 MiB"
"""Of a kind of their own."""

WHO = "hostname; cat /etc/hostname /etc/machine-id; cut -d' ' -f1 /etc/labkit/host-key; date +%s"


def runs_with(vm: Machine) -> str:
    """The definition that a guest runs with."""
    return vm.lab.session.domains.xml(vm.id, persistent=False)


def is_resumed(vm: Machine) -> bool:
    """Whether it maps the memory of a kept guest."""
    return str(as_made.kept_folder()) in runs_with(vm)


def test_new_machines_go_on_each_as_itself(lab: Lab) -> None:
    for name in ("one", "two"):
        vm = lab.create(name, memory=MEMORY).start(warm=True).wait_ready()
        assert is_resumed(vm)
        hostname, stored, machine_id, owner, date = vm.run(WHO).stdout.split()
        assert (hostname, stored) == (name, name)
        assert machine_id == owner == vm.id.replace("-", "")
        assert abs(int(date) - time.time()) < 10
        (outcome,) = [each for each in lab.history if each.plan.act == "start"][-1:]
        assert outcome.remarks == ()
        assert vm.console.expect(f"This is {name}, .*did not boot now.*\nroot@{name}:/root# $")
        vm.console.expect(f"{name}\nroot@{name}:/root# $", position=vm.console.send("hostname"))
        vm.run("echo kept > /root/kept; sync")
        vm.stop().start().wait_ready()
        assert not is_resumed(vm)
        assert vm.run("cat /root/kept; hostname").stdout.split() == ["kept", name]


def test_disks_that_are_blank_are_in_nobodys_way(lab: Lab) -> None:
    vm = lab.create("web", memory=MEMORY)
    vm.attach(lab.disks.create("data", capacity="8 MiB"))
    vm.attach(lab.disks.create("more", capacity="4 MiB", format="raw"))
    vm.start(warm=True).wait_ready()
    assert is_resumed(vm)
    assert vm.run("printf word1 | dd of=/dev/vdb conv=fsync; printf word2 | dd of=/dev/vdc conv=fsync; hostname")
    vm.stop().start().wait_ready()
    assert vm.run("head -c 5 /dev/vdb; head -c 5 /dev/vdc").stdout == "word1word2"


def test_a_layer_without_content_gets_only_what_a_boot_writes(lab: Lab) -> None:
    vm = lab.create("web", memory=MEMORY)
    vm.snapshots.take("off")
    frozen = Path(vm.snapshots["off"].disks[0].path)
    before = frozen.read_bytes()
    vm.start(warm=True).wait_ready()
    assert is_resumed(vm)
    assert lab.history[-1].remarks == ()
    (disk,) = vm.facts.spec.disks
    assert lab.state.images[disk.path].backing == str(frozen)
    assert Path(disk.path).stat().st_blocks * 512 < 4 * MIB
    assert vm.run("echo kept > /root/kept; sync; hostname")
    vm.stop().start().wait_ready()
    assert vm.run("cat /root/kept").stdout == "kept\n"
    vm.stop()
    vm.snapshots.restore("off")
    assert not vm.start(warm=False).wait_ready().run("cat /root/kept")
    assert frozen.read_bytes() == before
    assert lab.verify()
