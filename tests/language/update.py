"""Bring the catalogues into step with the sources: `./lab run python -m tests.language.update`."""

from __future__ import annotations

from tests.language import catalogue

say = print  # a command speaks


def update() -> int:
    """Write template, catalogues and compiled catalogues; return how many messages lack a translation."""
    catalogue.LOCALE.mkdir(exist_ok=True)
    catalogue.TEMPLATE.write_bytes(catalogue.po_bytes(catalogue.extract()))
    missing = 0
    for language in catalogue.LANGUAGES:
        merged = catalogue.merged(language)
        path = catalogue.po_path(language)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(catalogue.po_bytes(merged))
        path.with_suffix(".mo").write_bytes(catalogue.mo_bytes(merged))
        left = catalogue.untranslated(merged)
        missing += len(left)
        say(f"{path.relative_to(catalogue.ROOT)}: {len(merged)} messages, {len(left)} without a translation")
        for message in left:
            say(f"  {message!r}")
    return missing


if __name__ == "__main__":
    raise SystemExit(1 if update() else 0)
