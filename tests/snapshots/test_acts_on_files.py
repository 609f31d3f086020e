"""Random acts on image files: plans carried out with the engine's own hands, contents compared with a pure model."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from labkit.engine import seals
from labkit.model.disk import chain
from labkit.model.image import Format
from labkit.model.state import LabState
from labkit.plans.broken import why_broken
from labkit.plans.disk import plan_attach
from labkit.plans.flatten import RelinkSurvey, plan_relink
from labkit.plans.plan import Plan
from labkit.storage.contents import hash_file
from labkit.units import GIB
from tests.snapshots.clone_acts import CloneActs
from tests.snapshots.known import CAPACITY, EMPTY
from tests.snapshots.random_acts import STEPS
from tests.snapshots.world import World

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"


class FileActs(CloneActs):
    """Machines are values, their images are files."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="acts-"))
        self.world = World(self.folder / "lab")

    @property
    def state(self) -> LabState:
        return self.world.state

    def carry_out(self, plan: Plan) -> None:
        self.world.carry_out(plan)

    def make_disk(self, name: str, format: Format) -> None:
        self.world.make_disk(name, format, CAPACITY)

    @initialize(disks=st.integers(0, 2), snapshot=st.booleans())
    def begin(self, disks: int, snapshot: bool) -> None:
        """Have something to clone."""
        for number in range(disks):
            name = f"first{number}"
            self.make_disk(name, Format.QCOW2)
            self._act(plan_attach(self.state, name, self.at))
            self.own.now[name] = EMPTY
        if snapshot and disks:
            self.take()

    @precondition(lambda self: bool(self._frozen_below()))
    @rule(data=st.data())
    def lose_and_relink(self, data: st.DataObject) -> None:
        """Take a frozen image away: what stands on it is not used until the file is brought back."""
        disk, lost = data.draw(st.sampled_from(self._frozen_below()))
        file = self.folder / "elsewhere"
        shutil.move(lost, file)
        state = self.state
        disks = state.machines[self.at].spec.disks
        assert why_broken(state, self.at, disks, frozenset()) is not None
        known = seals.find_seals(Path(lost).parent)
        survey = RelinkSurvey(
            free_bytes=1024 * GIB,
            size=file.stat().st_size,
            allocated=file.stat().st_size,
            sha256=hash_file(file),
            seals={str(self.world.home / "disks" / name): seal.sha256 or "" for name, seal in known.items()},
        )
        self._act(plan_relink(state, survey, self.at, disk, str(file)), brought=True)
        STEPS["relinked"] += 1

    def _frozen_below(self) -> list[tuple[str, str]]:
        """The disks of the machine at hand, each with the frozen images below it."""
        state = self.state
        disks = state.machines[self.at].spec.disks
        layers = [(disk.name, layer) for disk in disks for layer in chain(state.images, disk.path)[1:]]
        return sorted((name, layer.path) for name, layer in layers if layer.frozen)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


TestActsOnFiles = pytest.mark.timeout(3600 if THOROUGH else 900)(FileActs.TestCase)
TestActsOnFiles.settings = settings(
    max_examples=150 if THOROUGH else 10,
    stateful_step_count=50 if THOROUGH else 30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=not THOROUGH,
    print_blob=True,
)
