"""What all steps share: what each must say of itself, and commands as a person would type them.

A step that leaves one of these out is no step: mypy names it where it is written, and where it is made.
Knows: the model. Must not know: which steps there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from labkit.model.disk import backing_name
from labkit.model.image import Format
from labkit.model.machine import DiskSpec, MachineSpec
from labkit.model.state import LabState
from labkit.printing import quote


class Phase(StrEnum):
    """When a step runs, and what its failure means."""

    CREATE = "create"
    SWITCH = "switch"
    CLEAN_UP = "clean up"


class OnCancel(StrEnum):
    """What becomes of a step that is being done when its act is cancelled."""

    GOES_ON = "goes on"
    """It is done to its end."""
    STOPS = "stops"
    """It stops in its middle and counts as not done."""
    LEAVES_THE_REST = "leaves the rest"
    """It stops in its middle and counts as done; what it has not done is told."""


class Outside(StrEnum):
    """Why a file that a step makes or ends lies outside the lab's folder."""

    EXPORT = "export"
    """Wherever its owner wants an archive."""
    BOOT_FILE = "boot file"
    """Among the guest images, shared by all labs."""
    SERVED = "served"
    """The socket of a disk that is served."""
    ARRIVAL = "arrival"
    """The socket at which a guest's memory arrives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """The files that a step touches, absolute paths, and the bytes it moves.

    Attributes:
        creates: those that come into being. rewrites: those whose content changes, or that are exchanged.
        deletes: those that go. moves: those that go on under another name, which is among the others.
        hands_over: those it gives the hypervisor to write, or whose mode it changes; their content is not its own work.
        elsewhere: those that do not lie in the lab's folder, with the reason.
        reads: those it reads alone. stands_on: images it reads with all below them, with their formats.
        copied, freed: bytes it writes on the host and gives back to it, about.
    """

    creates: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    moves: tuple[str, ...] = ()
    hands_over: tuple[str, ...] = ()
    elsewhere: tuple[tuple[Outside, str], ...] = ()
    reads: tuple[str, ...] = ()
    stands_on: tuple[tuple[str, Format], ...] = ()
    copied: int = 0
    freed: int = 0

    @property
    def confined(self) -> tuple[str, ...]:
        """What must lie in the lab's folder: all that is written, deleted, or given the hypervisor to write."""
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
        """What becomes of it when its act is cancelled meanwhile."""

    @property
    @abstractmethod
    def command(self) -> str:
        """What a person would type; several lines where it takes several commands."""

    @property
    def papers(self) -> tuple[str, ...]:
        """The files that its command reads and that nobody has yet: `Plan.write` writes them."""
        return ()

    @property
    @abstractmethod
    def word(self) -> str:
        """What is going on while it is carried out, e.g. "copying an image"."""

    @property
    @abstractmethod
    def touches(self) -> Touched:
        """The files it touches, and how much it writes and frees."""

    @abstractmethod
    def after(self, state: LabState) -> LabState:
        """Return the lab as it is when the step is done; sizes are those that the plan foresees."""


def line(*words: str) -> str:
    """Return a command line."""
    return " ".join(map(quote, words))


def lines(*each: str) -> str:
    """Return command lines one below the other; empty ones are none."""
    return "\n".join(filter(None, each))


def definition_paper(domain: str) -> str:
    """Return the name of the file with a domain's definition."""
    return f"{domain}.xml"


def snapshot_paper(domain: str, snapshot: str) -> str:
    """Return the name of the file with what libvirt is told of a snapshot."""
    return f"{domain}@{snapshot}.xml"


def own_step(why: str) -> str:
    """Return the line of what no command line can do: a shell passes over it.

    Args:
        why: one sentence that says what labkit does, and why nobody can type it.
    """
    return "# labkit: " + " ".join(why.split())


def below(path: str, backing: str, format: Format) -> tuple[str, Format]:
    """Return the image below another, as its name stands in that one's header."""
    return backing_name(path, backing), format


def fill_lines(*paths: str) -> str:
    """Return the lines that let the host give files every byte of their length; what they hold stays."""
    named = map(quote, paths)
    return lines(*(f'fallocate --posix --length "$(stat -c %s {path})" {path}' for path in named))


def image_paths(disks: Iterable[DiskSpec]) -> tuple[str, ...]:
    """Return the images of disks; one that another program serves has none here."""
    return tuple(disk.path for disk in disks if not disk.served)


def written_by(spec: MachineSpec) -> tuple[str, ...]:
    """Return what a guest of this definition writes: its disks, and what it prints."""
    return (*image_paths(spec.disks), *([spec.console_log] if spec.console_log else []))
