"""What a step says of itself: each kind says all of it, in the language in force."""

from __future__ import annotations

from typing import get_args

import pytest

from labkit.model.image import Allocation, Format
from labkit.plans.steps import BaseStep, ConvertImage, Step


def test_no_step_leaves_anything_unsaid() -> None:
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
