"""What a step says while it is carried out: words, for every kind of step."""

from __future__ import annotations

from typing import get_args

from labkit.model.image import Allocation, Format
from labkit.plans.step_words import _list_words, step_word
from labkit.plans.steps import BringImage, ConvertImage, Step


def test_every_kind_of_step_has_its_words() -> None:
    assert set(get_args(Step)) - _list_words().keys() == {ConvertImage, BringImage}


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
    assert step_word(step) == "writing the content as vdi"
