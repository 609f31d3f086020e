"""How far a student is: what each notebook asks, what is answered and done, what was measured.

A value, read from the notebooks as the course has them, the progress file and the lab; shown as text, by the panel
(`course_panel.py`), and as a page that can be read without a kernel.

Knows: notebooks as files, progress, exercises by name. Must not know: panels, the insides of exercises.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from labkit.course.catalogue import exercise
from labkit.course.copies import WorkingCopies
from labkit.course.exercise import Exercise
from labkit.course.progress import CourseProgress, KeptFigure
from labkit.course.result import Stand
from labkit.course.results import describe_place, describe_result, this_place
from labkit.course.text import read_texts, say
from labkit.lab import Lab
from labkit.language import _, language, ngettext
from labkit.widgets.tree import Node, tag, to_html


@dataclass(frozen=True, slots=True, kw_only=True)
class ExerciseStand:
    """An exercise of a notebook: its slug, its title, how it stands, how many hints were taken."""

    slug: str
    title: str
    stand: Stand
    hints: int = 0

    @property
    def words(self) -> str:
        """How it stands, in words."""
        if not self.hints:
            return self.stand.word
        hints = ngettext("{count} hint", "{count} hints", self.hints).format(count=self.hints)
        return f"{self.stand.word}, {hints}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionStand:
    """A section that asks something.

    Attributes:
        title: its heading. asked: slugs of its predictions. answered: those answered before the machine did.
        late: those answered after it; they do not count, and cannot be answered any more.
    """

    title: str
    asked: tuple[str, ...]
    answered: tuple[str, ...]
    late: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether something in it can still be answered."""
        return len(self.answered) + len(self.late) < len(self.asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookStand:
    """A notebook of the course.

    Attributes:
        name: such as `en/03-disks`. title: its own. sections: in order, those that ask something.
        exercises: in order. is_offered: whether a newer version lies beside the copy.
    """

    name: str
    title: str
    sections: tuple[SectionStand, ...]
    exercises: tuple[ExerciseStand, ...]
    is_offered: bool = False

    @property
    def asked(self) -> int:
        """How many predictions it asks for."""
        return sum(len(section.asked) for section in self.sections)

    @property
    def answered(self) -> int:
        """How many are answered."""
        return sum(len(section.answered) for section in self.sections)

    def count(self, stand: Stand) -> int:
        """Return how many of its exercises stand so."""
        return sum(each.stand is stand for each in self.exercises)

    @property
    def next_section(self) -> str | None:
        """The heading of the first section in which something is not answered, or None."""
        return next((section.title for section in self.sections if section.is_open), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """How far a student is.

    Attributes:
        notebooks: of one edition, in order. results: the figures that were kept, the oldest first.
        here: the computer and the accelerator that figures of today belong to.
    """

    notebooks: tuple[NotebookStand, ...]
    results: tuple[KeptFigure, ...]
    here: tuple[str, str]

    @property
    def next_notebook(self) -> NotebookStand | None:
        """Where to go on: the last notebook in which something is answered and something is not, else the next one."""
        fresh = [each for each in self.notebooks if each.next_section]
        begun = [each for each in fresh if each.answered]
        return begun[-1] if begun else fresh[0] if fresh else None

    @property
    def text(self) -> str:
        """It as lines of text."""
        lines = [f"{_number(each)} {each.title}: {describe_stand(each)}" for each in self.notebooks]
        for kept in self.results:
            title, value = describe_result(kept)
            lines.append(
                f"   {title}: {value}" + ("" if self.is_here(kept) else f" ({describe_place(kept, self.here)})")
            )
        return "\n".join(lines)

    def is_here(self, kept: KeptFigure) -> bool:
        """Whether a figure is of this computer and this accelerator."""
        return kept.is_of(*self.here)

    @property
    def report(self) -> str:
        """It as an HTML page of its own, which needs nothing else."""
        title = _("My course on virtualization")
        body = to_html(tag("div", tag("h1", title), *[_report_of(each) for each in self.notebooks], _figures(self)))
        return (
            f'<!DOCTYPE html>\n<html lang="{language()}"><meta charset="utf-8"><title>{escape(title)}</title>'
            f"<style>{_STYLE}</style>\n{body}\n</html>\n"
        )


_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:46em;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "h2{margin:1.6em 0 .2em}td,th{padding:.15em 1em .15em 0;text-align:left;vertical-align:top}"
    "td:last-child{white-space:nowrap}.elsewhere{color:#767676}"
)


def read_overview(
    lab: Lab | None = None, *, copies: WorkingCopies | None = None, progress: CourseProgress | None = None
) -> Overview:
    """Return how far the student is, in the edition of the language in force, else in English.

    Args:
        lab: where machines of exercises are looked for; None: the lab `default`.

    Raises:
        HostTrouble: there are no notebooks, or one cannot be read.
    """
    lab, copies, progress = lab or Lab.open(), copies or WorkingCopies(), progress or CourseProgress()
    names = [name for name in copies.names() if name.partition("/")[2][:1].isdigit()]
    edition = [name for name in names if name.startswith(f"{language()}/")]
    edition = edition or [name for name in names if name.startswith("en/")]
    offers, there = copies.offers(), {*lab.machines, *lab.disks}
    return Overview(
        notebooks=tuple(_read_stand(name, lab, copies, progress, there, name in offers) for name in edition),
        results=tuple(progress.results()),
        here=this_place(lab),
    )


def _read_stand(
    name: str, lab: Lab, copies: WorkingCopies, progress: CourseProgress, there: set[str], is_offered: bool
) -> NotebookStand:
    notebook = copies.original(name)
    sections = [
        SectionStand(
            title=title,
            asked=tuple(asked),
            answered=tuple(slug for slug in asked if _counts(progress, slug)),
            late=tuple(slug for slug in asked if progress.is_late(slug)),
        )
        for title, asked in notebook.sections("predict")
        if asked
    ]
    exercises = [type(exercise(slug))(lab, progress=progress) for slug in notebook.named("exercise")]
    return NotebookStand(
        name=name,
        title=notebook.title,
        sections=tuple(sections),
        exercises=tuple(_read_exercise(each, there) for each in exercises),
        is_offered=is_offered,
    )


def _counts(progress: CourseProgress, slug: str) -> bool:
    return progress.answer(slug) is not None and not progress.is_late(slug)


def _read_exercise(exercise: Exercise, there: set[str]) -> ExerciseStand:
    return ExerciseStand(
        slug=exercise.slug, title=exercise.title, stand=exercise.stand(there), hints=exercise.hints_taken
    )


def describe_stand(notebook: NotebookStand) -> str:
    """Return how a notebook stands, in a sentence."""
    predictions = ngettext(
        "{answered} of {asked} prediction", "{answered} of {asked} predictions", notebook.asked
    ).format(answered=notebook.answered, asked=notebook.asked)
    count = len(notebook.exercises)
    exercises = ngettext("{done} of {count} exercise done", "{done} of {count} exercises done", count).format(
        done=notebook.count(Stand.DONE), count=count
    )
    if begun := notebook.count(Stand.BEGUN):
        exercises += ", " + _("{count} begun").format(count=begun)
    return f"{predictions}, {exercises}"


def _number(notebook: NotebookStand) -> str:
    return notebook.name.partition("/")[2][:2]


def _report_of(notebook: NotebookStand) -> Node:
    rows = [
        tag("tr", tag("td", say(read_texts("predictions")[slug]["question"])), tag("td", "✓" if given else "○"))
        for section in notebook.sections
        for slug, given in ((slug, slug in section.answered) for slug in section.asked)
        if slug in read_texts("predictions")
    ]
    rows += [tag("tr", tag("td", each.title), tag("td", each.words)) for each in notebook.exercises]
    return tag(
        "div",
        tag("h2", f"{_number(notebook)} · {notebook.title}"),
        tag("p", describe_stand(notebook)),
        tag("table", tag("tbody", *rows)),
    )


def _figures(overview: Overview) -> Node:
    rows = [
        tag(
            "tr",
            tag("td", title),
            tag("td", value if overview.is_here(kept) else f"{value} — {describe_place(kept, overview.here)}"),
            tag("td", kept.at[:10]),
            class_=None if overview.is_here(kept) else "elsewhere",
        )
        for kept in overview.results
        for title, value in [describe_result(kept)]
    ]
    return tag("div", tag("h2", _("What I measured")), tag("table", tag("tbody", *rows)) if rows else tag("p", "–"))
