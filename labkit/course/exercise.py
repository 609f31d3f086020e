"""Exercises: tasks on machines of their own, checked where the work was done.

    ex = exercise("primer-arranque")     shows the task
    ex.check()   ex.hint()   ex.solution()   ex.reset()

A check looks at the hypervisor, the images and inside the guest, never at variables. It changes nothing.
Each exercise is a class in `exercises/`; the solution shown is the code that is run to prove it.

Knows: the lab as a student uses it, the course's texts, progress. Must not know: which exercises there are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from labkit.arguments import checked
from labkit.course.progress import CourseProgress
from labkit.course.text import find_text, say
from labkit.errors import LabError
from labkit.lab import Lab
from labkit.language import _
from labkit.widgets.tree import Node, tag, to_html


class Verdict(StrEnum):
    """How a check came out."""

    DONE = "done"
    NOT_STARTED = "not started"
    WRONG = "wrong"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a check found.

    Attributes:
        verdict: how it came out.
        why: what was seen, one sentence; what is wrong, or which precondition was broken.
        hint: the next step, one sentence; for a broken precondition the step that restores it.
    """

    verdict: Verdict
    why: str = ""
    hint: str = ""

    @property
    def text(self) -> str:
        """The result in one or two sentences."""
        words = {
            Verdict.DONE: _("✓ Done. {why}"),
            Verdict.NOT_STARTED: _("· Not started yet. {why}"),
            Verdict.WRONG: _("✗ Not yet, because: {why}"),
            Verdict.BROKEN: _("⚠ What the exercise starts from is broken: {why}"),
        }
        return words[self.verdict].format(why=self.why).strip()

    def __repr__(self) -> str:
        return f"{self.text}\n→ {self.hint}" if self.verdict is Verdict.BROKEN else self.text

    def _repr_html_(self) -> str:
        restore = tag("p", "→ ", self.hint) if self.verdict is Verdict.BROKEN else None
        return to_html(tag("div", tag("p", self.text), restore))


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A hint or a solution: text, and code if there is some."""

    text: str
    code: str = ""

    def __repr__(self) -> str:
        return f"{self.text}\n\n{self.code}" if self.code else self.text

    def _repr_html_(self) -> str:
        return to_html(tag("div", tag("p", self.text), tag("pre", self.code) if self.code else None))


class Exercise(ABC):
    """A task; see the module. A subclass is one exercise.

    Args:
        lab: where its machines are; None: the lab `default`, opened when it is first needed.
    """

    slug: ClassVar[str]
    code: ClassVar[str]
    """The solution: Python that may use `lab` and `ex`."""

    def __init__(self, lab: Lab | None = None, *, progress: CourseProgress | None = None) -> None:
        self._lab = lab
        self._progress = progress or CourseProgress()

    @property
    @abstractmethod
    def machines(self) -> tuple[str, ...]:
        """Names of the machines that only it uses."""

    @property
    def disks(self) -> tuple[str, ...]:
        """Names of the free disks that only it uses and may leave behind."""
        return ()

    def prepare(self) -> None:  # noqa: B027 — nothing, for most
        """Make what the exercise starts from; many start from nothing."""

    @abstractmethod
    def look(self) -> Result:
        """Look at the work and return the result, with a hint for what is wrong."""

    def not_begun(self, why: str, hint: str = "") -> Result:
        """Return that nothing is begun: what is missing, and how to begin."""
        hint = hint or _("ex.start() makes what the exercise starts from.")
        return Result(verdict=Verdict.NOT_STARTED, why=why, hint=hint)

    def done(self, why: str) -> Result:
        """Return that it is done, with what was seen."""
        return Result(verdict=Verdict.DONE, why=why)

    def wrong(self, why: str, hint: str) -> Result:
        """Return that it is not done yet, with the reason and the next step."""
        return Result(verdict=Verdict.WRONG, why=why, hint=hint)

    def broken(self, why: str, hint: str = "") -> Result:
        """Return that a precondition is broken; unless the hint says otherwise, only a new start restores it."""
        return Result(verdict=Verdict.BROKEN, why=why, hint=hint or _("Call ex.start(): it makes everything again."))

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
        """A folder on the host for files that belong to no disk; `reset` removes it."""
        return self.lab.home / "exercises" / self.slug

    @property
    def is_done(self) -> bool:
        """Whether a check has once found it done."""
        return self._progress.is_done(self.slug)

    def check(self) -> Result:
        """Look at the work; this changes nothing but the progress file.

        Whatever the student has removed, moved or emptied, here or inside a guest, the result is a sentence: if a check
        does not find what the start made, a precondition is broken.
        """
        try:
            result = self.look()
        except LabError as error:
            return Result(verdict=Verdict.BROKEN, why=error.message, hint=error.hint)
        except OSError as error:
            name = Path(os.fsdecode(error.filename)).name if error.filename else self.slug
            return self.broken(_("{name} cannot be read: {why}.").format(name=name, why=error.strerror or error))
        except (LookupError, ValueError, StopIteration):
            return self.broken(_("Something that the check reads is not as the exercise has made it."))
        if result.verdict is Verdict.DONE:
            self._progress.record_done(self.slug)
        return result

    def hint(self) -> Advice:
        """Return the next step that fits the present state."""
        return Advice(text=self.check().hint or _("Nothing is left to do."))

    def solution(self) -> Advice:
        """Return one way to solve it, without running it."""
        return Advice(text=_("One way to do it; {ex} is this exercise:").format(ex="ex"), code=self.code)

    def start(self) -> Result:
        """Make what the exercise starts from, anew; what was done in it before is lost."""
        self._clear()
        self.prepare()
        return self.check()

    def reset(self) -> Result:
        """Delete the exercise's machines and disks with all work in them, and forget that it was done."""
        self._clear()
        self._progress.forget(self.slug)
        return self.check()

    def _clear(self) -> None:
        for name in self.machines:
            if name in self.lab.machines:
                machine = self.lab.machines[name]
                if machine.facts.is_active:
                    machine.kill()
                machine.delete()
        for name in self.disks:
            if name in self.lab.disks and self.lab.disks[name].machine is None:
                self.lab.disks[name].stop_serving().delete()
        shutil.rmtree(self.folder, ignore_errors=True)

    @checked
    def task(self, *, mark: bool = True) -> str:
        """Return the task.

        Args:
            mark: whether to show the student's mark, which should not be in saved notebooks.
        """
        text = say(find_text("exercises", self.slug)["task"])
        return text.format(machine=self.machine, mark=self.mark if mark else "ex.mark")

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
