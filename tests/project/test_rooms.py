"""The contracts of the rooms bite: each import that must not be, planted in a copy of labkit, is found there."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import networkx as nx
import pytest

from tests.project.files import ROOT

LINT = Path(sys.executable).parent / "lint-imports"

FORBIDDEN = (
    ("hypervisor.domains", "labkit.plans.plan"),
    ("storage.qemu_img", "labkit.plans.naming"),
    ("guest.agent", "labkit.plans.plan"),
    ("hypervisor.disks", "labkit.storage.files"),
    ("lab", "labkit.hypervisor.domains"),
    ("machine", "labkit.guest.console"),
    ("disk", "labkit.storage.maps"),
    ("snapshots", "labkit.hypervisor.snapshots"),
    ("acts.clone", "labkit.storage.files"),
    ("acts.machine", "labkit.machine"),
    ("acts.travel", "labkit.lab"),
    ("acts.act", "labkit.snapshots"),
    ("engine.session", "labkit.acts.names"),
    ("disks", "labkit.lab"),
    ("experiments.verify", "labkit.widgets.panel"),
    ("doctor.parts", "labkit.widgets.tree"),
    ("figures.disks", "labkit.lab"),
    ("widgets.store", "labkit.hypervisor.events"),
    ("course.exercise", "labkit.hypervisor.domains"),
    ("model.disk", "pathlib"),
    ("model.state", "os"),
    ("plans.naming", "time"),
    ("units", "labkit.model.disk"),
)
"""A module of labkit, and what it must not import."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the contracts say of a copy with all of these imports planted, under `TYPE_CHECKING` as the least of it."""
    copy = tmp_path_factory.mktemp("rooms")
    shutil.copytree(ROOT / "labkit", copy / "labkit", ignore=shutil.ignore_patterns("__pycache__", "server", "locale"))
    (copy / "labkit/server").mkdir()
    (copy / "labkit/server/__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", copy)
    for module, forbidden in FORBIDDEN:
        path = copy / "labkit" / f"{module.replace('.', '/')}.py"
        planted = f"\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {forbidden}\n"
        path.write_text(path.read_text() + planted)
    (copy / "labkit/newcomer.py").touch()
    done = subprocess.run(
        [LINT, "--no-cache"], cwd=copy, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(copy)}
    )
    assert done.returncode == 1, done.stderr
    return " ".join(done.stdout.split())


@pytest.mark.parametrize(("module", "forbidden"), FORBIDDEN)
def test_an_import_that_must_not_be_is_found(found: str, module: str, forbidden: str) -> None:
    assert f"labkit.{module} -> {forbidden} (l." in found


def test_a_module_that_stands_in_no_layer_is_found(found: str) -> None:
    assert "newcomer" in found


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph("labkit", exclude_type_checking_imports=False, cache_dir=None)
    arrows = {(module, each) for module in graph.modules for each in graph.find_modules_directly_imported_by(module)}
    only_a_type = {("labkit.machine", "labkit.lab")}
    assert only_a_type < arrows
    circles = [each for each in nx.strongly_connected_components(nx.DiGraph(arrows - only_a_type)) if len(each) > 1]
    assert circles == []


def test_no_two_public_classes_have_one_name() -> None:
    """What is read in one room must not be taken for what another one means."""
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / "labkit").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
