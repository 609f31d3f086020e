"""What an update of the student's copies did, in words.

Knows: sentences. Must not know: files.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from labkit.language import ngettext


class Change(StrEnum):
    """What an update did with a notebook."""

    MADE = "made"
    RENEWED = "renewed"
    CARRIED = "carried"
    OFFERED = "offered"


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What an update did.

    Attributes:
        change: the kind. names: the notebooks, such as `en/03-disks`.
    """

    change: Change
    names: tuple[str, ...]

    @property
    def text(self) -> str:
        """It in a sentence."""
        names = ", ".join(self.names)
        count = len(self.names)
        match self.change:
            case Change.MADE:
                return ngettext("Your copy was made: {names}.", "Your copies were made: {names}.", count).format(
                    names=names
                )
            case Change.RENEWED:
                return ngettext(
                    "A newer version took the place of a copy that was untouched: {names}.",
                    "Newer versions took the place of copies that were untouched: {names}.",
                    count,
                ).format(names=names)
            case Change.CARRIED:
                return ngettext(
                    "You had changed a notebook of the course itself: your version is your copy now: {names}.",
                    "You had changed notebooks of the course itself: your versions are your copies now: {names}.",
                    count,
                ).format(names=names)
        return ngettext(
            "There is a newer version of a notebook in which you have worked; it lies beside yours: {names}.",
            "There are newer versions of notebooks in which you have worked; they lie beside yours: {names}.",
            count,
        ).format(names=names)
