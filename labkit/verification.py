"""`lab.verify()`: read every frozen image and memory file of a lab whole, and say which are no longer what they were.

Knows: the session, the engine. Must not know: libvirt's calls, widgets.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from labkit.acts.act import OfLab
from labkit.arguments import checked
from labkit.engine import verification
from labkit.engine.progress import OnProgress, of_one_step, watching
from labkit.language import _, ngettext
from labkit.limits import Limit, unheard
from labkit.model.lineage import read_lineage
from labkit.model.mapped import files_beside
from labkit.model.state import LabState
from labkit.plans.accepting import say_seals_are_gone
from labkit.plans.broken import find_frozen
from labkit.units import format_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What `lab.verify()` found.

    Attributes:
        found: absolute paths of the files, by what became of them. readers: who reads a changed one, by its path.
        how: what to do where all seals of the lab are gone; "" where they are there.
    """

    found: verification.Verification
    readers: dict[str, tuple[str, ...]]
    how: str = ""

    @property
    def changed(self) -> tuple[Path, ...]:
        """The files that do not hold what they held when they froze."""
        return tuple(map(Path, self.found.changed))

    def __bool__(self) -> bool:
        """Whether every file that is there still holds what it held."""
        return not self.found.changed

    def __str__(self) -> str:
        found = self.found
        right = len(found.intact) + len(found.first)
        if not (right or found.changed or found.unsealed or found.gone):
            return _("Nothing in this lab is frozen: there is nothing to verify before a snapshot or a clone is made.")
        lines = [
            ngettext(
                "{count} file is what it was when it froze ({size} read).",
                "{count} files are what they were when they froze ({size} read).",
                right,
            ).format(count=right, size=format_size(found.bytes))
        ]
        for path in found.changed:
            names = ", ".join(self.readers.get(path, ())) or _("nobody")
            lines.append(
                _("{file} was changed by another program. It is read by: {names}.").format(
                    file=Path(path).name, names=names
                )
            )
        if found.changed:
            lines.append(
                _(
                    "Bring each back from a copy: vm.relink(disk, file); or take it as it is now: "
                    "vm.snapshots.accept_changes(). Until then no act uses it."
                )
            )
        if found.unsealed:
            names = ", ".join(Path(path).name for path in found.unsealed)
            lines.append(_("Of these nobody knows what they were: {files}.").format(files=names))
            if self.how:
                lines.append(self.how)
        return "\n".join(lines)

    __repr__ = __str__


@checked
def verify(
    lab: OfLab,
    *,
    timeout: float | None = None,
    cancel: threading.Event | None = None,
    on_progress: OnProgress | None = None,
) -> Verified:
    """Read every frozen image and memory file whole, and compare it with what it was when it froze.

    This also finds changes by a program that put the file's time back, which nothing else notices. A changed file is
    noted, and every act on it is refused from then on. Nothing else is changed; guests may run.

    Args:
        timeout: seconds; heeded between files, as `cancel` is.

    Raises:
        TimedOut, Cancelled: what was found until then stays noted.
    """
    session = lab.session
    state = session.read()
    cancel = cancel or threading.Event()
    title = _("Verifying {name}").format(name=session.workspace.name)
    files = [file for path in sorted(find_frozen(state)) for file in state.images[path].files]
    files += sorted(_memories(state))
    files += sorted(state.damaged & state.given)  # something that is not an image stands in their place
    with watching(title, cancel=cancel) if on_progress is None else nullcontext(on_progress) as report:
        found = verification.verify(
            session.workspace.disks,
            files,
            on_bytes=of_one_step(report) if report else unheard,
            limit=Limit(timeout, cancel=cancel, what=title),
        )
    readers = {path: _readers(state, path) for path in found.changed}
    return Verified(found=found, readers=readers, how=" ".join(say_seals_are_gone(state) or ()))


def _memories(state: LabState) -> set[str]:
    nodes = (node for tree in state.every_tree.values() for node in tree.nodes.values())
    memories = [node.memory for node in nodes if node.memory and node.memory in state.memories]
    return {*memories, *state.beside(memories)}


def _readers(state: LabState, file: str) -> tuple[str, ...]:
    """Who reads a file: the snapshots and machines that stand on its image, or the snapshot whose memory it is."""
    owner = next((path for path, image in state.images.items() if file in image.files), None)
    if owner is not None:
        return tuple(map(str, read_lineage(state).dependants(owner)))
    return tuple(
        f"{machine}@{node.name}"
        for machine, tree in state.every_tree.items()
        for node in tree.nodes.values()
        if file in (node.memory, *files_beside([node.memory]), *(disk.path for disk in node.disks))
    )
