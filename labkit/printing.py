"""What others have written, as it may be shown: names in a record, files in a folder, an act in a journal.

A terminal obeys control characters: a name with such in it could clear the screen, or pretend that something else was
said. So no text leaves labkit for a terminal but through here: errors by themselves, all else by `tell`. What a guest
writes on its console is another matter (`guest/harmless.py`).
Knows: text. Must not know: who has written it, who reads it.
"""

from __future__ import annotations

import shlex
import unicodedata

_KEPT = "\n\t"


def harmless(text: str) -> str:
    """Return a text of any lines in which whatever is no letter, digit, sign or space is a question mark."""
    if text.isprintable():
        return text
    return "".join(letter if _may_be_shown(letter) else "?" for letter in text)


def _may_be_shown(letter: str) -> bool:
    return letter.isprintable() or letter in _KEPT or unicodedata.category(letter) == "Zs"  # spaces of all kinds


def tell(text: object) -> None:
    """Print what a person is to read; a text by others in it does nothing to the terminal."""
    print(harmless(str(text)), flush=True)  # noqa: T201 — the one place that prints


def quote(word: str) -> str:
    """Return a word as a shell takes it, in one line; control characters as bash and zsh read them, in $'…'."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    if letter == "\n":
        return "\\n"
    if letter.isascii():
        return f"\\x{ord(letter):02x}"
    lone = "surrogateescape" if "\udc80" <= letter <= "\udcff" else "surrogatepass"  # a byte of a file's name, or half
    return "".join(f"\\x{byte:02x}" for byte in letter.encode(errors=lone))
