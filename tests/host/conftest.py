"""A place of its own for each module: private folders, a private session daemon, nothing left of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from labkit.engine.folders import data_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Private folders and the environment that leads to them."""

    folder: Path
    env: dict[str, str]

    @property
    def runtime(self) -> Path:
        return self.folder / "r"

    @property
    def config(self) -> Path:
        return self.folder / "c"

    @property
    def labs(self) -> Path:
        return self.folder / "labs"

    def run(self, *argv: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run a program here; `changes` override variables."""
        return subprocess.run(argv, env=self.env | changes, capture_output=True, text=True, timeout=150, check=False)

    def doctor(self, **changes: str) -> dict[str, Any]:
        """Return the doctor's JSON here, the checks by their slugs, and its exit code."""
        code = "from labkit.doctor import run_doctor; raise SystemExit(run_doctor(json=True))"
        done = self.run(sys.executable, "-c", code, **changes)
        document: dict[str, Any] = json.loads(done.stdout)
        document["exit"] = done.returncode
        document["checks"] = {check["slug"]: check for check in document["checks"]}
        return document


def end_daemons(folder: Path) -> None:
    """End the daemons whose pid files are below a folder, and wait until they are gone."""
    for file in folder.rglob("*.pid"):
        try:
            process = psutil.Process(int(file.read_text()))
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(60)
        except (ValueError, FileNotFoundError, psutil.NoSuchProcess):
            continue


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Give a place with the built guest images; its path is short, since sockets live in it."""
    folder = Path(tempfile.mkdtemp(prefix="lk-"))
    for name in ("r", "c", "k", "d", "labs"):
        (folder / name).mkdir(mode=0o700)
    env = dict(os.environ)
    for name in ("LABKIT_ACCEL", "LABKIT_LANGUAGE", "LIBVIRTD_PATH"):
        env.pop(name, None)
    env |= {
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder / "r"),
        "XDG_CONFIG_HOME": str(folder / "c"),
        "XDG_CACHE_HOME": str(folder / "k"),
        "XDG_DATA_HOME": str(folder / "d"),
        "LABKIT_DATA": str(data_folder()),
        "LABKIT_HOME": str(folder / "labs"),
        "LABKIT_LANGUAGE": "en",
    }
    try:
        yield Place(folder=folder, env=env)
    finally:
        end_daemons(folder)
        shutil.rmtree(folder, ignore_errors=True)
