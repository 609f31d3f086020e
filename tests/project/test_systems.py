"""deploy/ on each system that the README names: what it asks of apt, which Python it takes, what is told."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from labkit.doctor.parts import LEAST_LIBVIRT, LEAST_QEMU, PYTHONS
from tests.project.files import ROOT, run

SYSTEMS: dict[str, dict[str, Any]] = tomllib.loads((ROOT / "tests/project/systems.toml").read_text(encoding="utf-8"))
SUPPORTED = ["debian-12", "debian-13", "debian-sid", "ubuntu-24-04", "ubuntu-26-04"]
KEYS_AND_ADDRESS = {"debian-archive-keyring", "mmdebstrap"}


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:2]))


class Host:
    """A system as far as deploy/ looks at it: what it is, its Pythons, and what its apt knows."""

    def __init__(self, folder: Path, *, name: str = "debian", pythons: list[int], knows: set[str]) -> None:
        self.folder = folder
        (folder / "os-release").write_text(f'NAME="Some System"\nID={name}\nID_LIKE=debian\n')
        for index, minor in enumerate(pythons):  # the first is the system's own
            self.program("python3" if index == 0 else f"python3.{minor}", f"echo {minor}")
        words = "\n".join(f"  {package}) exit 0 ;;" for package in sorted(knows))
        self.program("apt-cache", f'case "$3" in\n{words}\nesac\nexit 100')
        self.program("dpkg", "echo amd64")

    def program(self, name: str, text: str) -> None:
        (self.folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.folder / name).chmod(0o755)

    def call(self, function: str) -> list[str]:
        """What a function of deploy/ prints on this system, by words."""
        parts = "".join(f". {ROOT}/deploy/{part}.sh; " for part in ("say", "packages", "python", "runtime"))
        own = (
            f"OS_RELEASE={self.folder}/os-release SYSTEM_PYTHON={self.folder}/python3 KERNEL_SETTINGS={self.folder}/sys"
        )
        done = run("bash", "-euc", f"ROOT={ROOT} VENV=none; {parts} {own}; PATH={self.folder}:$PATH; {function}",
                   environment={"LABKIT_PYTHON": ""})  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.split()


def host_of(system: str, folder: Path) -> Host:
    facts = SYSTEMS[system]
    return Host(folder, name=facts["id"], pythons=[facts["python"]], knows=set(facts["proved"]))


# ------------------------------------------------------------------------------------------------------- packages
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_package_that_is_asked_for_is_there(system: str, tmp_path: Path) -> None:
    facts = SYSTEMS[system]
    asked = set(host_of(system, tmp_path).call("packages_of runtime"))
    assert {"qemu-utils", "libvirt-daemon", "qemu-system-x86"} <= asked
    assert asked <= {*facts["proved"], *facts["assumed"]}


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_package_that_only_the_tests_ask_for_is_there_or_named_as_unproved(system: str, tmp_path: Path) -> None:
    facts, host = SYSTEMS[system], host_of(system, tmp_path)
    asked = set(host.call("packages_of test")) - set(host.call("packages_of runtime"))
    assert {"chromium", "nbdkit"} <= asked
    assert asked - set(facts["proved"]) == set(facts["unproved_tests"])


@pytest.mark.parametrize("system", [system for system in SYSTEMS if SYSTEMS[system]["id"] == "debian"])
def test_on_debian_nothing_is_assumed_and_no_proof_is_of_what_nobody_asks_for(system: str, tmp_path: Path) -> None:
    facts = SYSTEMS[system]
    assert set(facts["proved"]) == set(host_of(system, tmp_path).call("packages_of test"))
    assert facts["assumed"] == facts["unproved_tests"] == []


def test_on_the_system_that_runs_this_every_package_is_there() -> None:
    done = run("bash", "-euc", f". {ROOT}/deploy/say.sh; . {ROOT}/deploy/packages.sh; . {ROOT}/deploy/python.sh;"
               f"ROOT={ROOT}; missing_packages test")  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


@pytest.mark.parametrize("system", SYSTEMS)
def test_debians_keys_and_address_are_asked_for_where_they_are_not_at_home(system: str, tmp_path: Path) -> None:
    asked = set(host_of(system, tmp_path).call("packages_of runtime"))
    assert asked & KEYS_AND_ADDRESS == (set() if SYSTEMS[system]["id"] == "debian" else KEYS_AND_ADDRESS)


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_kernel_of_the_host_is_asked_for(system: str, tmp_path: Path) -> None:
    assert [name for name in host_of(system, tmp_path).call("packages_of test") if name.startswith("linux-")] == []


def test_supported_systems_are_new_enough_for_labkit() -> None:
    fit = [
        system
        for system, facts in SYSTEMS.items()
        if number(facts["libvirt"]) >= LEAST_LIBVIRT
        and number(facts["qemu"]) >= LEAST_QEMU
        and PYTHONS[0] <= (3, facts["python"]) <= PYTHONS[1]
    ]
    assert sorted(fit) == sorted(SUPPORTED)


# -------------------------------------------------------------------------------------------------------- Pythons
@pytest.mark.parametrize("minor", range(PYTHONS[0][1], PYTHONS[1][1] + 1))
def test_system_with_a_python_that_fits_uses_it(tmp_path: Path, minor: int) -> None:
    host = Host(tmp_path, pythons=[minor], knows=set())
    assert host.call("python_packages") == ["python3-dev", "python3-venv"]
    assert host.call("python_to_use") == [f"{tmp_path}/python3"]


@pytest.mark.parametrize("own", [10, 15])
def test_newest_python_that_fits_is_taken_from_the_distribution(tmp_path: Path, own: int) -> None:
    knows = {"python3.10-venv", "python3.11-venv", "python3.13-venv", "python3.15-venv"}
    host = Host(tmp_path, pythons=[own, 13, 11], knows=knows)
    assert host.call("python_packages") == ["python3.13-dev", "python3.13-venv"]
    assert host.call("python_to_use") == [f"{tmp_path}/python3.13"]


def test_system_without_a_python_that_fits_keeps_its_own_to_be_told_of(tmp_path: Path) -> None:
    host = Host(tmp_path, pythons=[15], knows={"python3.15-venv"})
    assert host.call("python_packages") == ["python3-dev", "python3-venv"]
    assert host.call("python_to_use") == [f"{tmp_path}/python3"]


def test_pythons_of_setup_doctor_and_package_are_the_same(tmp_path: Path) -> None:
    minors = Host(tmp_path, pythons=[11], knows=set()).call('printf "%s " $PYTHON_MINORS')
    assert sorted(map(int, minors)) == list(range(PYTHONS[0][1], PYTHONS[1][1] + 1))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">=3.{PYTHONS[0][1]},<3.{PYTHONS[1][1] + 1}"
    named = {line.rpartition("::")[2].strip() for line in project["classifiers"] if "Python :: 3." in line}
    assert named == {f"3.{minor}" for minor in minors}


# ------------------------------------------------------------------------------------------------ user namespaces
@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "; kernel.apparmor_restrict_unprivileged_userns is 1"),
        ("kernel/unprivileged_userns_clone", "0", "; kernel.unprivileged_userns_clone is 0"),
        ("user/max_user_namespaces", "0", "; user.max_user_namespaces is 0"),
        ("user/max_user_namespaces", "60000", ""),
        ("kernel/apparmor_restrict_unprivileged_userns", "0", ""),
    ],
)
def test_setting_that_forbids_user_namespaces_is_named(tmp_path: Path, setting: str, value: str, told: str) -> None:
    host = Host(tmp_path, pythons=[11], knows=set())
    (tmp_path / "sys" / setting).parent.mkdir(parents=True)
    (tmp_path / "sys" / setting).write_text(f"{value}\n")
    assert " ".join(host.call("namespace_limit")) == told
