"""A lab with a machine in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit import Lab
from tests.engine.picture import take_picture


@pytest.fixture
def sector_lab(lab: Lab) -> Iterator[Lab]:
    """A lab with one machine, `web`, of the sector image; it is off. Nothing is left of it afterwards."""
    lab.create("web", image="sector", memory="16 MiB")
    yield lab
    lab.clean()
    left = take_picture(lab)
    assert (left.machines, [name for name, _digest in left.files], left.processes) == ((), ["lab.json"], 0)
