"""Drawing very many labels as one shape, since a thousand separate texts would take seconds.

Knows: matplotlib's letters. Must not know: what is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from labkit.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Label = tuple[float, float, str, bool]
"""Where a text begins, the text, whether it is bold."""


def write_many(axes: Axes, labels: Iterable[Label], *, points: float, row: float) -> None:
    """Write labels as one shape; the unit of the axes is an inch across, and a row of `row` inches down."""
    import numpy as np
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath, text_to_path

    font = FontProperties(size=points)
    scale = np.array((1 / 72, -1 / 72 / row))  # from points to inches and to rows, which count downwards
    shapes: dict[str, tuple[Path | None, float]] = {}
    corners: list[np.ndarray] = []
    codes: list[np.ndarray] = []
    for left, y, text, _strong in labels:
        x = left
        for letter in text:
            if letter not in shapes:
                advance = text_to_path.get_text_width_height_descent(letter, font, ismath=False)[0]
                outline = TextPath((0, -0.36 * points), letter, prop=font) if letter.strip() else None
                shapes[letter] = (outline, advance / 72)
            shape, advance = shapes[letter]
            if shape is not None:
                corners.append(np.asarray(shape.vertices, dtype=float) * scale + (x, y))
                codes.append(np.asarray(shape.codes))
            x += advance
    patch = PathPatch(Path(np.concatenate(corners), np.concatenate(codes)), color=style.INK, linewidth=0)
    patch.set_in_layout(False)
    axes.add_artist(patch)
