"""`python -m tests.bench [NAMES]`: measure, print a table, exit 1 if a goal is missed.

It runs on a hypervisor instance of its own, as the tests do, and leaves nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from tests.bench.boot import bench_kernel, bench_ready
from tests.bench.clones import bench_clones
from tests.bench.console import bench_console
from tests.bench.disks import bench_disks
from tests.bench.exercises import bench_exercises
from tests.bench.instant import bench_instant
from tests.bench.lineage import bench_lineage
from tests.bench.many import bench_open, bench_sector, bench_usage
from tests.bench.migration import bench_migration
from tests.bench.panels import bench_panels
from tests.bench.python import bench_import
from tests.bench.snapshots import bench_snapshots
from tests.bench.table import Row, format_rows
from tests.bench.warm import bench_warm
from tests.instance import instance_of_a_program

BENCHES: dict[str, Callable[[], list[Row]]] = {
    "import": bench_import,
    "open": bench_open,
    "usage": bench_usage,
    "sector": bench_sector,
    "kernel": bench_kernel,
    "ready": bench_ready,
    "warm": bench_warm,
    "disks": bench_disks,
    "snapshots": bench_snapshots,
    "clones": bench_clones,
    "instant": bench_instant,
    "migration": bench_migration,
    "lineage": bench_lineage,
    "console": bench_console,
    "panels": bench_panels,
    "exercises": bench_exercises,
}


def main(names: Sequence[str]) -> int:
    """Run the benches named, or all; returns the exit code."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"There is no {', '.join(unknown)}; there are: {', '.join(BENCHES)}.", file=sys.stderr)
        return 2
    rows: list[Row] = []
    with instance_of_a_program():
        for name in names or BENCHES:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            rows += BENCHES[name]()
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    print(format_rows(rows))
    return 1 if any(row.verdict == "missed" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
