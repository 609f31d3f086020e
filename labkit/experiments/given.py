"""The arguments of experiments, checked before one begins, since it may take minutes and make and start things.

    @checked
    def measure_load(machine: Machine, *, seconds: float = 2) -> Load: ...

Knows: the kinds of arguments of experiments. Must not know: which experiments there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from labkit.arguments import Check, checked_by
from labkit.disk import Disk
from labkit.errors import BadInput, NotFound
from labkit.lab import Lab
from labkit.language import _
from labkit.machine import Machine
from labkit.units import Shown, check_count, check_text, check_word

P = ParamSpec("P")
R = TypeVar("R")

MOST_TIMES = 100_000
"""How often an experiment may do something at most: writes, rounds."""

_MOST_COMMAND = 128 * 1024


def check_machine(value: object, what: str) -> None:
    """Check that it is a machine of a lab.

    Raises:
        BadInput: it is something else.
    """
    _check_kind(
        value, Machine, what, _("{what}={value!r} is no machine."), _("Give one of a lab: lab.machines['web'].")
    )


def check_machines(value: object, what: str) -> list[Machine]:
    """Return the machines; there must be at least one.

    Raises:
        BadInput: it is something else.
    """
    if not isinstance(value, list | tuple) or not value:
        raise BadInput(
            _("{what}={value!r} are no machines.").format(what=what, value=Shown(value)),
            _("Give a list with one at least: [lab.machines['web']]."),
        )
    for each in value:
        check_machine(each, what)
    return list(value)


def check_times(value: Any, what: str) -> None:
    """Check that it is how often something is to be done.

    Raises:
        BadInput: it is not a whole number above zero, or so large that the experiment would never end.
    """
    if check_count(value, what=what) > MOST_TIMES:
        raise BadInput(
            _("{what}={value} is too often.").format(what=what, value=Shown(value)),
            _("At most {most} times.").format(most=MOST_TIMES),
        )


def check_command(command: object) -> str:
    """Return a line for a shell.

    Raises:
        BadInput: it is not text, or too long.
    """
    if isinstance(command, str) and 0 < len(command) <= _MOST_COMMAND and "\0" not in command:
        try:
            command.encode()
        except UnicodeEncodeError:
            pass
        else:
            return command
    raise BadInput(_("This is no command: {command}.").format(command=Shown(command)), _("Write it as in a shell."))


def find_target(machine: Machine, disk: Disk | str) -> str:
    """Return the target of one of a machine's disks.

    Raises:
        NotFound: the machine has no such disk.
    """
    name = disk if isinstance(disk, str) else disk.name
    spec = machine.facts.spec
    for each in spec.disks:
        if each.name == name:
            return each.target
    raise NotFound(
        _("{machine} has no disk {name!r}.").format(machine=spec.name, name=Shown(name)),
        _("It has: {names}.").format(names=", ".join(each.name for each in spec.disks) or _("none yet")),
    )


def _check_kind(value: object, kind: type, what: str, sentence: str, hint: str) -> None:
    if not isinstance(value, kind):
        raise BadInput(sentence.format(what=what, value=Shown(value)), hint)


def _check_lab(value: object, what: str) -> None:
    _check_kind(value, Lab, what, _("{what}={value!r} is no lab."), _("Give what Lab.open() returns."))


def _check_disk(value: object, what: str) -> None:
    if not isinstance(value, Disk):
        check_text(value, what=what)


def _check_targets(value: object, what: str) -> None:
    if not isinstance(value, list | tuple):
        raise BadInput(
            _("{what}={value!r} are no names of disks.").format(what=what, value=Shown(value)),
            _("Give a list of what the guest calls them: ['vdb', 'vdc']."),
        )
    for each in value:
        check_word(each, what=what)


def _check_durations(value: object, what: str) -> None:
    if not isinstance(value, list | tuple) or not all(type(each) in (int, float) for each in value):
        raise BadInput(
            _("{what}={value!r} are no durations.").format(what=what, value=Shown(value)),
            _("Give a list of numbers: [0.1, 0.2]."),
        )


_KINDS: Mapping[str, Check] = {
    "Machine": check_machine,
    "Lab": _check_lab,
    "Disk | str": _check_disk,
    "Sequence[str]": _check_targets,
    "int": check_times,
    "Sequence[float]": _check_durations,
}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Let an experiment be called only with arguments of the kinds that its signature names."""
    return checked_by(_KINDS)(function)
