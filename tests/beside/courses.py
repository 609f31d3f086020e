"""The long histories as they are run, by the tests and by the recorded run: with how many kernels, by which chance.

Knows: histories, labs. Must not know: pytest, where counts go.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labkit import Lab
from labkit.errors import LabError
from tests.beside.guests import GuestHistory
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
from tests.instance import Instance

Kind = Literal["kernels", "upheavals", "guests"]

UPHEAVALS = 6
"""How many there are; each comes once in a turn."""
_ROUNDS_BETWEEN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One history: the same again with the same numbers, as far as what happens at the same time allows.

    Attributes:
        kernels: that act at the same time. seed: of the chance. size: rounds, or turns of all upheavals.
    """

    kind: Kind
    kernels: int
    seed: int
    size: int

    def __str__(self) -> str:
        return f"{self.kind}, {self.kernels} kernels, seed {self.seed}, {self.size}"

    def run(self, instance: Instance, counts: Counter[str]) -> None:
        """Go through it in a lab of its own, of which nothing is left then; `counts` grows as things are tried.

        Raises:
            AssertionError: something is lost, altered, or is not told as it should be.
        """
        chance = random.Random(self.seed)  # noqa: S311 — the same history each time
        name = f"{self.kind[0]}{self.kernels}-{self.seed}"
        if self.kind == "guests":
            with Lab.open(name) as lab:
                _run_guests(GuestHistory(lab, instance, chance, counts=counts), self.size)
                lab.clean()
            return
        history = History(Lab.open(name), chance, self.kernels, counts=counts, neighbours=self.kind == "upheavals")
        try:
            history.begin()
            (_run_upheavals if history.neighbours else _run_kernels)(history, self.size)
        finally:
            history.end()
            with suppress(LabError):
                history.lab.clean()
            history.lab.close()


def _run_guests(history: GuestHistory, rounds: int) -> None:
    history.begin()
    try:
        for _round in range(rounds):
            history.round()
    finally:
        history.end()


def _run_kernels(history: History, rounds: int) -> None:
    for _round in range(rounds):
        _go_on(history)


def _run_upheavals(history: History, turns: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="upheavals-"))
    backups: list[Backup] = []
    upheavals: list[Callable[[], None]] = [
        lambda: lose_configuration(history),
        lambda: copy_and_clean(history),
        lambda: bring_back(history, history.chance.choice(backups)),
        lambda: move_and_back(history, folder / "elsewhere"),
        lambda: meddle_harmlessly(history),
        lambda: alter_a_branch(history),
    ]
    assert len(upheavals) == UPHEAVALS
    try:
        for _turn in range(turns):
            backups.append(back_up(history, folder / f"backup{len(backups)}"))
            history.chance.shuffle(upheavals)
            for upheaval in upheavals:
                for _round in range(_ROUNDS_BETWEEN):
                    _go_on(history)
                upheaval()
                history.counts["upheavals"] += 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _go_on(history: History) -> None:
    history.round()
    if history.chance.random() < 0.3:
        history.behind_the_back()
