"""The command `labkit`: what a terminal needs of the lab. `./lab` calls it inside the environment.

Knows: the façade and the doctor. Must not know: how anything is done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from labkit.errors import BadInput, LabError
from labkit.language import _


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 trouble, 2 not understood."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="labkit", description=_("A laboratory of real virtual machines."))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    doctor = commands.add_parser("doctor", help=_("is anything in the way of the lab?"))
    doctor.add_argument("--json", action="store_true", help=_("as JSON"))
    doctor.set_defaults(run=_doctor)

    show = commands.add_parser("list", help=_("the machines of a lab, or of all labs"))
    show.add_argument("--lab", default=None, help=_("the lab's name"))
    show.set_defaults(run=_list)

    console = commands.add_parser("console", help=_("the serial console of a running machine; Ctrl-] leaves it"))
    console.add_argument("machine")
    console.add_argument("--lab", default="default", help=_("the lab's name"))
    console.set_defaults(run=_console)

    clean = commands.add_parser("clean", help=_("remove every machine and file of a lab"))
    clean.add_argument("--lab", default="default", help=_("the lab's name"))
    clean.add_argument("--all", action="store_true", help=_("of all labs"))
    clean.set_defaults(run=_clean)

    save = commands.add_parser("save-running", help=_("save every running machine of all labs"))
    save.set_defaults(run=_save_running)
    return parser


def _doctor(arguments: argparse.Namespace) -> int:
    from labkit.doctor import run_doctor

    return run_doctor(json=arguments.json)


def _list(arguments: argparse.Namespace) -> int:
    from labkit.lab import Lab

    for name in _labs(arguments.lab):
        with Lab.open(name) as lab:
            for machine in lab.state.machines.values():
                print(f"{machine.spec.domain_name}\t{machine.state}")
    return 0


def _console(arguments: argparse.Namespace) -> int:
    from labkit.engine.terminal import run_terminal
    from labkit.lab import Lab

    with Lab.open(arguments.lab) as lab:
        domain = lab.machines[arguments.machine].facts.spec.domain_name
    return run_terminal(domain)


def _clean(arguments: argparse.Namespace) -> int:
    from labkit.engine.workspace import forget_lab
    from labkit.lab import Lab

    for name in _labs(None) if arguments.all else [arguments.lab]:
        with Lab.open(name) as lab:
            lab.clean()
        forget_lab(name)
        print(_("The lab {name} is clean.").format(name=name))
    return 0


def _save_running(_arguments: argparse.Namespace) -> int:
    from labkit.lab import Lab

    for name in _labs(None):
        with Lab.open(name) as lab:
            for machine in lab.save_running():
                print(_("{name} is saved.").format(name=machine))
    return 0


def _labs(name: str | None) -> list[str]:
    from labkit.engine.workspace import list_labs

    return [name] if name else list_labs()


if __name__ == "__main__":
    sys.exit(main())
