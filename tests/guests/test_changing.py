"""Changing a real machine: its definition, its name, what the guest then sees."""

from __future__ import annotations

import pytest

from labkit.errors import HypervisorError, NotFound, Refused
from labkit.lab import Lab
from labkit.model.machine import MachineState
from labkit.units import MIB


def test_a_changed_definition_waits_for_the_next_start_and_a_new_name_reaches_the_guest(lab: Lab) -> None:
    web = lab.create("web").start().wait_ready()
    plan = web.configure.plan(memory="192 MiB", vcpus=2)
    assert "next starts" in plan.preview()
    web.configure(memory="192 MiB", vcpus=2)
    assert (web.memory, web.vcpus, web.facts.waits_for_restart) == (192 * MIB, 2, True)
    assert web.run("nproc").stdout == "1\n"
    with pytest.raises(Refused, match="web is running"):
        web.rename("Ñandú-2")
    assert web.kill().facts.waits_for_restart is False

    web.rename("Ñandú-2")
    assert list(lab.machines) == ["Ñandú-2"]
    assert (web.name, lab.machines["Ñandú-2"].id) == ("Ñandú-2", web.id)
    web.start().wait_ready()
    assert web.run("nproc").stdout == "2\n"
    assert web.run("hostname").stdout.startswith("xn--")
    total = int(web.run("awk '/MemTotal/ {print $2}' /proc/meminfo").stdout)
    assert 128 * 1024 < total < 192 * 1024
    web.kill().rename("web")


def test_a_guest_knows_who_it_is(lab: Lab) -> None:
    vm = lab.create("web").start().wait_ready()
    assert vm.run("hostname").stdout == "web\n"
    assert vm.run("cat /etc/machine-id").stdout.strip() == vm.id.replace("-", "")


@pytest.mark.parametrize("name", ["\U00020000" * 60, "机器" * 30], ids=["the longest", "cut within a letter"])
def test_a_machine_with_a_name_of_another_script_boots_and_is_saved(name: str) -> None:
    with Lab.open("default") as lab:
        vm = lab.create(name, image="sector", memory="16 MiB").start().wait_ready()
        assert vm.save().start().wait_ready().state is MachineState.RUNNING
        assert list(lab.machines) == [name]
        lab.clean()


def test_deleted_means_gone_with_its_disk(lab: Lab) -> None:
    web = lab.create("web", image="sector", memory="16 MiB")
    web.start().save()
    web.delete()
    assert "web" not in lab.machines
    assert list((lab.home / "disks").iterdir()) == []
    with pytest.raises(NotFound, match="no machine 'web'") as caught:
        lab.machines["web"]
    assert "none yet" in caught.value.hint


def test_replace_ends_the_old_guest_and_makes_a_new_machine(lab: Lab) -> None:
    old = lab.create("web", image="sector", memory="16 MiB").start().wait_ready()
    new = lab.create("web", image="sector", memory="16 MiB", if_exists="replace")
    assert (new.state, new.id != old.id) == (MachineState.OFF, True)
    assert list(lab.machines) == ["web"]
    kept = lab.create("web", if_exists="keep")
    assert kept.id == new.id


def test_a_cpu_that_there_is_not_is_refused_and_nothing_is_left(lab: Lab) -> None:
    with pytest.raises(HypervisorError) as caught:
        lab.create("web", image="sector", memory="16 MiB", cpu_model="abacus").start()
    assert "abacus" in caught.value.message
    assert caught.value.hint


def test_every_act_is_told_afterwards_as_commands(lab: Lab) -> None:
    lab.create("web", image="sector", memory="16 MiB", message="Hola").configure(vcpus=2).delete()
    assert [outcome.plan.act for outcome in lab.history] == ["create", "configure", "delete"]
    commands = [command.split()[:2] for outcome in lab.history for command in outcome.commands]
    assert ["virsh", "define"] in commands
    assert ["virsh", "undefine"] in commands
    assert all(outcome.seconds > 0 for outcome in lab.history)
