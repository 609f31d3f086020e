"""The same guest by hand: libvirt's own command line of a machine, run without libvirt.

Knows: QEMU's arguments. Must not know: labkit's calls.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.images.bare import Agent

AGENT, CONSOLE, MONITOR = "agent.sock", "console.log", "monitor.sock"

Change = Callable[[list[str]], list[str]]


def read_arguments(native: str, folder: Path) -> list[str]:
    """Return the argv of a guest that needs no libvirt.

    Args:
        native: as `virsh domxml-to-native qemu-argv` prints it. folder: for its sockets and its console's log.
    """
    words = shlex.split(native)
    program = next(index for index, word in enumerate(words) if "=" not in word)
    argv, arguments = words[program : program + 1], iter(words[program + 1 :])
    for option in arguments:
        if option in ("-S", "-no-user-config", "-nodefaults", "-no-shutdown"):
            argv += [option] if option != "-S" else []  # nobody is there to let it go on
            continue
        value = next(arguments)
        if "masterKey0" in value:
            continue  # for secrets that libvirt hands over; there are none
        argv += [option, _in_folder(value, folder)]
    return argv


def boot(argv: list[str], folder: Path) -> float:
    """Start a guest by hand, wait until its agent answers, end it; returns the seconds it took to answer."""
    for name in (AGENT, CONSOLE, MONITOR):
        (folder / name).unlink(missing_ok=True)
    began = time.perf_counter()
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            agent = Agent(folder / AGENT)
            agent.wait()
            return time.perf_counter() - began
        finally:
            process.kill()


def with_kernel(kernel: Path) -> Change:
    """Boot another kernel."""
    return lambda argv: _with_value(argv, "-kernel", str(kernel))


def with_command_line(line: str) -> Change:
    """Boot with another command line of the kernel."""
    return lambda argv: _with_value(argv, "-append", line)


def _with_value(argv: list[str], option: str, value: str) -> list[str]:
    place = argv.index(option) + 1
    return [*argv[:place], value, *argv[place + 1 :]]


def _in_folder(value: str, folder: Path) -> str:
    names = {"id=charmonitor,": f"path={folder / MONITOR}", "id=charchannel0,": f"path={folder / AGENT}"}
    names["id=charserial0,"] = f"logfile={folder / CONSOLE}"
    for mark, place in names.items():
        if mark in value:
            key = place.partition("=")[0]
            return ",".join(place if part.startswith(f"{key}=") else part for part in value.split(","))
    return value
