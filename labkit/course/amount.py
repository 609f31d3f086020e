"""Figures in words: with their unit, in the language in force.

Knows: units. Must not know: what was measured.
"""

from __future__ import annotations

from labkit.units import decimal, format_size

UNITS = ("", "s", "B")
"""Of figures that are kept: a number, seconds, bytes."""

SHARE, TIMES = "%", "×"
"""Further units of what is observed: a share of one, a ratio."""


def say_amount(value: float, unit: str) -> str:
    """Return a figure with its unit, as a person would say it."""
    if unit == "B":
        return format_size(int(value))
    if unit == SHARE:
        return f"{decimal(f'{100 * value:.3g}')} %"
    if unit == "" and value == int(value):
        return str(int(value))
    number = decimal(f"{value:.3g}")
    return f"{number} {unit}" if unit else number
