"""What a build says, in the language that `./lab` speaks.

The catalogue lies beside these recipes in a checkout of labkit; where there is none, or none of the language, it is
English.

Knows: gettext. Must not know: what is built.
"""

from __future__ import annotations

import gettext
import os
from pathlib import Path

_LOCALE = Path(__file__).resolve().parents[2] / "labkit" / "locale"
_ = gettext.translation("lab", _LOCALE, languages=[os.environ.get("LABKIT_SPOKEN") or "en"], fallback=True).gettext


def fill(sentence: str, values: dict[str, object]) -> str:
    """Return a sentence in the language in force, with its fields filled in; one without fields stays as it is."""
    text = _(sentence) if sentence else ""
    return text.format(**values) if values else text


def later(sentence: str) -> str:
    """Return a sentence as it is: it is said in the language in force where it is used."""
    return sentence
