"""A reading of what all machines use is one call to libvirt."""

from __future__ import annotations

from labkit import Lab
from labkit.model.machine import MachineState
from tests.bench.calls import count_calls


def test_usage_is_one_call_whatever_the_number_of_machines() -> None:
    with count_calls() as counter, Lab.open("usage") as lab:
        for count in (1, 4):
            for number in range(count):
                lab.create(f"m{number}", image="sector", memory="16 MiB", if_exists="keep")
            counter.calls.clear()
            assert len(lab.usage()) == count
            assert counter.calls == ["virConnectGetAllDomainStats"]
        lab.clean()


def test_what_is_off_uses_nothing(lab: Lab) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB")
    usage = lab.usage()[vm.id]
    assert (usage.state, usage.memory, usage.written_bytes) == (MachineState.OFF, 0, 0)
