"""A long history whose lab is forgotten, brought back, copied, moved and meddled with between the rounds."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import LabError
from tests.beside.history import History
from tests.beside.upheavals import (
    Backup,
    alter_a_branch,
    back_up,
    bring_back,
    copy_and_clean,
    lose_configuration,
    meddle_harmlessly,
    move_and_back,
)

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"
TURNS = int(os.environ.get("TURNS", "25")) if THOROUGH else 1
"""How often each upheaval comes."""
ROUNDS = 2
"""Rounds between two upheavals."""


@pytest.fixture
def history(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[History]:
    """A lab with a ledger; wherever it is in the end, nothing of it is left."""
    kernels = request.param
    begun = History(Lab.open(f"h{kernels}-{tmp_path.name[-6:]}"), random.Random(kernels), kernels, neighbours=True)  # noqa: S311
    begun.begin()
    yield begun
    begun.end()
    with suppress(LabError):
        begun.lab.clean()
    begun.lab.close()


@pytest.mark.timeout(20000 if THOROUGH else 900)
@pytest.mark.parametrize("history", [2, 3], indirect=True)
def test_a_history_of_upheavals_loses_nothing(
    history: History, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    backups: list[Backup] = []

    def keep_a_backup() -> None:
        backups.append(back_up(history, tmp_path / f"backup{len(backups)}"))

    def bring_a_backup_back() -> None:
        bring_back(history, history.chance.choice(backups))

    upheavals: list[Callable[[], None]] = [
        lambda: lose_configuration(history),
        lambda: copy_and_clean(history),
        bring_a_backup_back,
        lambda: move_and_back(history, tmp_path / "elsewhere"),
        lambda: meddle_harmlessly(history),
        lambda: alter_a_branch(history),
    ]
    try:
        for _turn in range(TURNS):
            keep_a_backup()
            history.chance.shuffle(upheavals)
            for upheaval in upheavals:
                for _round in range(ROUNDS):
                    history.round()
                    if history.chance.random() < 0.3:
                        history.behind_the_back()
                upheaval()
                history.counts["upheavals"] += 1
    finally:
        record_property("history", dict(history.counts))
        for backup in backups:
            shutil.rmtree(backup.folder, ignore_errors=True)
    assert history.counts["upheavals"] == TURNS * len(upheavals)
