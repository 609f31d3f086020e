"""`Drawing`: a picture with its text twin. The picture may contain what was measured, the text never does.

Knows: matplotlib, loaded when a picture is made. Must not know: what is drawn.
"""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from labkit.figures import style
from labkit.figures.layout import MARGIN, Size
from labkit.units import decimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Drawing:
    """A picture for a notebook.

    Args:
        draw: a function that draws on the given axes.
        text: what the picture shows, in words, without anything that differs between runs.
        height, width: inches. ax: where to draw; None: a figure of its own.
    """

    def __init__(
        self,
        draw: Callable[[Axes], None],
        text: str,
        *,
        height: float,
        width: float = style.WIDTH,
        ax: Axes | None = None,
    ) -> None:
        self.text = text
        self._ax = ax or _new_axes(width, height)
        with _plain_letters():
            draw(self._ax)
            _write_decimals(self._ax)

    def to_png(self) -> bytes:
        """Return the picture as a PNG file."""
        file = io.BytesIO()
        figure = self._ax.get_figure(root=True)
        assert figure is not None  # noqa: S101  axes that were drawn on have a figure
        figure.savefig(file, format="png", dpi=style.DOTS, metadata={"Software": None})
        return file.getvalue()

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_options: object) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        """Return the picture and its twin, which is the picture's alternative text on a page made of the notebook."""
        data = {"text/plain": self.text, "image/png": base64.b64encode(self.to_png()).decode()}
        return data, {"image/png": {"alt": self.text}}


def set_rows(axes: Axes, size: Size, *, fill: bool) -> None:
    """Clear the axes, with inches as the unit across and rows as the unit down. `fill`: they take the whole figure."""
    if fill:
        figure = axes.get_figure(root=True)
        assert figure is not None  # noqa: S101  axes that are drawn on have a figure
        figure.set_layout_engine("none")
        axes.set_position((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, size.width)
    axes.set_ylim((size.height - MARGIN / 2) / size.row - 0.5, -0.5 - MARGIN / 2 / size.row)


def _write_decimals(axes: Axes) -> None:
    """Let the numbers on the axes have the decimal mark of the language in force, where they are plain numbers."""
    from matplotlib.ticker import FuncFormatter, ScalarFormatter

    for axis in (axes.xaxis, axes.yaxis):
        if type(axis.get_major_formatter()) is ScalarFormatter and decimal("0.5") != "0.5":
            axis.set_major_formatter(FuncFormatter(lambda value, _place: decimal(f"{value:g}")))


def _plain_letters() -> AbstractContextManager[None]:
    """Make "$" an ordinary character, since names and words are not formulas."""
    from matplotlib import rc_context

    return rc_context({"text.parse_math": False})


def _new_axes(width: float, height: float) -> Axes:
    # The first picture ever on a computer may take a while, and matplotlib would warn of it inside the notebook.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor=style.GROUND)
    FigureCanvasAgg(figure)
    axes: Axes = figure.add_subplot()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=style.SMALL, colors=style.QUIET)
    return axes
