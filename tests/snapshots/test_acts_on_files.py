"""Random acts on image files: plans carried out with the engine's own hands, contents compared with a pure model."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings

from labkit.model.image import Format
from labkit.model.state import LabState
from labkit.plans.plan import Plan
from tests.snapshots.random_acts import CAPACITY, RandomActs
from tests.snapshots.world import World

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"


class FileActs(RandomActs):
    """The machine is a value, its images are files."""

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

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


TestActsOnFiles = FileActs.TestCase
TestActsOnFiles.settings = settings(
    max_examples=150 if THOROUGH else 8,
    stateful_step_count=40 if THOROUGH else 25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=not THOROUGH,
    print_blob=True,
)
