"""A lab of 1 000 images: who depends on whom, at the first look and again; and a tree of 1 000 snapshots drawn."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from labkit import Lab
from labkit.model.image import Format
from labkit.model.lineage import read_lineage
from labkit.model.snapshot import SnapshotTree, sort_nodes
from labkit.storage.linking import link
from tests.bench.table import Row

IMAGES = 1_000
CHILDREN = 10
ROUNDS = 7

COLD = """
import time
from labkit import Lab
from labkit.model.lineage import read_lineage
lab = Lab.open({name!r})
began = time.perf_counter()
graph = read_lineage(lab.state).graph()
print(time.perf_counter() - began)
assert len(graph) > {images}
lab.close()
"""


def bench_lineage() -> list[Row]:
    """Measure the lineage and the drawing."""
    with Lab.open("bench-lineage") as lab:
        lab.clean()
        try:
            _fill(lab)
            cold = tuple(_cold(lab.name) for _ in range(ROUNDS))
            read_lineage(lab.state).graph()
            warm = tuple(_timed(lambda: read_lineage(lab.state).graph()) for _ in range(ROUNDS))
            tree = _tree(lab)
            drawn = tuple(_timed(lambda: _draw(tree)) for _ in range(ROUNDS))
        finally:
            lab.clean()
    return [
        Row(what=f"lineage of {IMAGES} images, first look", runs=cold, limit=2),
        Row(what=f"lineage of {IMAGES} images, again", runs=warm, limit=0.2),
        Row(what=f"tree of {IMAGES} snapshots, laid out and drawn", runs=drawn, limit=2),
    ]


def _fill(lab: Lab) -> None:
    """A machine with a snapshot, and on its frozen image a tree of differencing images, ten on each."""
    vm = lab.create("web", disk_format="qcow2")
    vm.snapshots.take("root")
    disks = lab.home / "disks"
    level = [Path(vm.snapshots["root"].disks[0].path)]
    made = 2
    while made < IMAGES:
        below, *level = level
        paths = [disks / f"web.vda.{made + number}.qcow2" for number in range(min(CHILDREN, IMAGES - made))]
        link(paths, below, Format.QCOW2)
        level += paths
        made += len(paths)


def _cold(name: str) -> float:
    argv = [sys.executable, "-c", COLD.format(name=name, images=IMAGES)]
    return float(subprocess.run(argv, check=True, capture_output=True, text=True, env=dict(os.environ)).stdout)


def _tree(lab: Lab) -> SnapshotTree:
    """A thousand snapshots, each the parent of up to ten."""
    first = lab.state.snapshots["web"]["root"]
    nodes = {
        f"s{number}": replace(
            first, name=f"s{number}", parent=f"s{(number - 1) // CHILDREN}" if number else None, created=number
        )
        for number in range(IMAGES)
    }
    return SnapshotTree(nodes=sort_nodes(nodes), current=f"s{IMAGES - 1}")


def _draw(tree: SnapshotTree) -> None:
    from labkit.figures.snapshots import draw_tree

    assert draw_tree(tree).to_png()


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
