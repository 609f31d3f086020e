"""What every test may ask for: a hypervisor instance of our own, a lab on it, guests of it.

The tests' instance has private XDG folders, so it never sees a user's machines; its daemons and guests
end with the tests, also when they fail.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from labkit import Lab
from labkit.machine import Machine

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def guest_images() -> Path:
    """The folder of guest images: LABKIT_IMAGES, else the user's, else built now."""
    from labkit.engine.workspace import data_folder

    for folder in (os.environ.get("LABKIT_IMAGES"), str(_USER_DATA / "images"), str(data_folder() / "images")):
        if folder and (Path(folder) / "tiny.json").exists():
            return Path(folder)
    folder = tempfile.mkdtemp(prefix="labkit-images-", dir="/var/tmp")
    subprocess.run([sys.executable, ROOT / "images/build.py", "--into", folder], check=True)
    return Path(folder)


def _user_data() -> Path:
    from labkit.engine.workspace import data_folder

    return data_folder()


_USER_DATA = _user_data()


class Instance:
    """A hypervisor instance with folders of its own: the environment that leads to it, and its end."""

    def __init__(self, images: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lk-", dir="/tmp"))
        self.environment = {
            "XDG_RUNTIME_DIR": str(self.folder / "r"),
            "XDG_CONFIG_HOME": str(self.folder / "c"),
            "XDG_CACHE_HOME": str(self.folder / "k"),
            "XDG_DATA_HOME": str(self.folder / "d"),
            "LABKIT_DATA": str(self.folder / "d" / "labkit"),
        }
        for folder in self.environment.values():
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / "d" / "labkit" / "images").symlink_to(images)

    def processes(self) -> list[psutil.Process]:
        """Return the daemons and guests of this instance."""
        mine = []
        for process in psutil.process_iter(["name"]):
            if process.info["name"] in ("libvirtd", "virtlogd", "qemu-system-x86_64", "qemu-system-x86"):
                try:
                    environment = process.environ()
                except psutil.Error:
                    continue
                if environment.get("XDG_RUNTIME_DIR") == self.environment["XDG_RUNTIME_DIR"] or any(
                    str(self.folder) in argument for argument in process.cmdline()
                ):
                    mine.append(process)
        return mine

    def daemon(self) -> psutil.Process:
        """Return the instance's libvirtd."""
        return next(process for process in self.processes() if process.name() == "libvirtd")

    def end(self) -> None:
        """End everything of the instance and remove its folders."""
        processes = self.processes()
        for process in processes:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(processes, timeout=10)
        shutil.rmtree(self.folder)


@pytest.fixture(scope="session", autouse=True)
def instance(guest_images: Path) -> Iterator[Instance]:
    """The tests' hypervisor instance; every process of the tests inherits its environment."""
    made = Instance(guest_images)
    before = {name: os.environ.get(name) for name in made.environment}
    os.environ.update(made.environment)
    os.environ["LABKIT_IMAGES"] = str(guest_images)
    yield made
    for name, value in before.items():
        os.environ.pop(name)
        if value is not None:
            os.environ[name] = value
    made.end()


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """An empty lab named as no other; it is cleaned afterwards."""
    number = tmp_path_factory.mktemp("lab", numbered=True).name.removeprefix("lab")
    with Lab.open(f"t{number}") as opened:
        yield opened
        opened.clean()


@pytest.fixture
def guest(lab: Lab) -> Machine:
    """A machine of the tiny image, booted and ready."""
    return lab.create("web").start().wait_ready()


@pytest.fixture(scope="module")
def shared_guest(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A booted machine that the tests of one module share; none of them may end it."""
    with Lab.open(f"shared-{Path(request.path).stem}") as opened:
        yield opened.create("web", if_exists="replace").start().wait_ready()
        opened.clean()


@pytest.fixture
def labkit_process(instance: Instance) -> Callable[[str], subprocess.Popen[str]]:
    """Start Python code in a process of its own, in this instance: another kernel."""

    def start(code: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **instance.environment},
        )

    return start
