"""argparse's own words, such as "usage" and what is wrong with a line, in the language in force.

argparse has no catalogue of its own. It asks two functions of its module, which it takes from gettext; here these are
ours, so that its words are translated with all others.

Knows: argparse. Must not know: what our commands are.
"""

from __future__ import annotations

import argparse

from labkit.language import _, ngettext


def speak() -> None:
    """Let every parser of this process speak the language in force."""
    vars(argparse).update({"_": _, "ngettext": ngettext})


def list_words() -> list[str]:
    """Return what argparse says to those who type a command, for whoever gathers the messages."""
    return [
        _("usage: "),
        _("positional arguments"),
        _("options"),
        _("show this help message and exit"),
        _("%(prog)s: error: %(message)s\n"),
        _("argument %(argument_name)s: %(message)s"),
        _("the following arguments are required: %s"),
        _("one of the arguments %s is required"),
        _("unrecognized arguments: %s"),
        _("ambiguous option: %(option)s could match %(matches)s"),
        _("invalid choice: %(value)r (choose from %(choices)s)"),
        _("unknown parser %(parser_name)r (choices: %(choices)s)"),
        _("invalid %(type)s value: %(value)r"),
        _("not allowed with argument %s"),
        _("ignored explicit argument %r"),
        _("unexpected option string: %s"),
        _("expected one argument"),
        _("expected at most one argument"),
        _("expected at least one argument"),
        ngettext("expected %s argument", "expected %s arguments", 1),
        # newer Pythons say these, too
        _("invalid choice: %(value)r, maybe you meant %(closest)r? (choose from %(choices)s)"),
        _("option '%(option)s' is deprecated"),
        _("command '%(parser_name)s' is deprecated"),
        _("argument '%(argument_name)s' is deprecated"),
    ]
