"""The course's texts: TOML files beside this module, each text in every language of the lab.

Knows: the files. Must not know: what the texts say.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from labkit.errors import NotFound
from labkit.language import _, language

FOLDER = Path(__file__).parent / "texts"


@cache
def read_texts(name: str) -> Mapping[str, Any]:
    """Return a file's tables by slug, in the order of the file."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def find_text(name: str, slug: str) -> Mapping[str, Any]:
    """Return the table of one slug.

    Raises:
        NotFound: there is none; the hint lists those that exist.
    """
    texts = read_texts(name)
    if slug not in texts:
        raise NotFound(
            _("There is no {slug!r} in the course.").format(slug=slug),
            _("There are: {names}.").format(names=", ".join(texts)),
        )
    table: Mapping[str, Any] = texts[slug]
    return table


def say(text: Mapping[str, str]) -> str:
    """Return a text in the language in force."""
    return text[language()]
