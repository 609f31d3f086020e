"""What the long histories tried is told at the end of a run."""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how much was tried, and what of it was done."""
    counts: Counter[str] = Counter()
    for report in (*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())):
        for name, value in report.user_properties if report.when == "call" else ():
            counts.update(value if name == "history" else {})
    if counts:
        terminalreporter.section("histories beside others")
        terminalreporter.line(", ".join(f"{number} {what}" for what, number in sorted(counts.items()) if number))
