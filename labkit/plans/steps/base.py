"""What all steps share: what each must say of itself, and how commands are written as a person would type them.

If a class leaves one of these out, mypy says so where it is written and where it is made.
Knows: the model. Must not know: which steps there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from labkit.model.disk import backing_name
from labkit.model.image import Allocation, Format
from labkit.model.machine import DiskSpec, MachineSpec
from labkit.model.state import LabState
from labkit.printing import quote


class Phase(StrEnum):
    """When a step runs, and what its failure means."""

    CREATE = "create"
    SWITCH = "switch"
    CLEAN_UP = "clean up"


class OnCancel(StrEnum):
    """What happens to a step under way when its act is cancelled."""

    GOES_ON = "goes on"
    """It is done to its end."""
    STOPS = "stops"
    """It stops halfway and counts as not done."""
    LEAVES_THE_REST = "leaves the rest"
    """It stops halfway and counts as done; a remark says what it has not done."""


class Outside(StrEnum):
    """Why a file that a step makes or removes lies outside the lab's folder."""

    EXPORT = "export"
    """An archive: it lies wherever its owner wants it."""
    BOOT_FILE = "boot file"
    """A file in the folder of guest images, which all labs share."""
    SERVED = "served"
    """The socket of a disk that is served."""
    ARRIVAL = "arrival"
    """The socket at which a guest's memory arrives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """The files that a step touches, absolute paths, and the bytes it moves.

    Attributes:
        creates: those it makes. rewrites: those whose content it changes or that it exchanges.
        deletes: those it removes. keeps: those of them whose content is in another file by then.
        moves: those it renames; the new name is in one of the other fields.
        hands_over: those that it lets the hypervisor write, or whose mode it changes: it does not write their content
            itself.
        elsewhere: those outside the lab's folder, with the reason.
        reads: those it reads without what is below them. stands_on: images that it reads with all images below, and
            their formats.
        copied, filled, freed: about how many bytes it copies, fills with zeros and gives back to the host.
    """

    creates: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    moves: tuple[str, ...] = ()
    hands_over: tuple[str, ...] = ()
    elsewhere: tuple[tuple[Outside, str], ...] = ()
    reads: tuple[str, ...] = ()
    stands_on: tuple[tuple[str, Format], ...] = ()
    copied: int = 0
    filled: int = 0
    freed: int = 0

    @property
    def confined(self) -> tuple[str, ...]:
        """The files that must lie in the lab's folder: all that are written, deleted or handed over."""
        away = {path for _place, path in self.elsewhere}
        paths = (*self.creates, *self.rewrites, *self.deletes, *self.moves, *self.hands_over)
        return tuple(path for path in paths if path not in away)


class BaseStep(ABC):
    """What each step says of itself; a plan, a drawing, a check is a sum over its steps.

    What it needs is in its fields; how it is carried out is in the module of the same name in `engine/steps/`.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def phase(self) -> Phase:
        """When it runs."""

    @property
    @abstractmethod
    def on_cancel(self) -> OnCancel:
        """What happens to it when its act is cancelled meanwhile."""

    @property
    @abstractmethod
    def command(self) -> str:
        """What a person would type; several lines where it takes several commands."""

    @property
    def papers(self) -> tuple[str, ...]:
        """The names of the files that its command reads and that do not exist yet: `Plan.write` writes them."""
        return ()

    @property
    @abstractmethod
    def word(self) -> str:
        """What is happening while it is carried out, in words, e.g. "copying an image"."""

    @property
    @abstractmethod
    def touches(self) -> Touched:
        """The files it touches, and how much it writes and frees."""

    @property
    def allocations(self) -> Mapping[str, Allocation | str]:
        """How each image that it makes is allocated: so, or as the image of another path; raw and qcow2 do not tell."""
        return {}

    @abstractmethod
    def after(self, state: LabState) -> LabState:
        """Return the lab as it is once the step is done; sizes are those that the plan expects."""


def line(*words: str) -> str:
    """Return a command line."""
    return " ".join(map(quote, words))


def lines(*each: str) -> str:
    """Return command lines one below the other, without empty ones."""
    return "\n".join(filter(None, each))


def definition_paper(domain: str) -> str:
    """Return the name of the file with a domain's definition."""
    return f"{domain}.xml"


def snapshot_paper(domain: str, snapshot: str) -> str:
    """Return the name of the file with what libvirt is told of a snapshot."""
    return f"{domain}@{snapshot}.xml"


def own_step(why: str) -> str:
    """Return a comment line for what no command can do; a shell ignores it.

    Args:
        why: one sentence that says what labkit does, and why nobody can type it.
    """
    return "# labkit: " + " ".join(why.split())


def below(path: str, backing: str, format: Format) -> tuple[str, Format]:
    """Return the image below another, by the name that is written in that one's header."""
    return backing_name(path, backing), format


def fill_lines(*paths: str) -> str:
    """Return the lines that let the host allocate every byte of some files; their content stays."""
    named = map(quote, paths)
    return lines(*(f'fallocate --posix --length "$(stat -c %s {path})" {path}' for path in named))


def image_paths(disks: Iterable[DiskSpec]) -> tuple[str, ...]:
    """Return the paths of the disks' images, without disks that another program serves."""
    return tuple(disk.path for disk in disks if not disk.served)


def written_by(spec: MachineSpec) -> tuple[str, ...]:
    """Return the files that a guest of this definition writes: its disks' images and its console log."""
    return (*image_paths(spec.disks), *([spec.console_log] if spec.console_log else []))
