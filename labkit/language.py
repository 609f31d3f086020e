"""The language of messages: gettext, chosen once per process and switchable.

Order: `set_language()`, else the variable LABKIT_LANGUAGE, else the folder of the notebook
(`…/notebooks/es/…`), else the locale that `./lab` was called with (LABKIT_SPOKEN), else the locale; English where
nothing matches.

A message remembers how it was made: kept and shown later, `say_again` gives it in the language in force by then. So
errors, plans and results on a page follow a switch of the language, whichever thread made them.

Knows: the catalogues in `labkit/locale`. Must not know: whose messages they are.
"""

from __future__ import annotations

import contextlib
import functools
import gettext
import locale
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

LANGUAGES = {"en": "English", "es": "Español"}
"""The languages by code, each in its own words."""

_CATALOGUES = Path(__file__).parent / "locale"

_chosen: str | None = None
_loaded: dict[str, gettext.NullTranslations] = {}
_listeners: list[Callable[[], object]] = []


class Message(str):
    """Text that can be said again in another language; to all other code it is a plain `str`.

    Args:
        text: what it says now. again: returns it in the language in force when called.
    """

    __slots__ = ("again",)
    again: Callable[[], str]

    def __new__(cls, text: str, again: Callable[[], str]) -> Self:
        """Return the text, with the way to say it again."""
        message = super().__new__(cls, text)
        message.again = again
        return message

    def format(self, *args: Any, **kwargs: Any) -> str:
        """Fill in values; those that are messages themselves are said again together with this one."""
        return Message(super().format(*args, **kwargs), partial(_format_again, self, args, kwargs))

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def _format_again(message: Message, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    return message.again().format(*map(say_again, args), **{key: say_again(value) for key, value in kwargs.items()})


def say_again(value: Any) -> Any:
    """Return a message in the language in force; anything else as it is."""
    return value.again() if isinstance(value, Message) else value


def _(message: str) -> str:
    """Return the message in the language in force."""
    catalogue = _catalogue()
    found = catalogue.gettext(message)
    if found == message:  # a word that also has a plural is kept with it, where gettext does not look
        found = catalogue.ngettext(message, message, 1)
    return Message(found, partial(_, message))


def ngettext(singular: str, plural: str, number: int) -> str:
    """Return the form of the message that fits `number`, in the language in force."""
    return Message(_catalogue().ngettext(singular, plural, number), partial(ngettext, singular, plural, number))


def language() -> str:
    """Return the language in force, `"en"` or `"es"`."""
    return _chosen or _find_language()


def set_language(code: str | None) -> None:
    """Set the language of all further messages and of what panels show; None returns to the automatic choice.

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
    for listener in _listeners:
        listener()


def on_switch(listener: Callable[[], None]) -> Callable[[], None]:
    """Call `listener` after each `set_language`, on its thread; it must be quick and raise nothing. A decorator."""
    _listeners.append(listener)
    return listener


def _catalogue() -> gettext.NullTranslations:
    code = language()
    if code not in _loaded:
        _loaded[code] = gettext.translation("labkit", _CATALOGUES, languages=[code], fallback=True)
    return _loaded[code]


def _find_language() -> str:
    notebook = os.environ.get("JPY_SESSION_NAME", "")
    with contextlib.suppress(OSError):  # the folder this runs in may have been deleted
        notebook = notebook or os.getcwd()
    spoken = os.environ.get("LABKIT_SPOKEN") or locale.setlocale(locale.LC_CTYPE)
    return _decide(os.environ.get("LABKIT_LANGUAGE"), notebook, spoken)


@functools.cache
def _decide(wanted: str | None, notebook: str, locale_name: str) -> str:
    """Cached, since a page has thousands of messages."""
    folders = [part for part in reversed(Path(notebook).parts) if part in LANGUAGES]
    spoken = locale.normalize(locale_name)[:2]
    return next((code for code in (wanted, *folders[:1], spoken) if code in LANGUAGES), "en")
