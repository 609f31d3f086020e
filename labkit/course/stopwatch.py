"""A stopwatch for experiments: marks on the way, and the seconds in between.

What it measures differs in every run, so its `repr` has only the marks; the figures draw the seconds.

Knows: the clock, the course's texts. Must not know: what is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from labkit.course.text import read_texts, say


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A moment.

    Attributes:
        slug: its name. label: its name in words, in the language in force.
        seconds: since the stopwatch was started.
    """

    slug: str
    label: str
    seconds: float


class Stopwatch:
    """A stopwatch that runs from the moment it is made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._marks: list[Mark] = []

    def mark(self, slug: str) -> None:
        """Mark this moment.

        Args:
            slug: a name that the course has words for, or any other, which then is the label, too.
        """
        texts = read_texts("marks")
        label = say(texts[slug]) if slug in texts else slug
        self._marks.append(Mark(slug=slug, label=label, seconds=time.monotonic() - self._began))

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The marked moments, in order."""
        return tuple(self._marks)

    @property
    def seconds(self) -> float:
        """Seconds from the start to the last mark, or to now if there is none."""
        return self._marks[-1].seconds if self._marks else time.monotonic() - self._began

    def __add__(self, later: Stopwatch) -> Stopwatch:
        """Return the moments of both, as if the later stopwatch had been started at this one's `seconds`."""
        both = Stopwatch()
        both._marks = [*self._marks, *(replace(mark, seconds=mark.seconds + self.seconds) for mark in later._marks)]
        return both

    def __repr__(self) -> str:
        return "Stopwatch: " + " → ".join(mark.label for mark in self._marks)


def time_steps(**steps: Callable[[], object]) -> Stopwatch:
    """Call functions one after the other and mark when each was done.

    Args:
        steps: what to call, by slug (see `Stopwatch.mark`).
    """
    watch = Stopwatch()
    for slug, step in steps.items():
        step()
        watch.mark(slug)
    return watch
