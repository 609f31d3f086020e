"""What a step says of itself: each kind says all of it, in the language in force."""

from __future__ import annotations

from typing import get_args

import pytest

from labkit.model.image import Allocation, Format
from labkit.plans import steps
from labkit.plans.steps import BaseStep, ConvertImage, Step


def test_every_step_belongs_to_one_family_and_leaves_nothing_unsaid() -> None:
    families = [get_args(each) or (each,) for name, each in vars(steps).items() if name.endswith("Step")]
    kinds = [kind for family in families for kind in family if kind is not BaseStep]
    assert {kinds.count(kind) for kind in get_args(Step)} == {2}  # in its family and in the union of all
    assert not [kind for kind in get_args(Step) if kind.__abstractmethods__]


def test_step_that_says_too_little_cannot_be_made() -> None:
    class Silent(BaseStep):
        pass

    with pytest.raises(TypeError, match="after"):
        Silent()  # type: ignore[abstract]


def test_words_name_what_is_made_and_no_path() -> None:
    step = ConvertImage(
        source="/labs/default/disks/big.0.raw",
        source_format=Format.RAW,
        target="/labs/default/disks/copy.0.vdi",
        target_format=Format.VDI,
        allocation=Allocation.FIXED,
        capacity=1024,
        bytes=1024,
    )
    assert step.word == "writing the content as vdi"
