"""What an exercise stands on: its machines and disks, what is read of them, and how that is judged.

A check reads (`read`: the hypervisor, the images, inside the guest; never variables) and judges (`judge`) what it has
read against the evidence: what the same readers found at the start, and what only the start could know.

Knows: the lab as a student uses it, progress. Must not know: which exercises there are, what a student calls.
"""

from __future__ import annotations

import hashlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from labkit.course.evidence import EvidenceFile
from labkit.course.goal import Goal
from labkit.course.leftovers import clear
from labkit.course.progress import CourseProgress
from labkit.course.readers import read_disk, read_machines
from labkit.course.reading import Evidence, Reading
from labkit.course.result import Result, Stand, Verdict, broken, wrong
from labkit.lab import Lab
from labkit.language import _
from labkit.model.state import LabState


class Ground(ABC):
    """What a subclass says of an exercise, and what all have in common.

    Args:
        lab: where its machines are; None: the lab `default`, opened when it is first needed.
    """

    slug: ClassVar[str]
    alias: ClassVar[str] = ""
    """Another name it is found by: the one it had before."""
    code: ClassVar[str]
    """The solution: Python that may use `lab` and `ex`."""
    starts_empty: ClassVar[bool] = False
    """Whether it starts from nothing, so that it need not be started."""
    reads_contents: ClassVar[bool] = False
    """Whether the contents of its disks are read."""
    reads_files: ClassVar[bool] = False
    """Whether the files in the file systems of its disks are read."""

    def __init__(self, lab: Lab | None = None, *, progress: CourseProgress | None = None) -> None:
        self._lab = lab
        self._progress = progress or CourseProgress()

    # --- what a subclass says ---------------------------------------------------------------------

    @property
    @abstractmethod
    def machines(self) -> tuple[str, ...]:
        """Names of the machines it uses; nobody else does."""

    @property
    def given(self) -> tuple[str, ...]:
        """Those of them that the start makes, and that must stay what they are."""
        return self.machines

    @property
    def disks(self) -> tuple[str, ...]:
        """Names of the free disks it may leave; nobody else uses them."""
        return ()

    @property
    def needed(self) -> tuple[str, ...]:
        """Those of them that must be there."""
        return self.disks

    @property
    def questions(self) -> Mapping[str, Mapping[str, str]]:
        """What its guests are asked at each check, by machine: lines of shell by question."""
        return {}

    def prepare(self) -> Mapping[str, str] | None:
        """Make what the exercise starts from; return what only the start can know, by name."""
        return None

    @abstractmethod
    def judge(self, before: Evidence, now: Reading) -> Result:
        """Tell how the work stands, from what was read alone; what was given is there."""

    @property
    def amounts(self) -> Mapping[str, str]:
        """What its task names besides machine and mark, in words: sizes and numbers that are `drawn`."""
        return {}

    # --- what all share ---------------------------------------------------------------------------

    def read(self) -> Reading:
        """Read what there is to be judged; nothing is changed."""
        lab, mine = self.lab, set(self.machines)
        return Reading(
            machines=read_machines(lab, self.machines, self.questions),
            others={name: facts.id for name, facts in lab.state.machines.items() if name not in mine},
            disks={
                name: read_disk(lab.disks[name], content=self.reads_contents, files=self.reads_files)
                for name in self.disks
                if name in lab.disks
            },
        )

    def why_not_given(self, before: Reading, now: Reading) -> Result | None:
        """Return what has become of the machines and disks of the start, if they are not there any more, or None."""
        for name in self.given:
            was, there = before.machines.get(name), now.machines.get(name)
            if was is None:
                continue
            called = next((other for other, its in now.others.items() if its == was.id), None)
            called = called or next((each for each, its in now.machines.items() if its.id == was.id), None)
            if called is not None and called != name:
                return wrong(
                    _("{name} was renamed: it is called {other} now.").format(name=name, other=called),
                    _("Give it its name back: vm.rename({name!r}).").format(name=name),
                    f'lab.machines["{called}"].rename("{name}")',
                )
            if there is None:
                return broken(_("The machine {name} is gone.").format(name=name))
            if there.id != was.id:
                return broken(
                    _("{name} was made again: it is another machine than the one of the start.").format(name=name)
                )
        gone = [name for name in self.needed if name in before.disks and name not in now.disks]
        return broken(_("The disk {name} is gone.").format(name=gone[0])) if gone else None

    def judge_all(self, before: Evidence, now: Reading) -> Result:
        """Tell how it stands: what was given, then the work; right after the start it is begun, not wrong."""
        result = self.why_not_given(before.reading, now) or self.judge(before, now)
        unchanged = (
            replace(now, others=before.reading.others) == before.reading
        )  # what is made beside it is no work on it
        if result.verdict is Verdict.WRONG and before.at and unchanged:
            return Result(verdict=Verdict.BEGUN, why=result.why, hint=result.hint, line=result.line)
        return result

    @property
    def lab(self) -> Lab:
        """The lab its machines are in."""
        if self._lab is None:
            self._lab = Lab.open()
        return self._lab

    @property
    def machine(self) -> str:
        """The name of its (first) machine, or of the exercise if it has none."""
        return self.machines[0] if self.machines else self.slug

    @property
    def mark(self) -> str:
        """The student's mark: eight characters that differ from student to student, and from seed to seed.

        Offsets, and which machine it is that falls, derive from it.
        """
        return hashlib.sha256(f"{self.seed or self._progress.student}:{self.slug}".encode()).hexdigest()[:8]

    def drawn(self, what: str, *choices: int) -> int:
        """Return a size or number: the first for the student's own; for another one, the one that its seed draws.

        Args:
            what: which one; each is drawn for itself.
        """
        if not self.seed:
            return choices[0]
        digest = hashlib.sha256(f"{self.seed}:{self.slug}:{what}".encode()).digest()
        return choices[int.from_bytes(digest[:4]) % len(choices)]

    @property
    def seed(self) -> str:
        """What another one is drawn from, while it is taken for practice; "": it is the student's own."""
        return self._kept.read().seed

    @property
    def folder(self) -> Path:
        """A folder of the host for files that belong to no disk; it goes with the exercise."""
        return self.lab.home / "exercises" / self.slug

    @property
    def is_done(self) -> bool:
        """Whether a check once found it done."""
        return any(self._progress.is_done(name) for name in (self.slug, self.alias) if name)

    def stand(self, there: Collection[str]) -> Stand:
        """Return how it stands; what is done for practice does not count.

        Args:
            there: the names of the machines and disks of its lab.
        """
        if self.is_done:
            return Stand.DONE
        is_begun = self.evidence is not None or not {*self.machines, *self.disks}.isdisjoint(there)
        return Stand.BEGUN if is_begun else Stand.OPEN

    @property
    def hints_taken(self) -> int:
        """How many hints were taken in this lab, over all starts."""
        return self._kept.read().hints

    @property
    def evidence(self) -> Evidence | None:
        """What is known since its start; None: it was not started."""
        return self._kept.read().evidence

    @property
    def seconds_used(self) -> float | None:
        """Seconds from its last start until a check found it done, or until now; None: it was not started."""
        kept = self._kept.read()
        if kept.evidence is None or not kept.evidence.at:
            return None
        end = datetime.fromisoformat(kept.done) if kept.done else datetime.now(UTC)
        return max(0.0, (end - datetime.fromisoformat(kept.evidence.at)).total_seconds())

    @property
    def is_finished(self) -> bool:
        """Whether a check found it done after its last start."""
        return bool(self._kept.read().done)

    def goal(self, state: LabState | None) -> Goal | None:  # noqa: ARG002  a subclass may need it
        """Return what is to be there in the end, as a tree that can be drawn, compared with a lab; None: it is no tree.

        Args:
            state: the lab; None: nothing is compared.
        """
        return None

    @property
    def _kept(self) -> EvidenceFile:
        return EvidenceFile(self._progress.path.parent, self.lab.session.workspace.id, self.slug)

    def _clear(self) -> None:
        clear(self.lab, self.machines, (*self.disks, *(f"{name}.vda" for name in self.machines)))
        shutil.rmtree(self.folder, ignore_errors=True)
