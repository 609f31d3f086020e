"""The command `labkit lab`: where the folders of labs are, and what to do with one that was moved, copied or restored.

Knows: the engine's labs. Must not know: how anything is done.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cli_elsewhere import add_journal_option, add_take_over, run_journal
from labkit.errors import HostTrouble, NotFound
from labkit.language import _
from labkit.printing import tell
from labkit.units import check_name

if TYPE_CHECKING:
    from labkit.hypervisor.connection import Connection


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands to its parser."""
    verbs = parser.add_subparsers(required=True, metavar=_("VERB"))
    show = verbs.add_parser("list", help=_("the labs there are, where, and how they stand"))
    show.add_argument("--home", metavar=_("FOLDER"), help=_("the folder that holds the labs"))
    show.set_defaults(run=_list)
    for verb, run, words in (
        ("move", _move, _("the lab's folder was moved here: it goes on here")),
        ("copy", _copy, _("the folder is a copy of a lab: it becomes a lab of its own")),
        ("forget", _forget, _("libvirt lets go of the lab's machines; its folder stays whole")),
        ("restore", _restore, _("lab.json is lost, or an older folder was brought back: take what the folder tells")),
    ):
        command = verbs.add_parser(verb, help=words)
        command.add_argument("name", metavar=_("name"), help=_("the lab's name: that of its folder"))
        command.add_argument("--home", metavar=_("FOLDER"), help=_("the folder that holds the lab"))
        command.add_argument("--uri", metavar="URI", help=_("the hypervisor it runs on"))
        if verb == "copy":
            command.add_argument(
                "--keep-identity", action="store_true", help=_("its guests stay twins of the originals")
            )
        if verb == "restore":
            add_journal_option(command)
        command.set_defaults(run=run)
    add_take_over(verbs.add_parser("take-over", help=_("it is another computer's: from now on it is this one's")))


def _list(arguments: argparse.Namespace) -> int:
    from labkit.engine.folders import labs_folder
    from labkit.engine.place import Standing, find_standing, is_let_go, read_place
    from labkit.engine.workspace import list_labs

    words = {
        Standing.SAME: "",
        Standing.REACHED_ANEW: "",
        Standing.MOVED: _("moved here, and not asked yet"),
        Standing.COPIED: _("a copy, and not asked yet"),
    }
    homes = labs_folder(arguments.home)
    for folder in sorted({homes / name for name in list_labs(homes)} | {path.parent for path in homes.glob("*/disks")}):
        if not os.access(folder, os.R_OK | os.X_OK):
            tell("\t".join((folder.name, str(folder), _("this user has no right to look into it"))))
            continue
        try:
            place = read_place(folder)
            stands = [_("let go")] if is_let_go(folder) else []
            stands.append(words[find_standing(folder, place)])
        except (FileNotFoundError, HostTrouble):
            stands = [_("has lost its identity")]
        tell("\t".join(filter(None, (folder.name, str(folder), "; ".join(filter(None, stands))))))
        for machine in _find_memories_elsewhere(folder):
            told = _("{machine} is saved; its memory is on another file system, and not in this folder")
            tell("\t".join(("", told.format(machine=machine))))
    return 0


def _find_memories_elsewhere(folder: Path) -> list[str]:
    """The names of a lab's saved machines whose memory is not in its folder."""
    from labkit.engine.record_file import read_record

    try:
        record = read_record(folder)
    except HostTrouble:
        return []
    machines = record.machines if record else ()
    return [machine.name for machine in machines if machine.saved and not machine.saved.in_folder]


def _move(arguments: argparse.Namespace) -> int:
    from labkit.engine.relocation import move_lab

    return _do(arguments, move_lab)


def _copy(arguments: argparse.Namespace) -> int:
    from labkit.engine.relocation import copy_lab

    return _do(arguments, lambda home, raw: copy_lab(home, raw, keep_identity=arguments.keep_identity))


def _forget(arguments: argparse.Namespace) -> int:
    from labkit.engine.relocation import let_go

    return _do(arguments, let_go)


def _restore(arguments: argparse.Namespace) -> int:
    from labkit.engine.restoration import restore_lab

    if arguments.journal:
        return run_journal(arguments.name, arguments.journal, home=arguments.home)
    return _do(arguments, restore_lab)


def _do(arguments: argparse.Namespace, verb: Callable[[Path, Connection], list[str]]) -> int:
    from labkit.engine.folders import labs_folder
    from labkit.engine.workspace import has_disks
    from labkit.hypervisor.connection import DEFAULT_URI, connect

    home = labs_folder(arguments.home) / check_name(arguments.name, what=_("lab"))
    if not has_disks(home):
        raise NotFound(_("There is no lab {name}.").format(name=arguments.name), _("labkit lab list shows which are."))
    connection = connect(arguments.uri or DEFAULT_URI)
    try:
        for sentence in _settled(home, connection, verb, arguments.uri):
            tell(sentence)
    except FileNotFoundError as error:
        raise HostTrouble(
            _("{home} has lost its identity.").format(home=home),
            _("Type labkit lab restore {name} first.").format(name=home.name),
        ) from error
    finally:
        connection.release()
    return 0


def _settled(
    home: Path, connection: Connection, verb: Callable[[Path, Connection], list[str]], uri: str | None
) -> list[str]:
    """Do it; if it must first be known whether the lab was moved or copied, ask."""
    from labkit.engine.asking import settle
    from labkit.engine.place import Relocated

    try:
        return verb(home, connection)
    except Relocated as relocated:
        return [*settle(relocated, uri), *verb(home, connection)]
