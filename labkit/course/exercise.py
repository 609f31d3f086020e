"""Exercises: a task on a machine of its own, checked where the work was done.

    ex = exercise("first-boot")          shows the task
    ex.start()   ex.check()   ex.hint()   ex.solution()   ex.reset()

A check reads (`read`: the hypervisor, the images, inside the guest; never variables) and judges (`judge`) what it has
read against the evidence: what the same readers found at the start, and what only the start could know. It changes
nothing but the student's own files. Each exercise is a class in `exercises/`; the solution shown is the code that is
run to prove it.

Knows: the lab as a student uses it, the course's texts, progress. Must not know: which exercises there are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from labkit.arguments import checked
from labkit.course.evidence import HINT_STEPS, EvidenceFile
from labkit.course.progress import CourseProgress
from labkit.course.readers import read_disk, read_machines
from labkit.course.reading import Evidence, Reading
from labkit.course.result import Advice, Result, Verdict, broken, not_begun, wrong
from labkit.course.text import find_text, say
from labkit.errors import LabError
from labkit.lab import Lab
from labkit.language import _
from labkit.model.disk import disk_name
from labkit.model.state import alive_among
from labkit.storage.image_locks import is_held
from labkit.widgets.tree import Node, tag, to_html

__all__ = ["Advice", "Exercise", "Result", "Verdict"]


class Exercise(ABC):
    """A task; see the module. A subclass is one exercise.

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
        if result.verdict is Verdict.WRONG and before.at and now == before.reading:
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
        """The student's mark: eight characters that differ from student to student."""
        return hashlib.sha256(f"{self._progress.student}:{self.slug}".encode()).hexdigest()[:8]

    @property
    def folder(self) -> Path:
        """A folder of the host for files that belong to no disk; it goes with the exercise."""
        return self.lab.home / "exercises" / self.slug

    @property
    def is_done(self) -> bool:
        """Whether a check once found it done."""
        return any(self._progress.is_done(name) for name in (self.slug, self.alias) if name)

    @property
    def hints_taken(self) -> int:
        """How many hints were taken in this lab, over all starts."""
        return self._kept.read().hints

    @property
    def evidence(self) -> Evidence | None:
        """What is known since its start; None: it was not started."""
        return self._kept.read().evidence

    @property
    def _kept(self) -> EvidenceFile:
        return EvidenceFile(self._progress.path.parent, self.lab.session.workspace.id, self.slug)

    # --- what a student calls ---------------------------------------------------------------------

    def check(self) -> Result:
        """Look at the work; changes nothing but the progress file.

        Whatever the student has removed, moved or emptied, here or inside a guest, it ends in words.
        """
        try:
            result = self._look()
        except LabError as error:
            return broken(error.message)  # its own way out may be one that the task is not about
        except OSError as error:
            name = Path(os.fsdecode(error.filename)).name if error.filename else self.slug
            return broken(_("{name} cannot be read: {why}.").format(name=name, why=error.strerror or error))
        except Exception:  # noqa: BLE001 — whatever was put where the check reads, the student hears of it in words
            return broken(_("Something that the check reads is not as the exercise has made it."))
        if result.verdict is Verdict.DONE:
            self._progress.record_done(self.slug)
        return result

    def _look(self) -> Result:
        evidence = self.evidence
        if evidence is None and not self.starts_empty:
            return not_begun("")
        return self.judge_all(evidence or Evidence(), self.read())

    def hint(self) -> Advice:
        """Return the next step, as it fits what is there now: first where to look, then which call, then the line.

        The number taken is kept (`hints_taken`).
        """
        result = self.check()
        if result.verdict is Verdict.DONE:
            return Advice(text=_("Nothing is left to do."))
        if result.verdict in (Verdict.NOT_STARTED, Verdict.BROKEN):
            return Advice(text=result.hint)
        step = self._kept.take_hint(result.why)
        text = {1: self.where_to_look, 2: result.hint, 3: _("This does it; {ex} is this exercise:").format(ex="ex")}
        return Advice(
            text=_("Hint {step} of {all}. {text}").format(step=step, all=HINT_STEPS, text=text[step]),
            code=(result.line or self.code) if step == HINT_STEPS else "",
        )

    def solution(self) -> Advice:
        """Return one way to solve it; nothing is run."""
        return Advice(text=_("One way to do it; {ex} is this exercise:").format(ex="ex"), code=self.code)

    def start(self) -> Result:
        """Make what the exercise starts from, again; what was done in it before is lost."""
        self._clear()
        self._kept.keep(None)
        notes = self.prepare() or {}
        evidence = Evidence(at=datetime.now(UTC).isoformat(timespec="seconds"), notes=notes)
        self._kept.keep(evidence)  # readers may need the notes
        reading = self.read()
        evidence = replace(evidence, reading=reading)
        self._kept.keep(evidence)
        return self.judge_all(evidence, reading)

    def reset(self) -> Result:
        """Delete the exercise's machines and disks, with what was done in them, and forget that it was done."""
        self._clear()
        self._kept.keep(None)
        self._progress.forget(*(name for name in (self.slug, self.alias) if name))
        return self.check()

    def _clear(self) -> None:
        for name in self.machines:
            if name in self.lab.machines:
                machine = self.lab.machines[name]
                if machine.facts.is_active:
                    machine.kill()
                machine.delete()
        for name in self._disk_names:
            if name in self.lab.disks and self.lab.disks[name].machine is None:
                with suppress(LabError):  # what stands on it goes below
                    self.lab.disks[name].stop_serving().delete()
        self._clear_left()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _disk_names(self) -> tuple[str, ...]:
        return *self.disks, *(f"{name}.vda" for name in self.machines)

    def _clear_left(self) -> None:
        """Remove files named as images of its disks that nobody else needs: somebody made, renamed or spoiled them.

        What a machine, a snapshot (one that libvirt has forgotten, too), another disk or somebody else's domain stands
        on stays, and what a process has open.
        """
        state, ours = self.lab.state, self._disk_names
        others = {disk.active.path for disk in state.disks.values() if disk.name not in ours}
        needed = alive_among(state.images, state.claims | state.remembered() | others)
        for path in (self.lab.home / "disks").iterdir():
            if disk_name(path.name) not in ours or str(path) in needed:
                continue
            with suppress(LabError):  # what cannot even be opened stays
                if path.is_symlink() or (path.is_file() and not is_held(path)):
                    path.unlink()

    @checked
    def task(self, *, mark: bool = True) -> str:
        """Return the task.

        Args:
            mark: whether to name the student's mark, which no saved notebook should hold.
        """
        text = say(find_text("exercises", self.slug)["task"])
        return text.format(machine=self.machine, mark=self.mark if mark else "ex.mark")

    @property
    def where_to_look(self) -> str:
        """Its first hint: where to look, whatever is wrong."""
        return say(find_text("exercises", self.slug)["look"])

    @property
    def title(self) -> str:
        """Its title."""
        return say(find_text("exercises", self.slug)["title"])

    def __repr__(self) -> str:
        return f"{self.title} ({self.slug})\n{self.task(mark=False)}\n{_ways()}"

    def _repr_html_(self) -> str:
        head: Node = tag("p", tag("strong", self.title), f" ({self.slug})")
        return to_html(tag("div", head, tag("p", self.task(mark=False)), tag("p", _ways())))


def _ways() -> str:
    text = _("{check} looks at your work, {hint} gives the next step, {solution} shows a way, {reset} begins again.")
    return text.format(check="ex.check()", hint="ex.hint()", solution="ex.solution()", reset="ex.reset()")
