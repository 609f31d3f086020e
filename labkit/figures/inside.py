"""Drawings of what can be seen inside systems: their devices, and whose kernel they run on.

Knows: values. Must not know: how a guest was asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import TYPE_CHECKING, Final

from labkit.figures import style
from labkit.figures.drawing import Drawing
from labkit.figures.given import drawn
from labkit.language import _, ngettext
from labkit.model.inside import PciDevice, System

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KERNELS: Final = ("#F6C9A6", "#DEEDF6", "#D9EFE6")
"""Background colours for kernels, in order of appearance; a letter says the same."""


@drawn
def draw_devices(devices: Sequence[PciDevice], ax: Axes | None = None) -> Drawing:
    """Draw a guest's PCI devices: those that imitate hardware, then those that were made for virtual machines.

    Args:
        devices: as `read_devices(vm)` returned them.
    """
    groups = (
        (_("imitates hardware that was once sold"), [device for device in devices if not device.is_invented]),
        (_("made for virtual machines"), [device for device in devices if device.is_invented]),
    )
    rows = sum(len(members) + 1.4 for _title, members in groups)

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.set_ylim(rows, -0.2)
        top = 0.0
        for colour, ground, (title, members) in zip(
            (style.HOST, style.GUEST), (style.HOST_GROUND, style.GUEST_GROUND), groups, strict=True
        ):
            axes.axhspan(top + 0.08, top + len(members) + 1.12, facecolor=ground, edgecolor="none")
            axes.text(0.015, top + 0.6, title, va="center", weight="bold", size=style.TEXT, color=colour)
            for number, device in enumerate(members):
                y = top + 1.5 + number - 0.05
                axes.text(0.03, y, device.numbers, va="center", size=style.SMALL, family="monospace", color=style.INK)
                axes.text(0.19, y, device.words, va="center", size=style.TEXT, color=style.INK)
                driver = _("driver: {name}").format(name=device.driver) if device.driver else _("no driver")
                axes.text(0.72, y, driver, va="center", size=style.SMALL, color=style.QUIET)
            top += len(members) + 1.4

    return Drawing(draw, device_words(devices), height=0.2 + 0.27 * rows, ax=ax)


def device_words(devices: Sequence[PciDevice]) -> str:
    """Return which kinds of devices a guest has, without numbers and addresses."""
    imitated = sorted({device.words for device in devices if not device.is_invented})
    invented = sorted({device.words for device in devices if device.is_invented})
    return "\n".join(
        [
            _("imitates hardware that was once sold") + ": " + ("; ".join(imitated) or _("nothing")),
            _("made for virtual machines") + ": " + ("; ".join(invented) or _("nothing")),
        ]
    )


@drawn
def draw_kernels(systems: Mapping[str, System], ax: Axes | None = None) -> Drawing:
    """Draw systems side by side: what each calls itself, and which kernel it runs on.

    Args:
        systems: by place: "outside", "container", "machine", or words.
    """
    letters = _letters(systems)

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.set_xlim(0, len(systems))
        axes.set_ylim(0, 2.2)
        for number, (place, system) in enumerate(systems.items()):
            ground = KERNELS[letters[place] % len(KERNELS)]
            above = ngettext(
                "{place}\ncalls itself {name}\nsees {count} process",
                "{place}\ncalls itself {name}\nsees {count} processes",
                system.processes,
            ).format(place=place_word(place), name=system.name, count=system.processes)
            below = _("kernel {letter}\n{release}\nboot {id}…").format(
                letter=_letter(letters[place]), release=system.kernel, id=system.boot_id[:8]
            )
            _draw_box(axes, number, 1.1, above, style.GROUND)
            _draw_box(axes, number, 0.0, below, ground)

    return Drawing(draw, kernel_words(systems), height=2.1, ax=ax)


def kernel_words(systems: Mapping[str, System]) -> str:
    """Return which systems share a kernel."""
    letters = _letters(systems)
    return "\n".join(
        _("{place}: kernel {letter}").format(place=place_word(place), letter=_letter(letters[place]))
        for place in systems
    )


def place_word(slug: str) -> str:
    """Return what a place is called, in the language in force."""
    words = {"outside": _("outside"), "container": _("in the container"), "machine": _("in the machine")}
    return words.get(slug, slug)


def _letters(systems: Mapping[str, System]) -> dict[str, int]:
    """Number the kernels, which their boot ids identify, in order of appearance."""
    kernels: list[str] = []
    for system in systems.values():
        if system.boot_id not in kernels:
            kernels.append(system.boot_id)
    return {place: kernels.index(system.boot_id) for place, system in systems.items()}


def _letter(number: int) -> str:
    """A, B, …, Z, A2, …: the same letter means the same kernel."""
    rounds, place = divmod(number, len(ascii_uppercase))
    return ascii_uppercase[place] + (str(rounds + 1) if rounds else "")


def _draw_box(axes: Axes, left: float, bottom: float, words: str, ground: str) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle((left + 0.02, bottom + 0.02), 0.96, 1.0, facecolor=ground, edgecolor=style.QUIET, linewidth=1.2)
    )
    axes.text(left + 0.5, bottom + 0.52, words, ha="center", va="center", size=style.TEXT, color=style.INK)
