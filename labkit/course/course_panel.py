"""`CoursePanel`: where the student stands, notebook by notebook, and the way on.

Knows: the overview, the student's copies. Must not know: how either is read or written.
"""

from __future__ import annotations

from pathlib import Path

from labkit.course.copies import WorkingCopies
from labkit.course.following import follow
from labkit.course.overview import NotebookStand, Overview, describe_stand, read_overview
from labkit.course.progress import CourseProgress
from labkit.course.results import describe_place, describe_result
from labkit.errors import LabError
from labkit.lab import Lab
from labkit.language import _
from labkit.widgets import parts
from labkit.widgets.acting import Values
from labkit.widgets.panel import Panel, lab_of
from labkit.widgets.parts import Button
from labkit.widgets.tree import Node, tag


class CoursePanel(Panel):
    """The course and how far the student is.

    Args:
        lab: where machines of exercises are looked for; None: the lab `default`.
    """

    def __init__(
        self,
        lab: Lab | None = None,
        *,
        copies: WorkingCopies | None = None,
        progress: CourseProgress | None = None,
    ) -> None:
        super().__init__()
        self._lab = Lab.open() if lab is None else lab_of(lab)
        self._copies, self._progress = copies or WorkingCopies(), progress or CourseProgress()
        self._overview: Overview | None = None
        self._told, self._about = "", ""
        self._asked = ""
        self._has_report = False
        self._follows = False
        for action, handler in (
            ("again", lambda _values: self._tell("")),
            ("ask-reset", self._ask_reset),
            ("reset", self._reset),
            ("keep-mine", self._keep_mine),
            ("take-new", self._take_new),
            ("both", self._both),
            ("report", lambda _values: self._report()),
        ):
            self.on(action, handler)

    def title(self) -> str:
        """Return what the panel is called."""
        return _("The course")

    def line(self) -> str:
        """Return what the panel is about."""
        return _("how far you are in the course")

    def refresh(self) -> None:
        """Read again how far the student is."""
        self._overview = read_overview(self._lab, copies=self._copies, progress=self._progress)

    def displayed(self) -> None:
        """Follow what is answered, begun and done, in whatever kernel."""
        if not self._follows:
            self._follows = True
            follow(self, self._files)

    def follow_change(self) -> None:
        """Read again how far the student is, and show it."""
        try:
            self.refresh()
        except LabError as error:
            self.acting.fail(error)
        self.redraw()

    def _files(self) -> list[Path]:
        kept = self._progress.path.parent / "exercises"
        folders = (self._lab.home / "disks", self._copies.work, *sorted(self._copies.work.glob("*")))
        return [self._progress.path, *folders, *sorted(kept.glob("*/*"))]

    def body(self, *, live: bool) -> Node:
        """Return the notebooks and the figures; see `Panel.body`."""
        head = tag("div", tag("h3", self.title()), class_="labkit-head")
        if not live or self._overview is None:
            return tag("div", head, tag("p", _("Run this cell: it shows how far you are.")))
        overview = self._overview
        return tag(
            "div",
            head,
            self._way_on(overview),
            *[self._notebook(each, is_next=each is overview.next_notebook) for each in overview.notebooks],
            parts.fold(_("What I measured"), _figures(overview), key="figures") if overview.results else None,
            parts.render_buttons(
                [Button(label=_("Look again"), action="again"), Button(label=_("Write a report"), action="report")],
                label="course",
            ),
            self._say(""),
        )

    def _say(self, name: str) -> Node | None:
        """Return what was told about a notebook, or (without a name) about the course, at its place."""
        if not self._told or self._about != name:
            return None
        return tag(
            "div",
            tag("p", self._told, class_="labkit-result"),
            _opener("report.html", _("Open the report"), "plain") if self._has_report and not name else None,
            role="status",
            tabindex=-1,
            data_appear=True,
            key=f"told {self._told}",
        )

    def _way_on(self, overview: Overview) -> Node:
        notebook = overview.next_notebook
        if notebook is None:
            return tag("p", _("Every prediction of the course is answered."))
        if not (notebook.answered and notebook.next_section):  # its first cells are needed by all that follows
            return _opener(_file(notebook), _("Begin: {title}").format(title=notebook.title), "main")
        place = f"{notebook.title} · {notebook.next_section}"
        return _opener(_file(notebook), _("Go on: {title}").format(title=place), "main", section=notebook.next_section)

    def _notebook(self, notebook: NotebookStand, *, is_next: bool) -> Node:
        sections = [
            tag("li", f"{'○' if section.is_open else '●'} {section.title}", key=section.title)
            for section in notebook.sections
        ]
        exercises = [tag("li", f"{each.words} · {each.title}", key=each.slug) for each in notebook.exercises]
        return parts.fold(
            f"{notebook.name.partition('/')[2][:2]} · {notebook.title} — {describe_stand(notebook)}",
            self._offer(notebook) if notebook.is_offered else None,
            self._say(notebook.name),
            _opener(_file(notebook), _("Open"), "plain"),
            tag("h4", _("Predictions")) if sections else None,
            tag("ul", *sections, class_="labkit-checks"),
            tag("h4", _("Exercises")) if exercises else None,
            tag("ul", *exercises, class_="labkit-checks"),
            self._reset_parts(notebook),
            is_open=is_next or notebook.is_offered or self._about == notebook.name,
            key=notebook.name,
        )

    def _offer(self, notebook: NotebookStand) -> Node:
        buttons = [
            Button(label=_("Keep mine"), action="keep-mine", subject=notebook.name),
            Button(label=_("Take the new one"), action="take-new", subject=notebook.name),
            Button(label=_("Both"), action="both", subject=notebook.name),
        ]
        return tag(
            "div",
            tag("p", _("There is a newer version of this notebook. Yours is never written over.")),
            parts.render_buttons(buttons, label=f"offer-{notebook.name}"),
            class_="labkit-note",
            key="offer",
        )

    def _reset_parts(self, notebook: NotebookStand) -> Node:
        button = Button(label=_("Reset this notebook…"), action="ask-reset", subject=notebook.name)
        ask = parts.render_buttons([button], label=f"reset-{notebook.name}")
        if self._asked != notebook.name:
            return tag("div", ask, key="reset")
        sure = _(
            "You get a new copy, and its predictions are forgotten. Yours stays, in the folder earlier. If it is open "
            "in a tab, save it and close the tab first."
        )
        buttons = [
            Button(label=_("Reset it"), action="reset", kind="danger", subject=notebook.name),
            Button(label=_("Leave it"), action="again"),
        ]
        question = tag(
            "div",
            tag("p", sure),
            parts.render_buttons(buttons, label="sure"),
            class_="labkit-plan",
            role="group",
            aria_label=_("Reset this notebook…"),
            tabindex=-1,
            data_appear=True,
            key="sure",
        )
        return tag("div", ask, question, key="reset")

    def _tell(self, sentence: str, about: str = "") -> None:
        self._told, self._about, self._asked, self._has_report = sentence, about, "", False
        self.refresh()

    def _ask_reset(self, values: Values) -> None:
        self._asked = values.get("subject", "")

    def _reset(self, values: Values) -> None:
        name = values["subject"]
        aside = self._copies.reset(name)
        self._progress.forget(*self._copies.original(name).named("predict"))
        self._tell(_("{name} is new; the one before it is {place}.").format(name=name, place=self._place(aside)), name)

    def _keep_mine(self, values: Values) -> None:
        self._copies.keep_mine(values["subject"])
        self._tell(_("{name} stays as you have it.").format(name=values["subject"]), values["subject"])

    def _take_new(self, values: Values) -> None:
        self._say_new(values["subject"], self._copies.take_new(values["subject"]))

    def _both(self, values: Values) -> None:
        self._say_new(values["subject"], self._copies.keep_both(values["subject"]))

    def _say_new(self, name: str, mine: Path) -> None:
        self._tell(_("{name} is the new version; yours is {place}.").format(name=name, place=self._place(mine)), name)

    def _place(self, path: Path) -> Path:
        return path.relative_to(self._copies.work)

    def _report(self) -> None:
        self.refresh()
        if self._overview is not None:
            path = write_report(self._overview, self._copies)
            self._tell(
                _("The report is {name}, in the folder {folder}: open it, keep it or hand it in.").format(
                    name=path.name, folder=path.parent
                )
            )
            self._has_report = True


def write_report(overview: Overview, copies: WorkingCopies) -> Path:
    """Write the student's report beside the copies, and return where it is."""
    return copies.write_beside("report.html", overview.report)


def _file(notebook: NotebookStand) -> str:
    return f"{notebook.name}.ipynb"


def _opener(file: str, label: str, kind: str, *, section: str | None = None) -> Node:
    """Return a button that opens a file of the student's folder where our extension of JupyterLab hears it."""
    return tag(
        "p",
        tag(
            "button",
            label,
            type="button",
            class_=f"labkit-button labkit-{kind}",
            data_open=file,
            data_section=section,
        ),
        key=f"open-{kind}",
    )


def _figures(overview: Overview) -> Node:
    rows: list[Node] = []
    for kept in overview.results:
        title, value = describe_result(kept)
        here = overview.is_here(kept)
        rows.append(
            tag(
                "tr",
                tag("th", title, scope="row"),
                tag(
                    "td",
                    value if here else f"{value} — {describe_place(kept, overview.here)}",
                    class_=None if here else "labkit-quiet",
                ),
                tag("td", kept.at[:10], class_="labkit-quiet"),
            )
        )
    return tag("table", tag("tbody", *rows), class_="labkit-table")
