"""A diagnosis of the host: one check after the other, each with its cause and one command to repair it.

Knows: text. Must not know: how anything is checked.
"""

from __future__ import annotations

import html
import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from labkit.language import _

FORMAT = 1
"""Version of the JSON format; it grows when a key changes its meaning."""


class Status(StrEnum):
    """How a check came out: fine, worth knowing, or in the way of the lab."""

    OK = "ok"
    NOTE = "note"
    TROUBLE = "trouble"


_MARKS = {Status.OK: "✓", Status.NOTE: "·", Status.TROUBLE: "✗"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at.

    Attributes:
        slug: its name for programs, e.g. "disk-space"; it never changes.
        status: how it came out. what: what was found, one sentence.
        cause: why, one sentence, or "". repair: one command to type, or "" if nothing is to be done.
    """

    slug: str
    status: Status
    what: str
    cause: str = ""
    repair: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All checks, in the order they were made."""

    checks: tuple[Check, ...]

    @property
    def is_well(self) -> bool:
        """Whether nothing is in the way of the lab."""
        return not self.troubles

    @property
    def troubles(self) -> tuple[Check, ...]:
        """The checks that came out badly."""
        return tuple(check for check in self.checks if check.status is Status.TROUBLE)

    @property
    def exit_code(self) -> int:
        """0 when nothing is in the way, else 1."""
        return 0 if self.is_well else 1

    @property
    def verdict(self) -> str:
        """One sentence that sums up all checks."""
        if self.is_well:
            return _("Nothing is in the way of the lab.")
        return _("In the way of the lab: {names}.").format(names=", ".join(check.slug for check in self.troubles))

    def __getitem__(self, slug: str) -> Check:
        """Return the check of that name; KeyError when it was not made."""
        for check in self.checks:
            if check.slug == slug:
                return check
        raise KeyError(slug)

    def render_text(self) -> str:
        """Return the diagnosis as lines for a terminal."""
        lines = []
        for check in self.checks:
            lines.append(f"{_MARKS[check.status]} {check.slug}: {check.what}")
            if check.cause:
                lines.append("    " + _("cause: {sentence}").format(sentence=check.cause))
            if check.repair:
                lines.append("    " + _("repair: {command}").format(command=check.repair))
        return "\n".join([*lines, self.verdict])

    def to_json(self) -> str:
        """Return the diagnosis as JSON: `format`, `well`, and `checks`, each with all its five keys."""
        checks = [asdict(check) for check in self.checks]
        document = {"format": FORMAT, "well": self.is_well, "checks": checks}
        return json.dumps(document, ensure_ascii=False, indent=2)

    def __repr__(self) -> str:
        return self.verdict

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.verdict)}</p>"
