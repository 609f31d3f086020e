"""A new machine that is resumed from its image's memory, beside bare QEMU's boot and labkit's: start → ready."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from labkit import Lab
from labkit.engine import keeping, kept_guests, starting
from labkit.limits import Limit
from labkit.units import MIB
from tests.bench import bare_guest
from tests.bench.table import Row, interleave


def bench_warm(rounds: int = 8) -> list[Row]:
    """New machines, each started once; making them does not count. What is kept is made before, and measured."""
    with Lab.open("bench") as lab, tempfile.TemporaryDirectory(prefix="lk-") as name:
        vm = lab.create("bare", if_exists="replace")  # its disk is written to by hand
        native = lab.session.connection.call(lambda raw: str(raw.domainXMLToNative("qemu-argv", vm.definition, 0)))
        argv = bare_guest.read_arguments(native, Path(name))
        bare_guest.boot(argv, Path(name))  # the file system's cache is warm for both
        vm = lab.create("web", if_exists="replace")
        kind = starting.find_kind(vm.handle)
        assert kind is not None
        began = time.perf_counter()
        assert keeping.keep(vm.handle, kind, Limit(120)) is not None
        made = time.perf_counter() - began

        def start(*, warm: bool) -> float:
            vm = lab.create("web", if_exists="replace")
            began = time.perf_counter()
            vm.start(warm=warm).wait_ready()
            took = time.perf_counter() - began
            assert lab.history[-1].plan.act == ("start" if warm else "create")  # it was resumed, or booted
            vm.kill()
            return took

        runs = interleave(
            rounds,
            {
                "bare QEMU": lambda: bare_guest.boot(argv, Path(name)),
                "boot": lambda: start(warm=False),
                "warm": lambda: start(warm=True),
            },
        )
        room = kept_guests.bytes_kept() / MIB
        lab.clean()
    return [
        Row(what="new machine, start → ready: bare QEMU boots", runs=runs["bare QEMU"]),
        Row(what="new machine, start → ready: labkit boots", runs=runs["boot"], against=runs["bare QEMU"]),
        Row(what="new machine, start → ready: resumed, renewed", runs=runs["warm"], limit=0.4),
        Row(what="the same beside bare QEMU's boot", runs=runs["warm"], against=runs["bare QEMU"], limit=0.2),
        Row(what="making the guest that is kept", runs=(made,)),
        Row(what="what is kept of it", runs=(room,), unit="MiB"),
    ]
