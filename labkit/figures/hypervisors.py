"""Drawings of hypervisors: the textbooks' two kinds, this host's floors beside them, and the evidence for those.

Knows: the host as a value. Must not know: how it was read.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.figures.given import drawn
from labkit.language import _
from labkit.model.host import FloorKind, HostFacts, HypervisorKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HYPERVISOR: Final = "#F6C9A6"
"""The background of the hypervisor, which also has a thick edge."""

PLAIN: Final = "#F2F2F2"
"""The background of what is neither host nor guest."""

Box = tuple[float, float, float, float, str, str]
"""Left, bottom, width, height, words, and the kind: "guest", "hypervisor" or "plain"."""

_WIDTH, _GAP = 1.0, 0.14
_ANCESTORS = 2
_LEVEL = 1.0


@drawn
def draw_hypervisors(host: HostFacts, ax: Axes | None = None) -> Drawing:
    """Draw a type 1 and a type 2 hypervisor, and the floors of this host beside them.

    Args:
        host: `lab.host`.
    """
    towers = (
        (_("type 1 (bare metal)"), _type_1()),
        (_("type 2 (hosted)"), _type_2()),
        (_("this host"), _this_host(host)),
    )
    top = max(bottom + height for _title, boxes in towers for _left, bottom, _width, height, *_rest in boxes)

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_xlim(-0.01, 3 * _WIDTH + 2 * _GAP + 0.01)
        axes.set_ylim(-0.62, top + 0.06)
        for number, (title, boxes) in enumerate(towers):
            left = number * (_WIDTH + _GAP)
            axes.text(
                left + _WIDTH / 2,
                -0.36,
                title,
                ha="center",
                va="center",
                weight="bold",
                size=style.TEXT,
                color=style.INK,
            )
            for box in boxes:
                _draw_box(axes, left, box)

    return Drawing(draw, hypervisor_words(), height=0.5 + 0.5 * top, ax=ax)


def hypervisor_words() -> str:
    """Return the two kinds in words, and that this host stands beside them."""
    return "\n".join(
        [
            _("type 1 (bare metal)") + ": " + " < ".join([_("hardware"), _("hypervisor"), _("guests")]),
            _("type 2 (hosted)")
            + ": "
            + " < ".join([_("hardware"), _("operating system"), _("hypervisor, beside other programs"), _("guests")]),
            _("this host") + ": " + _("its floors, from evidence"),
        ]
    )


@drawn
def draw_evidence(host: HostFacts, ancestors: Sequence[str] = (), ax: Axes | None = None) -> Drawing:
    """Draw the clues to this host's hypervisor beside where they were found, and the reasons for either type.

    Args:
        host: `lab.host`. ancestors: the programs that started a guest's process (`vm.process.ancestors`).
    """
    rows = [(clue.source, clue.says) for clue in host.clues]
    if host.why:  # without it the clues seem to contradict each other where /dev/kvm is there and KVM is not used
        rows.append((_("the lab's reason"), host.why))
    found = len(rows) + bool(ancestors)
    if ancestors:
        shown = [*ancestors[:_ANCESTORS], *(["…"] if len(ancestors) > _ANCESTORS else [])]
        line = " ← ".join(["QEMU", *shown])
        rows.append((_("processes"), _("A guest is a process: {line}").format(line=line)))
    rows += [(_("for type 1") if type_1 else _("for type 2"), says) for type_1, says in arguments(host)]
    wrapped = [(source, textwrap.wrap(says, 68)) for source, says in rows]
    heights = [0.46 + 0.36 * len(lines) for _source, lines in wrapped]

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.set_ylim(sum(heights), 0)
        top = 0.0
        for number, ((source, lines), height) in enumerate(zip(wrapped, heights, strict=True)):
            middle = top + height / 2
            if number >= found:
                axes.axhspan(top + 0.05, top + height - 0.05, facecolor=PLAIN, edgecolor="none")
            axes.text(0.02, middle, source, va="center", weight="bold", size=style.TEXT, color=style.HOST)
            axes.text(0.22, middle, "\n".join(lines), va="center", size=style.TEXT, color=style.INK)
            top += height

    twin = _("What tells of this host's hypervisor: {sources}; and what speaks for type 1, what for type 2.").format(
        sources=", ".join([*(clue.source for clue in host.clues), *([_("processes")] if ancestors else [])])
    )
    return Drawing(draw, twin, height=0.1 + 0.47 * sum(heights), ax=ax)


def arguments(host: HostFacts) -> tuple[tuple[bool, str], ...]:
    """Return the reasons for type 1 (True) and for type 2 (False) on this host; neither is ever empty."""
    if host.hypervisor is HypervisorKind.ARGUED:
        return (
            (
                True,
                _("The kernel itself runs the guests, in a mode that the CPU has for it."),
            ),
            (False, _("Each guest is a process of an operating system that also runs other programs.")),
        )
    return (
        (
            True,
            _("Nothing here. With KVM one could say that the kernel is the hypervisor; here it does not take part."),
        ),
        (False, _("Each guest is a process of an operating system, and a program runs its instructions.")),
    )


def _type_1() -> list[Box]:
    return [
        (0, 0, 1, 0.9, _("hardware"), "plain"),
        (0, 1, 1, 0.9, _("hypervisor"), "hypervisor"),
        *_guests(2),
    ]


def _type_2() -> list[Box]:
    return [
        (0, 0, 1, 0.9, _("hardware"), "plain"),
        (0, 1, 1, 0.9, _("operating system"), "plain"),
        (0, 2, 0.63, 0.9, _("hypervisor"), "hypervisor"),
        (0.67, 2, 0.33, 0.9, _("other\nprogram"), "plain"),
        *_guests(3, width=0.63),
    ]


def _guests(level: float, width: float = 1.0) -> list[Box]:
    half = (width - 0.04) / 2
    return [(left, level, half, 0.9, _("guest\nsystem"), "guest") for left in (0.0, half + 0.04)]


def _this_host(host: HostFacts) -> list[Box]:
    boxes: list[Box] = []
    for level, floor in enumerate(host.floors):
        kind = "plain"
        shared = host.hypervisor is HypervisorKind.ARGUED and floor.kind is FloorKind.KERNEL
        if floor.kind is FloorKind.HYPERVISOR or shared:
            kind = "hypervisor"
        name = _("{floor} with KVM").format(floor=floor.name) if shared else floor.name
        boxes.append((0, level * _LEVEL, 1, 0.9, "\n".join(textwrap.wrap(name, 24)), kind))
    return [*boxes, *_guests(len(host.floors) * _LEVEL)]


def _draw_box(axes: Axes, shift: float, box: Box) -> None:
    from matplotlib.patches import Rectangle

    left, bottom, width, height, words, kind = box
    grounds = {"guest": style.GUEST_GROUND, "hypervisor": HYPERVISOR, "plain": PLAIN}
    edges = {"guest": style.GUEST, "hypervisor": style.HOST, "plain": style.QUIET}
    axes.add_patch(
        Rectangle(
            (shift + left, bottom),
            width,
            height,
            facecolor=grounds[kind],
            edgecolor=edges[kind],
            linewidth=2.4 if kind == "hypervisor" else 1.2,
        )
    )
    size = style.SMALL if width < 0.5 else style.TEXT
    axes.text(
        shift + left + width / 2, bottom + height / 2, words, ha="center", va="center", size=size, color=style.INK
    )
