"""Text written by others, made safe to print: names in a record, files in a folder, an act in a journal.

A terminal obeys control characters: a name that contains some could clear the screen, or fake another message. So all
text that labkit prints on a terminal goes through here: errors do so themselves, everything else is printed by `tell`.
What a guest writes on its console is treated elsewhere (`guest/harmless.py`).
Knows: text. Must not know: who wrote it, who reads it.
"""

from __future__ import annotations

import shlex
import unicodedata

_KEPT = "\n\t"


def harmless(text: str) -> str:
    """Return a text, of one or more lines, with a question mark for every character that is not safe to print."""
    if text.isprintable():
        return text
    return "".join(letter if _may_be_shown(letter) else "?" for letter in text)


def _may_be_shown(letter: str) -> bool:
    return letter.isprintable() or letter in _KEPT or unicodedata.category(letter) == "Zs"  # every kind of space


def tell(text: object) -> None:
    """Print a text for a person; control characters in it do nothing to the terminal."""
    print(harmless(str(text)), flush=True)  # noqa: T201 — the one place that prints


def quote(word: str) -> str:
    """Return a word quoted for a shell, in one line; control characters as bash and zsh read them, in $'…'."""
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
    lone = "surrogateescape" if "\udc80" <= letter <= "\udcff" else "surrogatepass"  # a raw byte, or half a letter
    return "".join(f"\\x{byte:02x}" for byte in letter.encode(errors=lone))
