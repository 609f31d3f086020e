"""From start to the agent's answer: labkit beside bare QEMU, and what kernel and command line bring."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from labkit import Lab
from labkit.machine import Machine
from tests.bench import bare_guest
from tests.bench.table import Row, interleave


def bench_ready(rounds: int = 10) -> list[Row]:
    """Start → agent ready, by labkit and by hand: the same QEMU, kernel, disk and devices, in turn."""
    with Lab.open("bench") as lab, tempfile.TemporaryDirectory(prefix="lk-") as name:
        vm, argv = _machine(lab, Path(name))
        bare_guest.boot(argv, Path(name))  # the file system's cache is warm for both
        runs = interleave(
            rounds,
            {"labkit": lambda: _boot(vm), "bare QEMU": lambda: bare_guest.boot(argv, Path(name))},
        )
        lab.clean()
    bare = runs["bare QEMU"]
    return [
        Row(what="start → ready: bare QEMU", runs=bare),
        Row(what="start → ready: labkit", runs=runs["labkit"], against=bare, limit=1.2),
    ]


def bench_kernel(rounds: int = 6) -> list[Row]:
    """What the unpacked (PVH) kernel and the trimmed command line bring, by bare QEMU."""
    with Lab.open("bench") as lab, tempfile.TemporaryDirectory(prefix="lk-") as name:
        vm, argv = _machine(lab, Path(name))
        images = Path(vm.lab.state.guest_images["tiny"].disk).parent.parent
        packed = images / json.loads((images / "tiny.json").read_text())["kernel_packed"]
        plain = bare_guest.with_command_line("console=ttyS0 labkit.name=web")
        bzimage = bare_guest.with_kernel(packed)
        variants = {
            "bzImage, default command line": bzimage(plain(argv)),
            "bzImage, trimmed command line": bzimage(argv),
            "PVH kernel, default command line": plain(argv),
            "PVH kernel, trimmed command line": argv,
        }
        folder = Path(name)
        runs = interleave(
            rounds,
            {what: (lambda argv=argv: bare_guest.boot(argv, folder)) for what, argv in variants.items()},  # type: ignore[misc]
        )
        lab.clean()
    slowest = runs["bzImage, default command line"]
    return [Row(what=what, runs=times, against=slowest) for what, times in runs.items()]


def _machine(lab: Lab, folder: Path) -> tuple[Machine, list[str]]:
    vm = lab.create("web", if_exists="replace")
    native = lab.session.connection.call(lambda raw: str(raw.domainXMLToNative("qemu-argv", vm.definition, 0)))
    return vm, bare_guest.read_arguments(native, folder)


def _boot(vm: Machine) -> float:
    began = time.perf_counter()
    vm.start().wait_ready()
    took = time.perf_counter() - began
    vm.kill()
    return took
