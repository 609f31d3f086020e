"""Sizes and names as people write them, and back.

Sizes come in as text with IEC units ("128 MiB") or as a number of bytes; inside labkit they are bytes.
Knows: text. Must not know: files, machines.
"""

from __future__ import annotations

import os
import re
import unicodedata
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from labkit.errors import BadInput
from labkit.language import Message, _, language

Choice = TypeVar("Choice", bound=StrEnum)

KIB, MIB, GIB, TIB = (1024**power for power in (1, 2, 3, 4))

LONGEST_TEXT = 10_000
"""The most characters that a text may have: a text argument, a guest image's message."""

LONGEST_PATH, LONGEST_NAME = 4000, 255
"""Bytes that a path may have, and each name in it; Linux takes 4095 and 255."""

LONGEST_WAIT = 366 * 24 * 3600
"""The longest time limit, in seconds."""

_SHOWN = 80
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that XML cannot hold: control characters, and halves of characters (lone surrogates)."""

_UNITS = {"": 1, "B": 1, "KIB": KIB, "MIB": MIB, "GIB": GIB, "TIB": TIB}
_SIZE = re.compile(r"\s*([0-9]+(?:[.,][0-9]+)?)\s*([A-Za-z]*)\s*")
_NAME = re.compile(r"[^\W_][\w.-]{0,59}")
_WORD = re.compile(r"[A-Za-z0-9._+-]{1,60}")

LONGEST_DESCRIPTION = 100_000
"""The most characters that a description may have."""


class Shown:
    """Any value as a message shows it: in one short line."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        try:
            text = repr(self._value)
        except Exception:  # noqa: BLE001 — an object of somebody else's, or a number of thousands of digits
            return f"<{type(self._value).__name__}>"
        text = "".join(letter if letter.isprintable() else "?" for letter in text[: _SHOWN + 1])
        return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def parse_size(size: str | int, *, what: str = "size") -> int:
    """Return a size in bytes.

    Args:
        size: text such as "64 MiB", "1.5 GiB", or a number of bytes (int > 0).
        what: the name of the quantity, for the error.

    Raises:
        BadInput: not a size, not positive, or in units of 1000, which would be ambiguous.
    """
    hint = _('Write a number with an IEC unit: "64 MiB", "1.5 GiB".')
    if isinstance(size, bool) or not isinstance(size, str | int):
        raise BadInput(_("{what} {size!r} is not a size.").format(what=what, size=Shown(size)), hint)
    if isinstance(size, int):
        value: float = min(size, 2**64)
    else:
        match = _SIZE.fullmatch(size)
        unit = match[2].upper() if match else ""
        if match and unit in ("K", "M", "G", "T", "KB", "MB", "GB", "TB"):
            iec = f"{unit[0]}iB"
            raise BadInput(
                _("{what} {size!r} is ambiguous: 1000 or 1024?").format(what=what, size=Shown(size)),
                _("Write {iec}, which counts in 1024.").format(iec=iec),
            )
        if match is None or unit not in _UNITS:
            raise BadInput(_("{what} {size!r} is not a size.").format(what=what, size=Shown(size)), hint)
        value = float(match[1].replace(",", ".")) * _UNITS[unit]
    if value >= 2**63:
        raise BadInput(_("{what} {size!r} is too large.").format(what=what, size=Shown(size)), hint)
    if value < 1:
        raise BadInput(_("{what} {size!r} is not more than zero.").format(what=what, size=Shown(size)), hint)
    return size if isinstance(size, int) else round(value)


def parse_memory(size: str | int) -> int:
    """Return an amount of guest memory in bytes: `parse_size`, rounded up to whole MiB, as hypervisors give it."""
    return -(-parse_size(size, what=_("memory")) // MIB) * MIB


def format_size(size: int) -> str:
    """Return bytes as text with an IEC unit and at most one decimal, e.g. "1.5 MiB" (Spanish: "1,5 MiB")."""
    for unit, factor in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if abs(size) >= factor:
            text = f"{size / factor:.1f}".removesuffix(".0")
            return Message(f"{decimal(text)} {unit}", partial(format_size, size))
    return f"{size} B"


def decimal(number: str) -> str:
    """Return a number written with a decimal point as the language in force writes it."""
    return number.replace(".", ",") if language() == "es" else number


def check_name(name: str, *, what: str) -> str:
    """Return a valid name in Unicode's composed form (NFC).

    A name has 1 to 60 characters: first a letter or digit of any script, then letters, digits,
    `.`, `_` and `-`.

    Raises:
        BadInput: the name has another form.
    """
    hint = _("Use 1 to 60 letters, digits, '.', '_' or '-', a letter or digit first, such as 'web-1'.")
    if not isinstance(name, str):
        raise BadInput(_("The {what} name {name!r} is not text.").format(what=what, name=Shown(name)), hint)
    composed = unicodedata.normalize("NFC", name)
    if not _NAME.fullmatch(composed):
        shown = composed if len(composed) <= 80 else composed[:77] + "…"
        raise BadInput(_("{name!r} cannot be the name of a {what}.").format(name=shown, what=what), hint)
    return composed


def is_name(text: str) -> bool:
    """Return whether a text has the form of a name: see `check_name`."""
    return bool(_NAME.fullmatch(unicodedata.normalize("NFC", text)))


def check_text(text: object, *, what: str) -> str:
    """Return a text that can be stored and shown.

    Raises:
        BadInput: it is no text, is too long, or holds a control character or half a character.
    """
    if not isinstance(text, str) or len(text) > LONGEST_TEXT or _UNSTORABLE.search(text):
        raise BadInput(
            _("{what}={text!r} is not a text.").format(what=what, text=Shown(text)), _("Write letters, digits, signs.")
        )
    return text


def is_storable(text: str) -> bool:
    """Whether a text of several lines can be kept in XML: no control or half characters, not too long."""
    return len(text) <= LONGEST_DESCRIPTION and not _UNSTORABLE.search(text)


def check_description(text: str) -> str:
    """Return a description: any text, with line ends as on this host.

    Raises:
        BadInput: it is no text, holds control characters or half a character, or is longer than `LONGEST_DESCRIPTION`.
    """
    plain = text.replace("\r\n", "\n").replace("\r", "\n") if type(text) is str else text
    if type(plain) is not str or not is_storable(plain):
        shown = repr(text)
        raise BadInput(
            _("{text} cannot be a description.").format(text=shown if len(shown) <= 80 else f"{shown[:77]}…"),
            _("Write letters, digits, signs and line ends, at most {most} of them.").format(most=LONGEST_DESCRIPTION),
        )
    return plain


def check_word(word: str, *, what: str) -> str:
    """Return a technical word, such as a CPU model's name: 1 to 60 ASCII letters, digits, `.`, `_`, `-`, `+`.

    Raises:
        BadInput: it is something else.
    """
    if type(word) is not str or not _WORD.fullmatch(word):
        raise BadInput(
            _("{what}={word!r} is not a name of one.").format(what=what, word=Shown(word)),
            _("Write letters, digits, '.', '_', '-' or '+'."),
        )
    return word


def check_count(count: int, *, what: str) -> int:
    """Return a whole number of at least 1.

    Raises:
        BadInput: it is something else.
    """
    if type(count) is not int or count < 1:
        raise BadInput(
            _("{what}={count!r} is not a whole number above zero.").format(what=what, count=Shown(count)),
            _("Write a number such as {what}=2.").format(what=what),
        )
    return count


def check_whole(number: int, *, what: str) -> int:
    """Return a whole number that fits into 64 bits.

    Raises:
        BadInput: it is something else.
    """
    if type(number) is not int or abs(number) >= 2**63:
        raise BadInput(
            _("{what}={value!r} is not a whole number.").format(what=what, value=Shown(number)),
            _("Write a number such as {what}=2.").format(what=what),
        )
    return number


def check_flag(flag: bool, *, what: str) -> bool:
    """Return True or False.

    Raises:
        BadInput: it is something else.
    """
    if type(flag) is not bool:
        raise BadInput(
            _("{what}={value!r} is neither True nor False.").format(what=what, value=Shown(flag)),
            _("Write {what}=True or {what}=False.").format(what=what),
        )
    return flag


def check_seconds(seconds: Any, *, what: str) -> float:
    """Return a number of seconds: 0 or more, at most a year.

    Raises:
        BadInput: it is something else.
    """
    if type(seconds) not in (int, float) or not 0 <= seconds <= LONGEST_WAIT:
        raise BadInput(
            _("{what}={value!r} is not a number of seconds.").format(what=what, value=Shown(seconds)),
            _("Write a number such as {what}=60, at most that of a year.").format(what=what),
        )
    number: float = seconds
    return number


def check_path(path: object, *, what: str) -> Path:
    """Return the path of a file, absolute; `~` is the user's folder.

    Raises:
        BadInput: no path, or one that no file can have.
    """
    text = str(path) if isinstance(path, str | Path) else ""
    try:
        name = os.fsencode(text)
        if name and b"\0" not in name and len(name) <= LONGEST_PATH and max(map(len, name.split(b"/"))) <= LONGEST_NAME:
            return Path(text).expanduser().absolute()
    except (ValueError, RuntimeError):  # half a character, or the folder of an unknown user
        pass
    raise BadInput(
        _("{what}={path!r} is not the path of a file.").format(what=what, path=Shown(path)),
        _('Write one such as "web.labkit".'),
    )


def check_choice(choices: type[Choice], value: str, *, what: str) -> Choice:
    """Return the member of an enumeration that a text names.

    Raises:
        BadInput: it names none; the hint lists them.
    """
    try:
        return choices(value)
    except (ValueError, TypeError):
        names = ", ".join(repr(str(choice)) for choice in choices)
        raise BadInput(
            _("{what}={value!r} is not a choice.").format(what=what, value=Shown(value)),
            _("Choose one of: {names}.").format(names=names),
        ) from None
