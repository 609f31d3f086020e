"""Where the checkout is, and how a test runs a program on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "lab"


def run(
    *command: str | Path,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout: float = 120,
    cwd: Path = ROOT,
) -> subprocess.CompletedProcess[str]:
    """Run a program with its output captured; its exit code is for the caller to judge.

    Args:
        command: the program and its arguments.
        environment: what differs from our own environment.
        stdin: what the program reads.
        timeout: seconds.
        cwd: folder to run in.
    """
    return subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **(environment or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        check=False,
    )


def assert_clean(command: Sequence[str | Path]) -> None:
    """Fail with the program's own words if it ends with another exit code than 0."""
    done = run(*command, timeout=280)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
