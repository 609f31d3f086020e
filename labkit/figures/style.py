"""The look of all drawings: one meaning per colour, told apart without colour too.

Colours are of the Okabe-Ito palette, which the colour-blind can tell apart.
"""

from __future__ import annotations

HOST = "#D55E00"
"""What the host has or gives."""

GUEST = "#0072B2"
"""What the guest has or believes to have."""

HOST_GROUND, GUEST_GROUND = "#FBEBDD", "#DEEDF6"
"""Grounds for text about host and guest."""

TIME = "#56798F"
"""Time that passes."""

INK, QUIET, GROUND = "#1F1F1F", "#595959", "#FFFFFF"

WIDTH = 7.6
"""Inches; at 100 dots an inch a drawing fills a notebook's column."""

DOTS = 110
TEXT, SMALL = 11, 10
"""Points."""
