"""Many machines at once, and what a reading costs then."""

from __future__ import annotations

import time

from labkit import Lab
from labkit.machine import Machine
from tests.bench.calls import count_calls
from tests.bench.python import time_in_fresh_process
from tests.bench.table import Row

MANY = 20


def bench_sector(count: int = MANY) -> list[Row]:
    """`sector` × 20: created, started, all answering on their serial lines."""
    with Lab.open("bench") as lab:
        began = time.perf_counter()
        machines = _create(lab, count)
        created = time.perf_counter() - began
        for vm in machines:
            vm.start()
        for vm in machines:
            vm.wait_ready()
        answered = time.perf_counter() - began - created
        lab.clean()
    return [
        Row(what=f"sector × {count}: created", runs=(created,)),
        Row(what=f"sector × {count}: started, all answering", runs=(answered,)),
    ]


def bench_open(rounds: int = 10, count: int = MANY) -> list[Row]:
    """Opening a lab of 20 machines, in a fresh process."""
    with Lab.open("bench") as lab:
        _create(lab, count)
        code = "lab = Lab.open('bench')"
        first = tuple(time_in_fresh_process(code, before="from labkit import Lab") for _ in range(rounds))
        state = tuple(
            time_in_fresh_process("lab.state", before=f"from labkit import Lab; {code}; lab.state")
            for _ in range(rounds)
        )
        lab.clean()
    return [
        Row(what=f"Lab.open() with {count} machines", runs=first, limit=0.2),
        Row(what=f"lab.state of {count} machines", runs=state),
    ]


def bench_usage(rounds: int = 50) -> list[Row]:
    """A panel's refresh: one call to libvirt, whatever the number of machines."""
    rows = []
    for count in (1, MANY):
        with count_calls() as counter, Lab.open("bench") as lab:
            for vm in _create(lab, count):
                vm.start()
            lab.usage()
            runs, calls = [], []
            for _ in range(rounds):
                counter.calls.clear()
                began = time.perf_counter()
                lab.usage()
                runs.append(time.perf_counter() - began)
                calls.append(float(len(counter.calls)))
            lab.clean()
        rows.append(Row(what=f"lab.usage() of {count} running: calls to libvirt", runs=tuple(calls), unit="", limit=1))
        rows.append(Row(what=f"lab.usage() of {count} running", runs=tuple(runs)))
    return rows


def _create(lab: Lab, count: int) -> list[Machine]:
    return [
        lab.create(f"m{number:02}", image="sector", memory="16 MiB", if_exists="replace") for number in range(count)
    ]
