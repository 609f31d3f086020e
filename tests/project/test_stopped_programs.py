"""Programs of the tests that are told to stop: nothing of theirs goes on, no guest and no kernel that stands still."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.instance import ROOT, processes_in

WITH_A_GUEST = """
from labkit import Lab
from tests.instance import instance_of_a_program
with instance_of_a_program() as instance:
    Lab.open("stopped").create("web", image="sector", memory="16 MiB").start()
    print(instance.folder, flush=True)
    signal.pause()
"""

WITH_A_KERNEL = """
from tests.engine.kernel import Kernel
kernel = Kernel("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
while psutil.Process(kernel.process.pid).status() != psutil.STATUS_STOPPED:
    pass
print(kernel.process.pid, flush=True)
signal.pause()
"""


def _told_to_stop(code: str, told: signal.Signals) -> str:
    """Run a program until it has said a line, tell it to stop; returns the line when it has ended."""
    argv = [sys.executable, "-c", f"import os, signal, psutil\n{code}"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
        assert program.stdout is not None
        try:
            line = program.stdout.readline().strip()
            assert line
            program.send_signal(told)
            program.wait(60)
        finally:
            program.kill()
    return line


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_an_instance_ends_with_its_program(told: signal.Signals) -> None:
    folder = Path(_told_to_stop(WITH_A_GUEST, told))
    assert not folder.exists()
    assert not processes_in(folder)


def test_a_kernel_that_stands_still_holds_nobody_up() -> None:
    pid = _told_to_stop(WITH_A_KERNEL, signal.SIGINT)
    assert not Path("/proc", pid).exists()
