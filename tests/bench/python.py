"""What loading labkit costs, in fresh processes."""

from __future__ import annotations

import subprocess
import sys

from tests.bench.table import Row, interleave

_TIMED = "{before}\nimport time\nbegan = time.perf_counter()\n{code}\nprint(time.perf_counter() - began)"


def time_in_fresh_process(code: str, *, before: str = "") -> float:
    """Return the seconds that code takes in a process of its own, after `before` and Python's own start."""
    script = _TIMED.format(before=before, code=code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def bench_import(rounds: int = 10) -> list[Row]:
    """Importing labkit, and what it has in front."""
    runs = interleave(
        rounds,
        {
            "import labkit": lambda: time_in_fresh_process("import labkit"),
            "from labkit import Lab": lambda: time_in_fresh_process("from labkit import Lab"),
        },
    )
    return [Row(what=what, runs=times, limit=0.5) for what, times in runs.items()]
