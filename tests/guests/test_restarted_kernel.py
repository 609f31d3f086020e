"""A kernel that ends while its guest boots: the guest goes on, and another kernel finds it."""

from __future__ import annotations

import pytest

from labkit import Lab
from labkit.errors import Busy
from labkit.model.machine import MachineState
from tests.engine.kernel import Instant, Kernel


def test_a_guest_whose_kernel_was_killed_mid_boot_is_waited_for_by_another(lab: Lab) -> None:
    code = f"with Lab.open({lab.name!r}) as lab:\n    lab.create('web').start().wait_ready()"
    with Kernel(code, stop=Instant(function="_has_answered")) as kernel:
        kernel.wait_stopped()
        process = lab.machines["web"].process
    with Lab.open(lab.name) as again:
        web = again.machines["web"]
        assert web.state is MachineState.RUNNING
        assert web.wait_ready().run("hostname").stdout == "web\n"
        assert process is not None
        assert web.process is not None
        assert web.process.pid == process.pid


def test_a_kernel_killed_before_its_start_reached_the_hypervisor_leaves_the_machine_free(lab: Lab) -> None:
    lab.create("web", image="sector", memory="16 MiB")
    code = f"with Lab.open({lab.name!r}) as lab: lab.machines['web'].start()"
    with Kernel(code, stop=Instant(function="start", number=3)) as kernel:
        kernel.wait_stopped()
        with pytest.raises(Busy):
            lab.machines["web"].delete()
    assert lab.machines["web"].start().wait_ready().state is MachineState.RUNNING
