"""labkit as a wheel: it brings the console's front end and tells Jupyter of it, without Node."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from playwright.sync_api import expect

from labkit import Lab
from tests.browser.jupyter import MINUTE, open_notebook, open_window, run_all, start_server, write_notebook
from tests.project.files import ROOT, assert_clean, run

WITHOUT_PROGRAMS = {"PATH": "/nowhere", "PYTHONPATH": ""}
SAY_WHERE = "import labkit\nfrom labkit import Lab\nfrom labkit.widgets import Console\nprint(labkit.__file__)"
OTHERS = (
    "share/jupyter/lab",
    "share/jupyter/labextensions/@jupyter-widgets",
    "share/jupyter/labextensions/anywidget",
    "etc/jupyter/jupyter_server_config.d/jupyter_server_terminals.json",
)
"""What the packages that labkit stands on tell Jupyter of themselves."""

LIST_EXTENSIONS = "from jupyter_server.extension.serverextension import main; main()"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty Python environment with labkit's wheel alone; what labkit stands on is found in ours."""
    folder = tmp_path_factory.mktemp("wheel")
    assert_clean([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder])
    (wheel,) = folder.glob("*.whl")
    place = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    installed = run(
        *(place / "bin/python", "-m", "pip", "install", "--no-deps", "--no-index", wheel),
        environment=WITHOUT_PROGRAMS,
        cwd=folder,
    )
    assert installed.returncode == 0, installed.stderr
    (packages,) = place.glob("lib/python3*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    for part in OTHERS:
        (place / part).symlink_to(Path(sys.prefix) / part)
    return place


def test_the_front_end_and_its_licences_are_in_the_wheel(environment: Path) -> None:
    (server,) = environment.glob("lib/python3*/site-packages/labkit/server")
    bundle = (server / "static/console.js").read_text()
    assert "labkit-console" in bundle
    assert "xterm" in (server / "static/LICENSES.txt").read_text()
    dependencies = json.loads((ROOT / "labkit/server/front/package.json").read_text())["dependencies"]
    assert [name for name in dependencies if name not in (server / "static/LICENSES.txt").read_text()] == []
    assert not (server / "front").exists(), "its sources need Node"


def test_jupyter_finds_both_extensions_of_the_wheel(environment: Path) -> None:
    extensions = run(
        *(environment / "bin/python", "-c", LIST_EXTENSIONS, "list"), environment=WITHOUT_PROGRAMS, cwd=environment
    )
    listed = extensions.stdout + extensions.stderr
    assert str(environment / "etc/jupyter") in listed
    assert "labkit.server" in listed.split(str(environment / "etc/jupyter"))[1].split("Config dir")[0]
    assert (environment / "etc/jupyter/jupyter_jupyter_server_terminals_config.json").exists()
    package = json.loads((environment / "share/jupyter/labextensions/labkit/package.json").read_text())
    assert (environment / "share/jupyter/labextensions/labkit" / package["jupyterlab"]["_build"]["load"]).exists()


def test_the_console_of_the_wheel_joins_a_machine_without_node(environment: Path, lab: Lab, tmp_path: Path) -> None:
    lab.create("web", image="sector", memory="16 MiB").start()
    with start_server(tmp_path, programs=environment / "bin") as server, open_window() as window:
        write_notebook(server, "wheel.ipynb", [SAY_WHERE, f"Console(Lab.open({lab.name!r}), 'web')"])
        open_notebook(window.page, server, "wheel.ipynb")
        run_all(window.page)
        expect(window.page.locator(".jp-OutputArea").first).to_contain_text(f"{environment}/", timeout=MINUTE)
        expect(window.page.locator("labkit-console")).to_contain_text("Joined to the serial line", timeout=MINUTE)
        window.page.locator("labkit-console textarea").focus()
        window.page.keyboard.press("Enter")
        expect(window.page.locator("labkit-console .xterm-rows")).to_contain_text("sector>", timeout=MINUTE)


def test_the_front_end_names_no_registry() -> None:
    lock = (ROOT / "labkit/server/front/package-lock.json").read_text()
    assert "://" not in lock
    assert '"integrity": "sha512-' in lock
