"""Every drawing, each argument with each odd value, alone and inside what it takes: a picture, or an error in words."""

from __future__ import annotations

import inspect
import time
from dataclasses import dataclass
from typing import Any

import pytest
from matplotlib.figure import Figure

from labkit import figures
from labkit.errors import BadInput, LabError
from labkit.model.inside import PciDevice, System
from labkit.model.lineage import read_lineage
from labkit.model.measurement import Timing
from labkit.plans.snapshot import plan_take
from tests.figures.test_disk_drawings import DISK, MAP, ROWS, SAMPLES, TIMINGS
from tests.figures.test_hypervisor_drawings import HOST, share
from tests.figures.test_lineage_figures import SEATS, SMALL, diverging
from tests.figures.test_machine_drawings import MOMENTS
from tests.figures.test_snapshot_figures import STATE, SURVEY, THREE
from tests.guests.odd_values import ODD

SECONDS = 8.0
"""What a drawing may take on a busy host."""


@dataclass(frozen=True)
class Running:
    """A guest's process."""

    pid: int = 7
    program: str = "qemu"
    threads: int = 4


PLAN = plan_take(STATE, SURVEY, "web", "new", "")
MACHINE = next(iter(SMALL.machines.values()))
DEVICE = PciDevice(address="0000:00:00.0", vendor=0x8086, device=0x29C0, kind=0x060000)
ON_BASE = Timing(slug="on-base", first=(2.1, 2.3), again=(0.3, 0.4))
CALLS: dict[str, dict[str, Any]] = {
    "draw_answers": {"moments": MOMENTS},
    "draw_beats": {"beats": [1.0, 1.1, 1.2], "event": 1.05, "word": "breaks"},
    "draw_before_after": {"state": STATE, "plan": PLAN, "large": False},
    "draw_blocks": {"disk": DISK, "regions": MAP, "offsets": [0]},
    "draw_cost": {"timings": (*TIMINGS, ON_BASE), "until": 0.0},
    "draw_devices": {"devices": [DEVICE]},
    "draw_divergence": {"samples": diverging(["copy"], SEATS), "linked": SEATS},
    "draw_evidence": {"host": HOST, "ancestors": ["init"]},
    "draw_formats": {"rows": ROWS},
    "draw_growth": {"samples": SAMPLES, "capacity": 2**26, "marks": {"dd": 0.5}},
    "draw_hypervisors": {"host": HOST},
    "draw_kernels": {"systems": {"host": System(name="a", kernel="6.1", boot_id="1", processes=9)}},
    "draw_layers": {"disks": [(DISK, MAP)]},
    "draw_lineage": {"lineage": read_lineage(SMALL), "selected": "web@clean", "large": False, "grouped": True},
    "draw_lineage_change": {"state": SMALL, "plan": PLAN, "large": False},
    "draw_map": {"disk": DISK, "regions": MAP},
    "draw_memory": {"given": {"booted": 2**26}, "promised": 2**27},
    "draw_race": {"moments": MOMENTS, "sizes": [512, 200], "memory": False},
    "draw_runs": {"runs": {"alone": [1.5]}},
    "draw_sharing": {"shares": [share([9], [5])]},
    "draw_sides": {"machine": MACHINE, "process": Running(), "disk": DISK.layers[0]},
    "draw_sizes": {"disks": [DISK]},
    "draw_throughput": {"samples": SAMPLES, "iops": 100, "bytes_per_second": 0, "marks": {"throttle": 2}},
    "draw_timeline": {"moments": MOMENTS, "until": 0.0},
    "draw_tree": {"tree": THREE, "costs": {"s0": 1}, "notes": {"s1": "login:"}, "large": False},
}
"""By name: what it draws well; axes are tried in each."""


def test_every_drawing_is_in_the_table() -> None:
    assert {name for name in figures.__all__ if name.startswith("draw_")} == set(CALLS)


def variants(right: object) -> dict[str, Any]:
    """The odd values, and each as the one thing in a collection of the right kind."""
    found = dict(ODD)
    for kind, value in ODD.items():
        if isinstance(right, dict):
            found[f"value {kind}"] = {next(iter(right)): value}
            if kind in ("long text", "NUL", "half a character", "7", "None"):
                found[f"key {kind}"] = {value: next(iter(right.values()))}
        elif isinstance(right, list | tuple):
            found[f"one {kind}"] = [value]
    return found


@pytest.mark.parametrize("name", CALLS)
def test_what_cannot_be_drawn_is_told_in_words(name: str) -> None:
    draw, ordinary = getattr(figures, name), CALLS[name]
    assert set(inspect.signature(draw).parameters) == {*ordinary, "ax"}, "the table names other arguments"
    draw(**ordinary).to_png()
    raw = []
    for argument in (*ordinary, "ax"):
        for kind, value in variants(ordinary.get(argument)).items():
            began = time.monotonic()
            try:
                drawing = draw(**{**ordinary, argument: value})
                if kind in ("quotes", "percent", "braces", "XML", "one quotes", "value quotes"):
                    drawing.to_png()
            except LabError as error:
                if not error.message or len(str(error)) > 3000:
                    raw.append((argument, kind, f"a message of {len(str(error))} letters"))
            except Exception as error:  # noqa: BLE001 — that is what is looked for
                raw.append((argument, kind, repr(error)[:200]))
            if time.monotonic() - began > SECONDS:
                raw.append((argument, kind, f"{time.monotonic() - began:.1f} s"))
    assert not raw, "\n".join(map(str, raw))


def test_the_message_names_drawing_and_argument() -> None:
    with pytest.raises(BadInput, match=r"draw_tree cannot draw this: tree=None\.\n→ help\(draw_tree\)"):
        figures.draw_tree(None)  # type: ignore[arg-type]


def test_a_word_with_two_dollars_is_no_formula() -> None:
    axes = Figure().add_subplot()
    drawing = figures.draw_beats([1.0, 1.1, 1.2], 1.05, "$\\frac$", axes)
    assert drawing.to_png()
