"""Bring the catalogues into step with the sources: `./lab run python -m tests.language.update`."""

from __future__ import annotations

from pathlib import Path

from babel.messages.catalog import Catalog

from tests.language import catalogue

say = print  # a command speaks


def update() -> int:
    """Write template, catalogues and compiled catalogues; return how many messages lack a translation."""
    catalogue.LOCALE.mkdir(exist_ok=True)
    catalogue.TEMPLATE.write_bytes(catalogue.po_bytes(catalogue.extract()))
    missing = 0
    for language in catalogue.LANGUAGES:
        missing += write(catalogue.po_path(language), catalogue.merged(language))
        missing += write(catalogue.shell_path(language), catalogue.merged_shell(language))
    return missing


def write(path: Path, merged: Catalog) -> int:
    """Write a catalogue and its compiled form; return how many messages lack a translation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(catalogue.po_bytes(merged))
    path.with_suffix(".mo").write_bytes(catalogue.mo_bytes(merged))
    left = catalogue.untranslated(merged)
    say(f"{path.relative_to(catalogue.ROOT)}: {len(merged)} messages, {len(left)} without a translation")
    for message in left:
        say(f"  {message!r}")
    return len(left)


if __name__ == "__main__":
    raise SystemExit(1 if update() else 0)
