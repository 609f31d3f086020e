"""Exercises: a task on a machine of its own, checked where the work was done.

    ex = exercise("first-boot")          shows the task
    ex.start()   ex.check()   ex.hint()   ex.solution()   ex.another()   ex.reset()

What is read and judged is said in `ground.py`; a check changes nothing but the student's own files. Each exercise is a
class in `exercises/`; the solution shown is the code that is run to prove it.

Knows: what an exercise stands on, the course's texts, progress. Must not know: which exercises there are.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from labkit.arguments import checked
from labkit.course.announcing import Call, announce
from labkit.course.evidence import HINT_STEPS
from labkit.course.ground import Ground
from labkit.course.reading import Evidence
from labkit.course.result import Advice, Result, Verdict, broken, not_begun
from labkit.course.text import find_text, say
from labkit.errors import LabError
from labkit.language import _
from labkit.units import check_name

__all__ = ["Advice", "Exercise", "Result", "Verdict"]


class Exercise(Ground):
    """A task; see the module. A subclass is one exercise."""

    def check(self) -> Result:
        """Look at the work; changes nothing but the progress file.

        Whatever the student has removed, moved or emptied, here or inside a guest, it ends in words. What is done for
        practice does not count.
        """
        result = self._check()
        announce(self, Call.CHECK, result)
        return result

    def _check(self) -> Result:
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
            self._kept.finish(_now())
            if not self.seed:
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
        result = self._check()
        advice = self._advise(result)
        announce(self, Call.HINT, result, advice)
        return advice

    def _advise(self, result: Result) -> Advice:
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
        advice = Advice(text=_("One way to do it; {ex} is this exercise:").format(ex="ex"), code=self.code)
        announce(self, Call.SOLUTION, None, advice)
        return advice

    def start(self) -> Result:
        """Make what the exercise starts from, again; what was done in it before is lost."""
        result = self._start()
        announce(self, Call.START, result)
        return result

    @checked
    def another(self, seed: str | None = None) -> Result:
        """Take the exercise again, for practice: with other marks, places and sizes. `reset` brings back one's own.

        Args:
            seed: what they are drawn from, the same for the same seed; None: one that was not there before.

        What was done in it is lost; that it was done, with one's own marks, still counts.

        Raises:
            BadInput: the seed is no name.
        """
        seed = secrets.token_hex(4) if seed is None else check_name(seed, what=_("seed"))
        self._clear()  # what was derived from the seed before
        self._kept.keep(None, seed=seed)
        result = self._start()
        announce(self, Call.ANOTHER, result)
        return result

    def _start(self) -> Result:
        self._clear()
        self._kept.keep(None)
        notes = self.prepare() or {}
        evidence = Evidence(at=_now(), notes=notes)
        self._kept.keep(evidence)  # readers may need the notes
        reading = self.read()
        evidence = replace(evidence, reading=reading)
        self._kept.keep(evidence)
        return self.judge_all(evidence, reading)

    def reset(self) -> Result:
        """Delete the exercise's machines and disks, with what was done in them, and forget that it was done.

        Of another one, for practice, only what was done for practice is forgotten.
        """
        practice = self.seed
        self._clear()
        self._kept.keep(None, seed="")
        if not practice:
            self._progress.forget(*(name for name in (self.slug, self.alias) if name))
        result = self._check()
        announce(self, Call.RESET, result)
        return result

    @checked
    def task(self, *, mark: bool = True) -> str:
        """Return the task.

        Args:
            mark: whether to name the student's mark, which no saved notebook should hold.
        """
        text = say(find_text("exercises", self.slug)["task"])
        return text.format(machine=self.machine, mark=self.mark if mark else "ex.mark", **self.amounts)

    @property
    def where_to_look(self) -> str:
        """Its first hint: where to look, whatever is wrong."""
        return say(find_text("exercises", self.slug)["look"])

    @property
    def title(self) -> str:
        """Its title."""
        return say(find_text("exercises", self.slug)["title"])

    @property
    def kept_at(self) -> Path:
        """Where its evidence is kept: the same for all that speak of this exercise in this lab."""
        return self._kept.path

    def __repr__(self) -> str:
        return f"{self.title} ({self.slug})\n{self.task(mark=False)}\n{say_ways()}"

    def _repr_mimebundle_(self, **_options: object) -> dict[str, object]:
        return _shown_as(self)


def _as_text(exercise: Exercise) -> dict[str, object]:
    return {"text/plain": repr(exercise)}


_shown_as: Callable[[Exercise], dict[str, object]] = _as_text


def show_as(bundle: Callable[[Exercise], dict[str, object]]) -> None:
    """Let exercises show themselves so; the panel, which knows them, asks for it.

    Args:
        bundle: returns the representations of an exercise, by MIME type.
    """
    global _shown_as  # noqa: PLW0603
    _shown_as = bundle


def say_ways() -> str:
    """Return what can be called, in a sentence."""
    text = _(
        "{start} makes what it starts from, {check} looks at your work, {hint} gives the next step, {solution} shows a "
        "way, {reset} removes everything."
    )
    names = ("start", "check", "hint", "solution", "reset")
    return text.format(**{name: f"ex.{name}()" for name in names})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
