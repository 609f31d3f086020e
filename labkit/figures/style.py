"""The look of all drawings: one meaning per colour, and nothing shown by colour alone.

The colours are from the Okabe-Ito palette, which colour-blind people can tell apart.
"""

from __future__ import annotations

HOST = "#D55E00"
"""The colour of what the host has or gives."""

GUEST = "#0072B2"
"""The colour of what the guest has or believes it has."""

HOST_GROUND, GUEST_GROUND = "#FBEBDD", "#DEEDF6"
"""Backgrounds for text about host and guest."""

TIME = "#56798F"
"""The colour of time."""

ABSENT = "#C9C9C9"
"""The colour of what is of no kind that is compared: it is of somewhere else, or only says what a hatch means."""

INK, QUIET, GROUND = "#1F1F1F", "#595959", "#FFFFFF"

WIDTH = 7.6
"""The width in inches; at 100 dots an inch a drawing fills a notebook's column."""

DOTS = 110
TEXT, SMALL = 11, 10
"""Letters' sizes in points."""
