"""What the doctor says of the user's own settings."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import Lab
from labkit.doctor import surroundings
from labkit.hypervisor.daemon_place import find_config_folder
from labkit.model.diagnosis import Status


@pytest.fixture(scope="module")
def daemons_folder() -> Iterator[Path]:
    """Where the daemon that answers keeps its definitions; it was started before any variable was changed."""
    with Lab.open("settings") as lab:
        yield find_config_folder()
        lab.clean()


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user without settings, who did not come through ./lab."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("LABKIT_DROPPED", "LIBVIRT_DEFAULT_URI", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME"):
        monkeypatch.delenv(name, raising=False)


def test_what_lab_left_outside_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_DROPPED", "PIP_USER PYTHONPATH")
    check = surroundings.check_variables()
    assert check.status is Status.OK
    assert "PIP_USER, PYTHONPATH" in check.what


def test_variable_that_leads_elsewhere_is_told_where_lab_was_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "qemu:///system")
    check = surroundings.check_variables()
    assert (check.status, check.repair) == (Status.NOTE, "unset LIBVIRT_DEFAULT_URI")


@pytest.mark.parametrize(("text", "status"), [("log_level = 1\n", Status.NOTE), ("# log_level = 1\n\n", Status.OK)])
def test_settings_of_the_daemon_are_told_where_they_say_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, status: Status
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # no daemon answers there: it would use what the variable says
    file = tmp_path / "libvirt/libvirtd.conf"
    file.parent.mkdir()
    file.write_text(text)
    check = surroundings.check_settings_files()
    assert check.status is status
    assert (str(file) in check.what) is (status is Status.NOTE)


def test_settings_are_looked_for_where_the_daemon_that_answers_was_told_to_keep_them(
    tmp_path: Path, daemons_folder: Path
) -> None:
    assert daemons_folder != tmp_path, "the variable says something else by now"
    file = daemons_folder / "libvirt/qemu.conf"
    file.write_text("max_core = 1\n")
    try:
        assert str(file) in surroundings.check_settings_files().what
    finally:
        file.unlink()


def test_limit_that_is_too_low_for_a_guest_is_in_the_way() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20));"
        "from labkit.doctor.surroundings import check_limits as c; print(c().status, c().what)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "trouble A file may take only 1 MiB.\n"
