"""pyproject.toml is where dependencies are declared; environment.yml and the locks say the same."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from tests.project.files import ROOT

LOCKS = ("build", "runtime", "test")


def read_project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read_declared() -> dict[NormalizedName, Requirement]:
    project = read_project()["project"]
    requirements = map(Requirement, project["dependencies"] + project["optional-dependencies"]["test"])
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def read_lock(name: str) -> str:
    return (ROOT / f"requirements/{name}.lock").read_text(encoding="utf-8")


def read_pins(name: str) -> dict[str, set[str]]:
    """Versions of each package of a lock; it has several where they differ between Pythons."""
    pins: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([\w.-]+)==([^\s;]+)", read_lock(name), flags=re.MULTILINE):
        pins.setdefault(canonicalize_name(package), set()).add(version)
    return pins


def test_conda_environment_declares_the_same_packages_and_bounds() -> None:
    entries = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    from_pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    named = [entry for entry in entries if isinstance(entry, str)] + from_pip
    assert "--editable ." in named
    there = {str(canonicalize_name(r.name)): str(r.specifier) for r in map(Requirement, set(named) - {"--editable ."})}
    assert there.pop("python") == str(Requirement("python" + read_project()["project"]["requires-python"]).specifier)
    del there["pip"]
    assert there == {name: str(requirement.specifier) for name, requirement in read_declared().items()}


def test_lock_holds_a_version_of_every_declared_package() -> None:
    pins = read_pins("test")
    for name, requirement in read_declared().items():
        assert all(version in requirement.specifier for version in pins[name]), name


def test_build_lock_holds_every_tool_that_builds() -> None:
    pins = read_pins("build")
    assert {Requirement(line).name for line in read_project()["dependency-groups"]["build"]} <= pins.keys()


def test_runtime_and_test_locks_agree() -> None:
    runtime, test = read_pins("runtime"), read_pins("test")
    assert runtime == {name: test[name] for name in runtime}


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_version_has_a_hash(name: str) -> None:
    entries = re.split(r"\n(?=\S)", read_lock(name).strip())
    assert [entry for entry in entries if "--hash=sha256:" not in entry and not entry.startswith("#")] == []


@pytest.mark.parametrize("name", LOCKS)
def test_locks_name_no_registry(name: str) -> None:
    assert re.findall(r"https?:|file:|--(?:extra-)?index-url|--find-links", read_lock(name)) == []
