"""The catalogues of messages: extracted from labkit's sources and from `./lab`, merged, compiled.

    ./lab run python -m tests.language.update       brings all catalogues into step with the sources

New messages come out of it untranslated: fill them in in `labkit/locale/es/LC_MESSAGES/labkit.po`, then
run it again.
"""

from __future__ import annotations

import io
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent.parent
LOCALE = ROOT / "labkit" / "locale"
TEMPLATE = LOCALE / "labkit.pot"
SHELL = (ROOT / "lab", *sorted((ROOT / "deploy").glob("*.sh")))
"""The scripts of `./lab`; bash itself translates what stands in `$"…"`."""
SERVER = ROOT / "deploy" / "serve.py"
"""What `./lab up` ends in: it speaks from the same catalogue."""
IMAGES = tuple(sorted((ROOT / "images").rglob("*.py")))
"""What builds guest images speaks from it, too."""
_SAID = {"_": None, "say": None, "BuildError": None, "later": None}
LANGUAGES = ("es",)

_KEYWORDS = {"_": None, "ngettext": (1, 2)}
_HEADER = "# The messages of labkit. Made by: ./lab run python -m tests.language.update"
_UNDATED = datetime(2000, 1, 1, tzinfo=UTC)
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


def po_path(language: str) -> Path:
    """Return the file a language's messages are written in."""
    return LOCALE / language / "LC_MESSAGES" / "labkit.po"


def extract() -> Catalog:
    """Return the messages of the sources, with the modules that say them."""
    catalogue = _undated(Catalog(project="labkit", header_comment=_HEADER, fuzzy=False))
    found = extract_from_dir(str(ROOT / "labkit"), [("**.py", "python")], keywords=_KEYWORDS)
    for file, _line, message, _comments, context in sorted(found, key=lambda item: (item[0], item[1])):
        catalogue.add(message, locations=[(f"labkit/{file}", 0)], context=context)
    return catalogue


def extract_shell() -> Catalog:
    """Return what `./lab` says, as bash itself finds it, and its server."""
    catalogue = _undated(Catalog(project="lab", header_comment=_HEADER, fuzzy=False))
    for script in SHELL:
        dumped = subprocess.run(["bash", "--dump-po-strings", script], capture_output=True, check=True).stdout
        for message in read_po(io.BytesIO(dumped)):
            if message.id:
                catalogue.add(message.id, locations=[(script.relative_to(ROOT).as_posix(), 0)])
    for script in (SERVER, *IMAGES):
        for _line, words, _comments, _context in extract_from_file("python", script, keywords=_SAID):
            catalogue.add(words, locations=[(script.relative_to(ROOT).as_posix(), 0)])
    return catalogue


def shell_path(language: str) -> Path:
    """Return the file what `./lab` says in a language is written in."""
    return po_path(language).with_name("lab.po")


def merged_shell(language: str) -> Catalog:
    """Return the catalogue of `./lab` in a language, brought into step with the scripts."""
    return _merge(shell_path(language), language, extract_shell())


def variables(text: str) -> list[str]:
    """Return what bash fills into a text, sorted."""
    return sorted(re.findall(r"\$(?:\w+|\{[^}]*\}|\(\([^)]*\)+|\([^)]*\))", text))


def read(path: Path, language: str | None = None) -> Catalog:
    """Return a catalogue as it was committed."""
    with path.open("rb") as file:
        return read_po(file, locale=language)


def merged(language: str) -> Catalog:
    """Return a language's catalogue brought into step with the sources; new messages are untranslated."""
    return _merge(po_path(language), language, extract())


def _merge(path: Path, language: str, found: Catalog) -> Catalog:
    catalogue = read(path, language) if path.exists() else Catalog(locale=language, project=found.project)
    catalogue.update(found, no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    catalogue.header_comment = _HEADER
    catalogue.fuzzy = False
    return _undated(catalogue)


def po_bytes(catalogue: Catalog) -> bytes:
    """Return a catalogue as a .po file: no dates, no line numbers, so that it changes only with messages."""
    buffer = io.BytesIO()
    write_po(buffer, catalogue, width=100, include_lineno=False, sort_by_file=True, ignore_obsolete=True)
    return buffer.getvalue()


def mo_bytes(catalogue: Catalog) -> bytes:
    """Return a catalogue as a compiled .mo file."""
    buffer = io.BytesIO()
    write_mo(buffer, catalogue)
    return buffer.getvalue()


def untranslated(catalogue: Catalog) -> list[str]:
    """Return the messages without a translation, or with a doubtful one."""
    missing = []
    for message in catalogue:
        parts = message.string if isinstance(message.string, tuple | list) else (message.string,)
        if message.id and (message.fuzzy or not all(parts)):
            missing.append(str(message.id))
    return missing


def broken_placeholders(catalogue: Catalog) -> list[str]:
    """Return the messages whose translation fills in other values than the original."""
    broken = []
    for message in catalogue:
        originals = message.id if isinstance(message.id, tuple | list) else (message.id,)
        translations = message.string if isinstance(message.string, tuple | list) else (message.string,)
        wanted = {frozenset(_PLACEHOLDER.findall(original)) for original in originals}
        if message.id and any(
            translation and frozenset(_PLACEHOLDER.findall(translation)) not in wanted for translation in translations
        ):
            broken.append(str(message.id))
    return broken


def _undated(catalogue: Catalog) -> Catalog:
    catalogue.creation_date = _UNDATED
    catalogue.revision_date = _UNDATED
    catalogue.last_translator = "labkit"
    catalogue.language_team = "labkit"
    catalogue.msgid_bugs_address = "labkit"
    return catalogue
