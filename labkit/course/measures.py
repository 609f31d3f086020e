"""How a figure is measured when it was not kept: a small experiment on machines of its own, at most 15 seconds long.

What takes longer than that (twenty machines, a migration) only its notebook measures. Whatever is made here is removed,
also when it fails.

Knows: the lab as a student uses it, experiments. Must not know: where figures are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from labkit.course.stopwatch import time_steps
from labkit.errors import HostTrouble, TimedOut
from labkit.lab import Lab
from labkit.language import _
from labkit.limits import Limit
from labkit.machine import Machine

MOST_SECONDS = 15.0
"""What a measurement may take."""

Measured = tuple[float, str]
"""A value and its unit; see `results.py`."""

_NAME = "labkit-recall"
"""Of its machines and disks; others follow with a number."""


def measure(slug: str, lab: Lab) -> Measured | None:
    """Return a figure, measured now, or None: there is no such measurement.

    Raises:
        LabError: it could not be measured in the time it has, or not at all; the message says why.
    """
    how = MEASURES.get(slug)
    if how is None:
        return None
    limit = Limit(MOST_SECONDS, what=_("Measuring {slug}").format(slug=slug))
    with _nothing_left(lab):
        measured = how(lab, limit)
    if limit.reached:  # what was not stopped in time is no figure to go on with
        raise TimedOut(
            _("Measuring {slug} took longer than {seconds:g} s.").format(slug=slug, seconds=MOST_SECONDS),
            _("This computer is busy: try later, or run the section that measures it."),
        )
    return measured


def _boot(lab: Lab, limit: Limit) -> Measured:
    machine = lab.create(_NAME)
    began = time.monotonic()
    machine.start(warm=False, timeout=limit.left).wait_ready(timeout=limit.left)
    return time.monotonic() - began, "s"


def _memory(lab: Lab, limit: Limit) -> Measured:
    machine = lab.create(_NAME, memory="512 MiB")
    machine.start(warm=False, timeout=limit.left).wait_ready(timeout=limit.left)
    process = machine.process
    given = process.guest_memory_resident if process else None
    if given is None:
        raise HostTrouble(
            _("This computer does not tell how much memory it has given {name}.").format(name=machine.name),
            _("Run the section that measures it: there it is shown where the figure is from."),
        )
    return given, "B"


def _full_clone(lab: Lab, limit: Limit) -> Measured:
    origin = _with_data(lab)
    return time_steps(
        full=lambda: origin.clone(f"{_NAME}-copy", snapshot=_NAME, reflink=False, timeout=limit.left)
    ).seconds, "s"


def _linked_clone(lab: Lab, limit: Limit) -> Measured:
    origin = _with_data(lab)
    return time_steps(
        linked=lambda: origin.clone(f"{_NAME}-link", kind="linked", snapshot=_NAME, timeout=limit.left)
    ).seconds, "s"


def _with_data(lab: Lab) -> Machine:
    """Return a machine, off, with 512 MiB that are written, and a snapshot."""
    origin = lab.create(_NAME)
    origin.attach(lab.disks.create(f"{_NAME}-data", capacity="512 MiB", format="raw", allocation="fixed"))
    origin.snapshots.take(_NAME)
    return origin


MEASURES: Final[dict[str, Callable[[Lab, Limit], Measured]]] = {
    "boot-time": _boot,
    "memory-given": _memory,
    "full-clone": _full_clone,
    "linked-clone": _linked_clone,
}


@contextmanager
def _nothing_left(lab: Lab) -> Iterator[None]:
    """Remove the machines and disks of measurements, before and after: an earlier one may have been killed."""
    _clear(lab)
    try:
        yield
    finally:
        _clear(lab)


def _clear(lab: Lab) -> None:
    ours = [name for name in lab.machines if name == _NAME or name.startswith(f"{_NAME}-")]
    for name in sorted(ours, reverse=True):  # clones before what they stand on
        machine = lab.machines[name]
        if machine.facts.is_active:
            machine.kill()
        machine.delete()
    for name in [name for name in lab.disks if name.startswith(f"{_NAME}-") and lab.disks[name].machine is None]:
        lab.disks[name].delete()
