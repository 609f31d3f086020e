"""What a VHD really gets, told beforehand: as much as qemu-img makes of it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from labkit.model.geometry import vhd_capacity
from labkit.units import GIB, MIB

SIZES = (1, 68, 8191, 16383, 16 * MIB // 512, 64 * MIB // 512, 200_001, 532_480, 1_048_575, 4_194_303, 10 * GIB // 512)
LARGE = (65535 * 16 * 63 - 1, 65535 * 16 * 63, 65535 * 16 * 63 + 12_345, 65535 * 16 * 255 - 5, 65535 * 16 * 255 + 7)


@pytest.mark.parametrize("sectors", [*SIZES, *LARGE])
def test_the_capacity_is_what_qemu_makes_of_it(sectors: int, tmp_path: Path) -> None:
    file = tmp_path / "d.vhd"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vpc", file, str(sectors * 512)], check=True)
    told = subprocess.check_output(["qemu-img", "info", "-f", "vpc", "--output=json", file])
    assert vhd_capacity(sectors * 512) == json.loads(told)["virtual-size"]
