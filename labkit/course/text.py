"""The course's texts: TOML files beside this module, each text in every language of the lab.

Knows: the files. Must not know: what the texts say.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from labkit.errors import NotFound
from labkit.language import _, language

_MOST_NEAR = 3
"""How many names are suggested for a wrong one."""

FOLDER = Path(__file__).parent / "texts"


@cache
def read_texts(name: str) -> Mapping[str, Any]:
    """Return a file's tables by slug, in the order of the file."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def find_text(name: str, slug: str) -> Mapping[str, Any]:
    """Return the table of one slug.

    Raises:
        NotFound: there is none; the hint names those that are called nearly so.
    """
    texts = read_texts(name)
    if slug not in texts:
        raise NotFound(
            _("There is no {slug!r} in the course.").format(slug=slug),
            say_near(slug, texts),
        )
    table: Mapping[str, Any] = texts[slug]
    return table


def say_near(name: str, names: Iterable[str], *, all_by: str = "") -> str:
    """Return which of some names a wrong one may stand for, as a hint.

    Args:
        all_by: the call that lists them all, "" if there is none.
    """
    every = list(names)
    beginnings = [each for each in every if name and each.startswith(name.lower())]
    near = list(dict.fromkeys((*beginnings, *difflib.get_close_matches(name.lower(), every, n=_MOST_NEAR, cutoff=0.5))))
    words = [_("Did you mean: {names}?").format(names=", ".join(near[:_MOST_NEAR]))] if near else []
    if all_by:
        words.append(_("{call} lists them all.").format(call=all_by))
    elif not near:
        words.append(_("There are: {names}.").format(names=", ".join(every)))
    return " ".join(words)


def say(text: Mapping[str, str]) -> str:
    """Return a text in the language in force."""
    return text[language()]
