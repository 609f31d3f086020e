"""Drawings of what was measured and of how things hang together, each with a text twin.

Knows: values. Must not know: the lab, libvirt.
"""

from labkit.figures.drawing import Drawing
from labkit.figures.memory import draw_memory
from labkit.figures.sides import draw_sides
from labkit.figures.timeline import draw_answers, draw_beats, draw_timeline

__all__ = ["Drawing", "draw_answers", "draw_beats", "draw_memory", "draw_sides", "draw_timeline"]
