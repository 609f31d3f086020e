"""What a notebook finds out with a yes or a no, as a sentence instead of a bare True or False.

    tell("same-boot", boot_id == booted)        The guest has not booted since: its boot id is the same.

Editions share their code, so the sentences are named by slug; they are in `texts/findings.toml`.

Knows: the course's texts. Must not know: how anything was found out.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.arguments import checked
from labkit.course.text import find_text, say
from labkit.errors import BadInput
from labkit.language import _
from labkit.units import Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A finding: its slug, and whether it is so. As text it is its sentence, in the language in force."""

    slug: str
    holds: bool

    def __repr__(self) -> str:
        return say(find_text("findings", self.slug)["yes" if self.holds else "no"])

    def __bool__(self) -> bool:
        return self.holds


@checked
def tell(slug: str, holds: object) -> Finding:
    """Return a finding as a sentence.

    Raises:
        NotFound: the course has no sentence of that name. BadInput: it is neither True nor False.
    """
    find_text("findings", slug)
    if not isinstance(holds, bool):
        raise BadInput(
            _("{holds!r} is neither True nor False.").format(holds=Shown(holds)),
            _("Give what you found out as a comparison, such as a == b."),
        )
    return Finding(slug=slug, holds=holds)
