"""Drawings of what was measured and of how things depend on each other, each with a text twin.

Knows: values. Must not know: the lab, libvirt.
"""

from labkit.figures.cost import draw_cost
from labkit.figures.disks import draw_formats, draw_sizes
from labkit.figures.divergence import draw_divergence
from labkit.figures.drawing import Drawing
from labkit.figures.growth import draw_growth, draw_throughput
from labkit.figures.hypervisors import draw_evidence, draw_hypervisors
from labkit.figures.inside import draw_devices, draw_kernels
from labkit.figures.layers import draw_layers
from labkit.figures.lineage import draw_lineage, draw_lineage_change
from labkit.figures.maps import draw_blocks, draw_map
from labkit.figures.memory import draw_memory
from labkit.figures.race import draw_race
from labkit.figures.sharing import draw_runs, draw_sharing
from labkit.figures.sides import draw_sides
from labkit.figures.snapshots import draw_before_after, draw_tree
from labkit.figures.timeline import draw_answers, draw_beats, draw_timeline

__all__ = [
    "Drawing",
    "draw_answers",
    "draw_beats",
    "draw_before_after",
    "draw_blocks",
    "draw_cost",
    "draw_devices",
    "draw_divergence",
    "draw_evidence",
    "draw_formats",
    "draw_growth",
    "draw_hypervisors",
    "draw_kernels",
    "draw_layers",
    "draw_lineage",
    "draw_lineage_change",
    "draw_map",
    "draw_memory",
    "draw_race",
    "draw_runs",
    "draw_sharing",
    "draw_sides",
    "draw_sizes",
    "draw_throughput",
    "draw_timeline",
    "draw_tree",
]
