"""A hypervisor instance of the tests' own: folders, the environment that leads to it, and its end.

It has private XDG folders, so it never sees a user's machines. Whoever makes one ends it: its daemons and
guests do not outlive it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from labkit.engine.folders import data_folder

ROOT = Path(__file__).parent.parent

END_SECONDS = 60
"""How long what belongs to an instance may take to end."""

_USER_DATA = data_folder()


def find_guest_images() -> Path:
    """Return the folder of guest images: LABKIT_IMAGES, else the user's, else built now."""
    for folder in (os.environ.get("LABKIT_IMAGES"), str(_USER_DATA / "images"), str(data_folder() / "images")):
        if folder and (Path(folder) / "tiny.json").exists():
            return Path(folder)
    folder = tempfile.mkdtemp(prefix="labkit-images-", dir="/var/tmp")
    subprocess.run([sys.executable, ROOT / "images/build.py", "--into", folder], check=True)
    return Path(folder)


class Instance:
    """A hypervisor instance with folders of its own: the environment that leads to it, and its end."""

    def __init__(self, images: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lk-", dir="/tmp"))
        self.images = images
        self.environment = {
            "XDG_RUNTIME_DIR": str(self.folder / "r"),
            "XDG_CONFIG_HOME": str(self.folder / "c"),
            "XDG_CACHE_HOME": str(self.folder / "k"),
            "XDG_DATA_HOME": str(self.folder / "d"),
            "LABKIT_DATA": str(self.folder / "d" / "labkit"),
            "IPYTHONDIR": str(self.folder / "i"),
        }
        for folder in self.environment.values():
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / "d" / "labkit" / "images").symlink_to(images)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Let this process and those it starts find the instance, and no lab of the user's.

        Machines boot unless a test asks for a guest that is kept booted: what is tested is the same at each run.
        """
        changed = {**self.environment, "LABKIT_IMAGES": str(self.images), "LABKIT_HOME": None, "LABKIT_WARM": "asked"}
        changed |= {"LABKIT_LANGUAGE": None, "LABKIT_SPOKEN": None}
        before = {name: os.environ.get(name) for name in changed}
        _change_environment(changed)
        try:
            yield
        finally:
            _change_environment(before)

    def processes(self) -> list[psutil.Process]:
        """Return the daemons and guests of this instance."""
        return processes_in(self.folder)

    def daemon(self) -> psutil.Process:
        """Return the instance's libvirtd; those of a lab's neighbours are others."""
        runtime = self.environment["XDG_RUNTIME_DIR"]
        for process in self.processes():
            with suppress(psutil.Error):  # a process that it has just forked may have ended again
                if process.name() == "libvirtd" and process.environ().get("XDG_RUNTIME_DIR") == runtime:
                    return process
        raise LookupError("there is no daemon")

    def end(self) -> None:
        """End everything of the instance and remove its folders."""
        end_instance(self.folder)


@contextmanager
def instance_of_a_program() -> Iterator[Instance]:
    """An instance in force while a program runs; it ends with the program, also when that is told to stop."""
    told = (signal.SIGINT, signal.SIGTERM)
    for each in told:
        signal.signal(each, signal.default_int_handler)
    instance = Instance(find_guest_images())
    try:
        with instance.in_force():
            yield instance
    finally:
        for each in told:  # told again, out of impatience: it would leave guests behind
            signal.signal(each, signal.SIG_IGN)
        instance.end()


def end_instance(folder: Path) -> None:
    """End everything of an instance and remove its folders; whoever made it may have been killed.

    What is just starting is seen in a second look only, and writes into the folders meanwhile; a kernel that is just
    ending does so, too.
    """
    end = time.monotonic() + END_SECONDS
    while folder.exists():
        processes = processes_in(folder)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(processes, timeout=END_SECONDS)
        try:
            shutil.rmtree(folder)
        except OSError:
            if time.monotonic() > end:
                raise


def processes_in(folder: Path) -> list[psutil.Process]:
    """Return the daemons and guests of the instance in a folder."""
    mine = []
    for process in psutil.process_iter(["name"]):
        name = process.info["name"] or ""  # a daemon that was killed leaves the emulators that it was just asking, too
        if name in ("libvirtd", "virtlogd") or name.startswith("qemu-system-"):
            try:
                runtime, words = process.environ().get("XDG_RUNTIME_DIR", ""), process.cmdline()
            except psutil.Error:
                continue
            if runtime.startswith(f"{folder}/r") or any(f"{folder}/" in word for word in words):
                mine.append(process)
    return mine


INSTANCE = pytest.StashKey[Instance]()
"""Where a test run keeps its instance."""


def _change_environment(values: dict[str, str | None] | dict[str, str]) -> None:
    for name, value in values.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
