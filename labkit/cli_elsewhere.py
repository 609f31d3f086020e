"""`labkit lab …` for a lab that came from elsewhere, or that another computer works on.

Knows: the engine's journal and lease. Must not know: how an act is ended.
"""

from __future__ import annotations

import argparse

from labkit.language import _
from labkit.printing import tell


def add_take_over(take_over: argparse.ArgumentParser) -> None:
    """Give a parser the arguments of `labkit lab take-over NAME`."""
    take_over.add_argument("name", metavar=_("name"), help=_("the lab's name"))
    take_over.add_argument("--home", metavar=_("FOLDER"), help=_("the folder that holds the lab"))
    take_over.set_defaults(run=lambda arguments: run_take_over(arguments.name, home=arguments.home))


def add_journal_option(restore: argparse.ArgumentParser) -> None:
    """Add the option of `labkit lab restore` for acts in the journal that are not ours; see `run_journal`."""
    restore.add_argument(
        "--journal",
        choices=("show", "end", "drop"),
        nargs="?",
        const="show",
        help=_("acts in its journal that this computer did not write: show, end or drop them"),
    )


def run_journal(name: str, what: str, *, home: str | None = None) -> int:
    """Show, end or drop the acts in a lab's journal that are not ours; returns the exit code."""
    from labkit.engine.foreign_acts import drop_foreign_act, end_foreign_act, find_foreign_acts
    from labkit.engine.workspace import check_lab
    from labkit.lab import Lab

    with Lab.open(check_lab(name, home), home=home) as lab:
        acts = find_foreign_acts(lab.session.executor)
        if not acts:
            tell(_("Every act in the journal of {lab} is of this computer.").format(lab=name))
        for act in acts:
            tell(act.text)
            if what == "drop":
                drop_foreign_act(act, lab.session.executor)
                tell(_("It is dropped; files that it had begun stay as they are."))
            elif what == "end" and not act.why_not:
                tell("\n".join(end_foreign_act(act, lab.session.executor)))
        if acts and what == "show":
            tell(_("End them with --journal end, or drop them with --journal drop: then nothing of them is done."))
    return 0


def run_take_over(name: str, *, home: str | None = None) -> int:
    """Take over a lab that is another computer's, even if guests of that computer are listed; returns the exit code."""
    from labkit.engine.lease import DEAD_AFTER, lease_of
    from labkit.engine.workspace import check_lab, open_workspace

    lease = lease_of(open_workspace(check_lab(name, home), home).locks)
    if lease.is_available():
        tell(_("The lab {name} is this computer's.").format(name=name))
        return 0
    tell(_("Waiting up to {seconds:.0f} s for signs of another computer …").format(seconds=DEAD_AFTER))
    guests = lease.take_over()
    tell(_("The lab {name} is this computer's now.").format(name=name))
    if guests:
        tell(
            _(
                "Guests were listed there: {names}. Whether they run labkit cannot see from here. Where one does, its "
                "disk is written by both, and lost: make sure of it before you start it here."
            ).format(names=", ".join(guests))
        )
    return 0
