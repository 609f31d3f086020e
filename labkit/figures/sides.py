"""Drawing of one machine from both sides: what the guest has, and what that is on the host.

Knows: a machine's facts, its process as numbers. Must not know: how they were read.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Protocol

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.figures.given import drawn
from labkit.language import _, ngettext
from labkit.model.image import ImageFacts
from labkit.model.machine import MachineFacts
from labkit.units import format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = tuple[str, str, str]
"""A row: what it is about, the guest's side, the host's side."""


class Process(Protocol):
    """What is drawn of a guest's process."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def program(self) -> str:
        """The executable's name."""

    @property
    def threads(self) -> int:
        """How many threads it has."""


@drawn
def draw_sides(machine: MachineFacts, process: Process, disk: ImageFacts, ax: Axes | None = None) -> Drawing:
    """Draw a running machine twice: what the guest sees on the left, what the host has on the right.

    How much memory the host has really given is in another drawing, since the course asks for it.

    Args:
        machine: one that is running. process: its emulator's. disk: the image of its first disk.
    """
    rows = _measured_rows(machine, process, disk)

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_xlim(0, 1.005)
        axes.set_ylim(len(rows) + 0.05, -0.62)
        for x, word, colour in ((0.33, _("the guest sees"), style.GUEST), (0.76, _("the host has"), style.HOST)):
            axes.text(x, -0.3, word, ha="center", va="center", weight="bold", color=colour, size=style.TEXT + 1)
        for y, (what, guest, host) in enumerate(rows):
            axes.text(0.0, y + 0.45, what, va="center", color=style.QUIET, size=style.TEXT)
            _box(axes, (0.16, y), 0.34, guest, style.GUEST, style.GUEST_GROUND)
            _box(axes, (0.56, y), 0.44, host, style.HOST, style.HOST_GROUND)
            axes.annotate(
                "", (0.552, y + 0.45), (0.508, y + 0.45), arrowprops={"arrowstyle": "->", "color": style.QUIET}
            )

    twin = "\n".join(f"{what}: {guest} → {host}" for what, guest, host in _plain_rows(machine, disk))
    return Drawing(draw, twin, height=0.5 + 0.68 * len(rows), ax=ax)


def _measured_rows(machine: MachineFacts, process: Process, disk: ImageFacts) -> tuple[Row, ...]:
    spec = machine.live or machine.spec
    return (
        (_("machine"), spec.name, _("process {pid}\n{program}").format(pid=process.pid, program=process.program)),
        (
            "CPU",
            _vcpus(spec.vcpus),
            _("{ours} of the {count} threads\nof that process").format(ours=spec.vcpus, count=process.threads),
        ),
        (_("memory"), format_size(spec.memory), _("a region of that process")),
        (
            _("disk"),
            _("{target}, {capacity}").format(target=spec.disks[0].target, capacity=format_size(disk.capacity)),
            _("{file},\n{allocated} allocated").format(
                file=posixpath.basename(disk.path), allocated=format_size(disk.allocated)
            ),
        ),
    )


def _plain_rows(machine: MachineFacts, disk: ImageFacts) -> tuple[Row, ...]:
    spec = machine.live or machine.spec
    return (
        (_("machine"), spec.name, _("a process")),
        ("CPU", _vcpus(spec.vcpus), _("threads of that process")),
        (_("memory"), format_size(spec.memory), _("a region of that process")),
        (
            _("disk"),
            _("{target}, {capacity}").format(target=spec.disks[0].target, capacity=format_size(disk.capacity)),
            posixpath.basename(disk.path),
        ),
    )


def _vcpus(count: int) -> str:
    return ngettext("{count} CPU", "{count} CPUs", count).format(count=count)


def _box(axes: Axes, corner: tuple[float, float], width: float, text: str, edge: str, ground: str) -> None:
    from matplotlib.patches import Rectangle

    x, y = corner
    axes.add_patch(Rectangle((x, y + 0.08), width, 0.76, facecolor=ground, edgecolor=edge, linewidth=1.2))
    axes.text(x + width / 2, y + 0.46, text, ha="center", va="center", size=style.TEXT, color=style.INK)
