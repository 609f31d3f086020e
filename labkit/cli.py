"""The command `labkit`: the lab as used from a terminal. `./lab` calls it inside the environment.

Knows: the façade, the doctor, the guest images. Must not know: how anything is done.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from labkit import cli_course, cli_lab, cli_words
from labkit.errors import BadInput, HostTrouble, LabError, NotFound
from labkit.language import _
from labkit.printing import tell
from labkit.units import format_size


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 trouble, 2 not understood."""
    cli_words.speak()
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
    commands = parser.add_subparsers(required=True, metavar=_("COMMAND"))

    doctor = commands.add_parser("doctor", help=_("is anything in the way of the lab?"))
    doctor.add_argument("--json", action="store_true", help=_("as JSON"))
    doctor.set_defaults(run=_doctor)

    show = commands.add_parser("list", help=_("the machines of a lab, or of all labs"))
    show.add_argument("--lab", metavar=_("NAME"), default=None, help=_("the lab's name"))
    show.set_defaults(run=_list)

    console = commands.add_parser("console", help=_("the serial console of a running machine; Ctrl-] leaves it"))
    console.add_argument("machine", metavar=_("machine"), help=_("its name or id"))
    console.add_argument("--lab", metavar=_("NAME"), default="default", help=_("the lab's name"))
    console.add_argument("--home", metavar=_("FOLDER"), help=_("the folder that holds the lab"))
    console.add_argument("--uri", metavar="URI", help=_("the hypervisor it runs on"))
    console.add_argument("--stay", action="store_true", help=_("until the machine ends: Ctrl-] goes to the guest"))
    console.set_defaults(run=_console)

    image = commands.add_parser("image", help=_("the guest images: list them, or check their files"))
    image.add_argument("what", choices=("list", "check"), nargs="?", default="list")
    image.set_defaults(run=_image)

    clean = commands.add_parser("clean", help=_("remove every machine and file of a lab"))
    clean.add_argument("--lab", metavar=_("NAME"), default="default", help=_("the lab's name"))
    clean.add_argument("--all", action="store_true", help=_("of all labs"))
    clean.set_defaults(run=_clean)

    cli_lab.add_commands(
        commands.add_parser("lab", help=_("the labs: where they are; moved, copied, let go, brought back"))
    )
    cli_course.add_commands(commands.add_parser("course", help=_("your copies of the notebooks, and your progress")))
    verify = commands.add_parser("verify", help=_("read every frozen image whole: is it what it was?"))
    verify.add_argument("--lab", metavar=_("NAME"), default=None, help=_("the lab's name; without it: all labs"))
    verify.set_defaults(run=_verify)

    orphans = commands.add_parser("orphans", help=_("the files of a lab that nobody needs, and why nobody does"))
    orphans.add_argument("--lab", metavar=_("NAME"), default="default", help=_("the lab's name"))
    orphans.add_argument("--adopt", metavar=_("FILE"), help=_("bring one back as a free disk"))
    orphans.add_argument("--adopt-as-snapshot", metavar=_("FILE"), help=_("let its machine have the snapshot again"))
    orphans.add_argument("--discard", metavar=_("FILE"), help=_("delete one for good"))
    orphans.set_defaults(run=_orphans)

    save = commands.add_parser("save-running", help=_("save every running machine of all labs"))
    save.set_defaults(run=_save_running)
    return parser


def _doctor(arguments: argparse.Namespace) -> int:
    from labkit.doctor import run_doctor

    return run_doctor(json=arguments.json)


def _list(arguments: argparse.Namespace) -> int:
    from labkit.lab import Lab
    from labkit.model.words import stand_word

    def show(name: str) -> None:
        with Lab.open(name) as lab:
            for machine in lab.state.machines.values():
                tell(f"{machine.spec.domain_name}\t{stand_word(machine)}")

    return _for_each([_existing(arguments.lab)] if arguments.lab else _labs(), show)


def _console(arguments: argparse.Namespace) -> int:
    from labkit.engine.handle import reach_machine
    from labkit.engine.terminal import run_terminal

    try:
        with reach_machine(arguments.lab, arguments.machine, home=arguments.home, uri=arguments.uri) as machine:
            run_terminal(machine, can_leave=not arguments.stay)
    except NotFound as error:
        if how := _say_as_the_hypervisor_does(arguments.machine):
            raise NotFound(error.message, how) from error
        raise
    return 0


def _say_as_the_hypervisor_does(domain: str) -> str:
    """Return what to type if the machine was given as LAB.MACHINE, the hypervisor's name for it; "" if it was not."""
    parts = domain.split(".")
    for number in range(1, len(parts)):
        lab, machine = ".".join(parts[:number]), ".".join(parts[number:])
        if lab in _labs():
            command = f"labkit console {shlex.quote(machine)} --lab {shlex.quote(lab)}"
            return _("{domain} is what the hypervisor calls {machine} of the lab {lab}. Type {command}.").format(
                domain=domain, machine=machine, lab=lab, command=command
            )
    return ""


def _image(arguments: argparse.Namespace) -> int:
    from labkit.engine.folders import data_folder
    from labkit.storage.guest_images import find_damaged, read_guest_images

    images = read_guest_images(data_folder() / "images")
    if not images:
        raise HostTrouble(_("There are no guest images."), _("Type ./lab setup, which builds them."))
    if arguments.what == "list":
        for image in images.values():
            tell(f"{image.name}\t{image.format}\t{format_size(image.capacity)}\t{format_size(image.disk_bytes)}")
        return 0
    damaged = {name: find_damaged(image) for name, image in images.items()}
    for name, files in damaged.items():
        if files:
            tell(_("{name} is damaged: {files}.").format(name=name, files=", ".join(files)))
            tell(_("Remove these files, then type ./lab setup: it builds the image again."))
        else:
            tell(_("{name} is as it was built.").format(name=name))
    return int(any(damaged.values()))


def _clean(arguments: argparse.Namespace) -> int:
    from labkit.engine import kept_guests
    from labkit.engine.workspace import forget_lab, list_labs
    from labkit.lab import Lab

    def clean(name: str) -> None:
        with Lab.open(name) as lab:
            lab.clean()
        if left := forget_lab(name):
            tell(
                _("The lab {name} is clean, but for what others need: {files}.").format(
                    name=name, files=", ".join(left)
                )
            )
        else:
            tell(_("The lab {name} is clean.").format(name=name))

    if not arguments.all:
        return _for_each([_existing(arguments.lab)], clean)
    if kept_guests.remove_all():
        tell(_("The guests that were kept booted are gone; the next ones are made when they are needed."))
    return _for_each(list_labs(), clean)


def _orphans(arguments: argparse.Namespace) -> int:
    from labkit.lab import Lab

    with Lab.open(_existing(arguments.lab)) as lab:
        if arguments.adopt:
            disk = lab.orphans[arguments.adopt].adopt()
            tell(_("{file} is the free disk {name} now.").format(file=arguments.adopt, name=disk.name))
        elif arguments.adopt_as_snapshot:
            orphan = lab.orphans[arguments.adopt_as_snapshot]
            name = orphan.facts.snapshot
            machine = orphan.adopt_as_snapshot()
            tell(_("{machine} has the snapshot {name} again.").format(machine=machine.name, name=name))
        elif arguments.discard:
            lab.orphans[arguments.discard].discard()
            tell(_("{file} is gone.").format(file=arguments.discard))
        else:
            tell(lab.orphans)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from labkit.lab import Lab

    right = True
    for name in [_existing(arguments.lab)] if arguments.lab else _labs():
        with Lab.open(name) as lab:
            verified = lab.verify()
            tell(f"{name}: {verified}")
            right = right and bool(verified)
    return int(not right)


def _save_running(_arguments: argparse.Namespace) -> int:
    from labkit.lab import Lab

    def save(name: str) -> None:
        with Lab.open(name) as lab:
            for machine in lab.save_running():
                tell(_("{name} is saved.").format(name=machine))

    return _for_each(_labs(), save)


def _for_each(names: Sequence[str], verb: Callable[[str], None]) -> int:
    """Do something with each lab; an error in one is printed and stops no other. With several, no question is asked."""
    from labkit.engine.asking import nobody_asked

    wrong = 0
    for name in names:
        try:
            with nullcontext() if len(names) == 1 else nobody_asked():
                verb(name)
        except LabError as error:
            print(error if name in error.message else f"{name}: {error}", file=sys.stderr)
            wrong = 1
    return wrong


def _labs() -> list[str]:
    """The labs, without those that libvirt was made to forget (`labkit lab forget`): those are opened only by name."""
    from labkit.engine.folders import labs_folder
    from labkit.engine.place import is_let_go
    from labkit.engine.workspace import list_labs

    return [name for name in list_labs() if not is_let_go(labs_folder() / name)]


def _existing(name: str) -> str:
    from labkit.engine.workspace import check_lab

    return check_lab(name)


if __name__ == "__main__":
    sys.exit(main())
