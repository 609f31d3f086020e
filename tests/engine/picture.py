"""A picture of a lab as a whole, to see that nothing was lost and nothing is left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from labkit import Lab
from labkit.hypervisor.process import find_pids
from labkit.model.machine import MachineSpec, MachineState
from tests.hashes import hash_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """All that a lab is: machines with their definitions and states, files with their contents, processes."""

    machines: tuple[tuple[MachineSpec, MachineState], ...]
    files: tuple[tuple[str, str], ...]
    processes: int


def take_picture(lab: Lab) -> Picture:
    """Look at a lab from outside: the hypervisor's definitions, the folders, the process table."""
    machines = tuple((facts.spec, facts.state) for facts in lab.state.machines.values())
    return Picture(
        machines=machines,
        files=tuple((str(path.relative_to(lab.home)), hash_file(path)) for path in _files(lab.home)),
        processes=len(find_pids(str(lab.home))),
    )


def without_identity(picture: Picture) -> Picture:
    """The picture without the ids that are drawn again for each machine."""
    machines = tuple((replace(spec, id="", genid=None), state) for spec, state in picture.machines)
    return replace(picture, machines=machines)


def _files(home: Path) -> list[Path]:
    """Files that matter: not the locks, not the seals, whose hashes follow later, nor what a guest says.

    Nor the record, which tells of definitions what the machines of a picture do, with ids that are drawn again.
    """
    return sorted(
        path
        for path in home.rglob("*")
        if path.is_file()
        and path.name != "lock"
        and path.stem not in ("seals", "record")
        and path.parent.name not in ("locks", "consoles")
    )
