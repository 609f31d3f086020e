"""A reading of what all machines use is one call to libvirt."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from labkit import Lab
from labkit.model.machine import MachineState

READING = """
from concurrent.futures import wait
from labkit import Lab
from labkit.widgets import LabPanel
from tests.bench.calls import count_calls
with count_calls() as counter, Lab.open("usage") as lab:
    panel = LabPanel(lab)
    for count in (1, 4):
        for number in range(count):
            lab.create(f"m{number}", image="sector", memory="16 MiB", if_exists="keep")
        for read in (lab.usage, lambda: panel._store._take_usage(lab)):
            wait(lab.session.connection._posted)  # what tells other kernels of the act before
            counter.calls.clear()
            panel._store._usage_due = 0.0
            read()
            print(*counter.calls)
    lab.clean()
"""


def test_usage_is_one_call_whatever_the_number_of_machines_also_for_a_panel(
    labkit_process: Callable[[str], subprocess.Popen[str]],
) -> None:
    out, errors = labkit_process(READING).communicate(timeout=150)  # only threads that begin later are counted
    assert out.split() == 4 * ["virConnectGetAllDomainStats"], errors


def test_what_is_off_uses_nothing(lab: Lab) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB")
    usage = lab.usage()[vm.id]
    assert (usage.state, usage.memory, usage.written_bytes) == (MachineState.OFF, 0, 0)
