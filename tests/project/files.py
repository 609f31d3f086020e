"""Where the checkout is, and how a test runs a program on it."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "lab"
PORTS = range(20_000, 32_000)
"""Below those that the system gives out by itself: nobody gets one before the server that it is for."""


def find_free_port() -> int:
    """Return a port that nobody listens on."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def run(
    *command: str | Path,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout: float = 240,
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
    done = run(*command, timeout=570)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"


def write_program(folder: Path, name: str, *lines: str) -> None:
    """Put a shell script into a folder of programs, instead of what is there by that name."""
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    path.chmod(0o755)
