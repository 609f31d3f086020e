"""The command `labkit course`: the student's copies of the notebooks, and how far the student is.

Knows: the course. Must not know: how anything is done.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from labkit.language import _
from labkit.printing import tell


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give the command its verbs."""
    verbs = parser.add_subparsers(required=True, metavar=_("VERB"))
    update = verbs.add_parser("update", help=_("make copies that are missing; offer newer versions beside yours"))
    update.add_argument(
        "notebook", nargs="?", metavar=_("notebook"), help=_("the one to decide about, such as 03 or en/03-disks")
    )
    choices = update.add_mutually_exclusive_group()
    choices.add_argument("--keep-mine", dest="act", action="store_const", const="keep_mine", help=_("go on with yours"))
    choices.add_argument(
        "--take-new", dest="act", action="store_const", const="take_new", help=_("yours goes into the folder earlier")
    )
    choices.add_argument("--both", dest="act", action="store_const", const="keep_both", help=_("yours stays beside it"))
    update.add_argument("--originals", type=Path, help=argparse.SUPPRESS)  # `./lab up` alone gives these
    update.add_argument("--edited", type=Path, help=argparse.SUPPRESS)
    update.set_defaults(run=_update)
    progress = verbs.add_parser("progress", help=_("what you have answered, done and measured"))
    progress.add_argument("--report", action="store_true", help=_("write it as a page to keep or hand in"))
    progress.set_defaults(run=_progress)
    reset = verbs.add_parser("reset", help=_("begin a notebook again: a new copy, its predictions forgotten"))
    reset.add_argument("notebook", metavar=_("notebook"), help=_("such as 03 or en/03-disks"))
    reset.set_defaults(run=_reset)


def _update(arguments: argparse.Namespace) -> int:
    from labkit.course.copies import WorkingCopies
    from labkit.errors import BadInput
    from labkit.language import language

    copies = WorkingCopies(arguments.originals)
    if bool(arguments.notebook) != bool(arguments.act):
        raise BadInput(
            _("A notebook and what to do with it belong together."),
            _("Type for example: ./lab run labkit course update 03 --take-new; or --keep-mine, or --both."),
        )
    if arguments.notebook:
        name = copies.find(arguments.notebook, language())
        left = getattr(copies, arguments.act)(name)
        tell(_("{name} is the new version; yours is {place}.").format(name=name, place=left.relative_to(copies.work))
             if left else _("{name} stays as you have it.").format(name=name))  # fmt: skip
        return 0
    news = copies.update(arguments.edited)
    for each in news:
        tell(each.text)
    if not news and not copies.offers() and arguments.originals is None:  # somebody has asked
        tell(_("Nothing is newer: your copies are of the course as it is here."))
        tell(_("`git pull` in the folder of the course fetches a newer one."))
    if offers := copies.offers():
        tell(
            _("Choose for each: ./lab run labkit course update {number} --keep-mine, --take-new or --both.").format(
                number=offers[0].partition("/")[2][:2]
            )
        )
    return 0


def _reset(arguments: argparse.Namespace) -> int:
    from labkit.course.copies import WorkingCopies
    from labkit.course.progress import CourseProgress
    from labkit.language import language

    copies = WorkingCopies()
    name = copies.find(arguments.notebook, language())
    left = copies.reset(name)
    CourseProgress().forget(*copies.original(name).named("predict"))
    tell(_("{name} is new; the one before it is {place}.").format(name=name, place=left.relative_to(copies.work)))
    tell(_("Its predictions are forgotten."))
    return 0


def _progress(arguments: argparse.Namespace) -> int:
    from labkit.course.copies import WorkingCopies
    from labkit.course.course_panel import write_report
    from labkit.course.overview import read_overview

    copies = WorkingCopies()
    overview = read_overview(copies=copies)
    tell(overview.text)
    if arguments.report:
        tell(_("The report is {place}: open it, keep it or hand it in.").format(place=write_report(overview, copies)))
    return 0
