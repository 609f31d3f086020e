"""The closed set of steps: each has one family, and those that can be undone are those that create."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest

from labkit.plans import steps
from labkit.plans.steps import (
    ArchiveStep,
    BaseStep,
    CloneStep,
    CreateStep,
    DiskStep,
    FlattenStep,
    ImageStep,
    InstantStep,
    LayerStep,
    MachineStep,
    MigrationStep,
    Phase,
    RestoreStep,
    SnapshotStep,
    Step,
    WarmStep,
)

FAMILIES = {
    "archive": ArchiveStep,
    "clone": CloneStep,
    "disk": DiskStep,
    "flatten": FlattenStep,
    "image": ImageStep,
    "layer": LayerStep,
    "machine": MachineStep,
    "migration": MigrationStep,
    "restore": RestoreStep,
    "snapshot": SnapshotStep,
    "instant": InstantStep,
    "warm": WarmStep,
}


@pytest.mark.parametrize("step", get_args(Step), ids=lambda step: step.__name__)
def test_a_step_belongs_to_the_family_in_whose_module_it_stands(step: type[BaseStep]) -> None:
    families = [name for name, family in FAMILIES.items() if step in get_args(family)]
    assert families == [step.__module__.rpartition(".")[2]]


def test_every_step_of_the_modules_is_in_the_set() -> None:
    kinds = {kind for kind in vars(steps).values() if inspect.isclass(kind) and issubclass(kind, BaseStep)}
    assert kinds - {BaseStep} == set(get_args(Step))


@pytest.mark.parametrize("step", get_args(Step), ids=lambda step: step.__name__)
def test_what_can_be_undone_is_what_creates(step: type[BaseStep]) -> None:
    assert (step in get_args(CreateStep)) == (vars(step).get("phase") is Phase.CREATE)
