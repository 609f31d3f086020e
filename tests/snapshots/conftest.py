"""What was tried is counted and told at the end of a run: instants struck, by act and strike; steps at random."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator

import pytest

from tests.snapshots.random_acts import STEPS
from tests.snapshots.struck import SLOWEST, TRIED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Let each test's report carry what it tried, so that it also comes from the workers of a shared run."""
    before, steps = TRIED.copy(), STEPS.copy()
    try:
        return (yield)
    finally:
        item.user_properties += [
            ("struck", [[*what, number] for what, number in (TRIED - before).items()]),
            ("steps", [[what, number] for what, number in (STEPS - steps).items()]),
            ("slowest", SLOWEST[0]),
        ]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables."""
    struck: dict[str, Counter[str]] = {}
    steps: Counter[str] = Counter()
    slowest = 0.0
    for report in (*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())):
        found = dict(report.user_properties) if report.when == "call" else {}
        for act, how, number in found.get("struck", ()):
            struck.setdefault(act, Counter())[how] += number
        for what, number in found.get("steps", ()):
            steps[what] += number
        slowest = max(slowest, found.get("slowest", 0.0))
    if struck:
        _print_struck(terminalreporter, struck, slowest)
    if steps:
        terminalreporter.section("acts on snapshots at random")
        terminalreporter.line(", ".join(f"{number} {what}" for what, number in sorted(steps.items())))


def _print_struck(reporter: pytest.TerminalReporter, struck: dict[str, Counter[str]], slowest: float) -> None:
    hows = sorted({how for counts in struck.values() for how in counts})
    total: Counter[str] = sum(struck.values(), Counter())
    reporter.section("instants struck in acts on snapshots")
    for act, counts in (*struck.items(), (f"in all {total.total()}", total)):
        row = ", ".join(f"{how} {counts[how]}" for how in hows if counts[how])
        reporter.line(f"{act:40} {counts.total():5}   {row}")
    reporter.line(f"the slowest opening afterwards took {slowest:.1f} s")
