"""The language of messages: gettext, chosen once per process and switchable.

Order: `set_language()`, else the variable LABKIT_LANGUAGE, else the folder of the notebook
(`…/notebooks/es/…`), else the locale; English where nothing matches.

Knows: the catalogues in `labkit/locale`. Must not know: who says what.
"""

from __future__ import annotations

import functools
import gettext
import locale
import os
from pathlib import Path

LANGUAGES = ("en", "es")
_CATALOGUES = Path(__file__).parent / "locale"

_chosen: str | None = None
_loaded: dict[str, gettext.NullTranslations] = {}


def _(message: str) -> str:
    """Return the message in the language in force."""
    return _catalogue().gettext(message)


def ngettext(singular: str, plural: str, number: int) -> str:
    """Return the form of the message that fits `number`, in the language in force."""
    return _catalogue().ngettext(singular, plural, number)


def language() -> str:
    """Return the language in force, `"en"` or `"es"`."""
    return _chosen or _find_language()


def set_language(code: str | None) -> None:
    """Choose the language of all further messages; None returns to the automatic choice.

    Raises:
        BadInput: no such language.
    """
    global _chosen  # noqa: PLW0603 — one language per process is the meaning
    if code is not None and code not in LANGUAGES:
        from labkit.errors import BadInput

        raise BadInput(
            _("No language {code!r}.").format(code=code),
            _("Choose one of: {languages}.").format(languages=", ".join(LANGUAGES)),
        )
    _chosen = code


def _catalogue() -> gettext.NullTranslations:
    code = language()
    if code not in _loaded:
        _loaded[code] = gettext.translation("labkit", _CATALOGUES, languages=[code], fallback=True)
    return _loaded[code]


def _find_language() -> str:
    notebook = os.environ.get("JPY_SESSION_NAME", "") or os.getcwd()
    return _decide(os.environ.get("LABKIT_LANGUAGE"), notebook, locale.getlocale()[0] or "")


@functools.cache
def _decide(wanted: str | None, notebook: str, locale_name: str) -> str:
    """Remembered, since a page has thousands of messages."""
    folders = [part for part in reversed(Path(notebook).parts) if part in LANGUAGES]
    return next((code for code in (wanted, *folders[:1], locale_name[:2]) if code in LANGUAGES), "en")
