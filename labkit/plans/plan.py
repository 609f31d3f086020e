"""`Plan`: what an act would do, before it is done; the same value is shown, journalled, carried out.

Knows: steps and the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Protocol

from labkit.errors import BadInput
from labkit.language import _
from labkit.model.words import act_word
from labkit.plans.refusal import Refusal
from labkit.plans.steps import Phase, Step, WakeClones
from labkit.printing import quote
from labkit.units import format_size

_BLOB = re.compile(r"/blobs/[0-9a-f]{16}-([^/]+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files a plan touches, absolute paths in the order of its steps.

    Attributes:
        drafts: temporary files that it makes and removes; they are in no other list.
    """

    created: tuple[str, ...] = ()
    rewritten: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    drafts: tuple[str, ...] = ()

    @property
    def made(self) -> tuple[str, ...]:
        """All files that it makes, drafts included."""
        return (*self.created, *self.drafts)


class Folder(Protocol):
    """The path of a folder as an argument, either text or a `Path`: plans themselves touch no file."""

    def __fspath__(self) -> str:
        """Return it as text."""


Scribe = Callable[["Plan", "str | Folder"], tuple[str, ...]]
"""Writes the files that a plan's commands read into a folder, and returns their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an act would do.

    Attributes:
        act: the verb, e.g. "create". subject: the name of the machine or disk it is about.
        home: the lab's folder, which previews leave out of paths.
        steps: in the order they run; empty when refused or when there is nothing to do.
        refusal: why it is not done, or None.
        names, disks: the machines and disks it reads and changes. basis: their fingerprint when the plan was made.
        notes: what a person should know beforehand, a sentence each.
        whole_lab: whether nothing else may go on in the lab meanwhile.
        instance: the hypervisor instance it is carried out on, set when it is begun; "" for the session's own.
        running: those of its machines that were running (not paused) when it was begun; set then.
        scribe: writes the files that its commands read; not part of the value.
    """

    act: str
    subject: str
    home: str
    names: tuple[str, ...]
    basis: str
    steps: tuple[Step, ...] = ()
    refusal: Refusal | None = None
    notes: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()
    whole_lab: bool = False
    instance: str = ""
    running: tuple[str, ...] = ()
    scribe: Scribe | None = field(init=False, default=None, compare=False, repr=False)

    def written_by(self, scribe: Scribe) -> Plan:
        """Return the same plan with a scribe, so that it can write the files that its commands read."""
        plan = replace(self)
        object.__setattr__(plan, "scribe", scribe)
        return plan

    def write(self, folder: str | Folder) -> tuple[str, ...]:
        """Write the files that its commands read, made from what the hypervisor knows now.

        The commands, typed in order in the lab's folder before anything else changes, do what the act does.

        Args:
            folder: an existing one; `lab.home` if the commands are to be typed, since they read the files there.

        Returns:
            The names of the files, in the order they are read.

        Raises:
            BadInput: the plan has no scribe: it comes from a journal, or from no act. HostTrouble: the files cannot be
                written.
        """
        if self.scribe is None:
            raise BadInput(
                _("This plan knows no lab that it could write for."),
                _("Ask the act itself: vm.snapshots.restore.plan(…) and its like."),
            )
        return self.scribe(self, folder)

    @property
    def papers(self) -> tuple[str, ...]:
        """The names of the files that its commands read and `write` writes."""
        return tuple(dict.fromkeys(paper for step in self.steps for paper in step.papers))

    @property
    def links(self) -> dict[str, str]:
        """The files of guest images that its commands name, by the short names that `write` gives them."""
        touched = [step.touches for step in self.steps]
        paths = (
            path
            for each in touched
            for path in (*each.reads, *(path for path, _format in each.stands_on), *each.creates)
        )
        found = ((_BLOB.search(path), path) for path in paths)
        return {f"images/{match[1]}": path for match, path in found if match}

    @property
    def locks(self) -> tuple[str, ...]:
        """The names of the locks it needs; those of disks contain a space, so that no machine can have the same.

        An act on neither, about files that belong to nothing, needs one too: a journalled act whose lock is free was
        interrupted.
        """
        return (*self.names, *(f"disk {disk}" for disk in self.disks)) or ("loose files",)

    @property
    def excuse(self) -> str | None:
        """Why it is refused, or None."""
        return self.refusal.why if self.refusal else None

    @property
    def title(self) -> str:
        """The act and what it is about, in the language in force, e.g. "create web"."""
        return f"{act_word(self.act)} {self.subject}"

    @property
    def files(self) -> Files:
        """The files it makes, rewrites and deletes, and those that exist only while it is carried out."""
        touched = [step.touches for step in self.steps]
        created = [path for each in touched for path in each.creates]
        rewritten = [path for each in touched for path in each.rewrites]
        deleted = [path for each in touched for path in each.deletes]
        moved = {path for each in touched for path in each.moves}
        drafts = {path for path in created if path in deleted or path in moved}
        return Files(
            created=tuple(path for path in created if path not in drafts),
            rewritten=tuple(path for path in rewritten if path not in created),
            deleted=tuple(path for path in deleted if path not in drafts),
            drafts=tuple(path for path in created if path in drafts),
        )

    @property
    def lost(self) -> tuple[str, ...]:
        """The files that it deletes and whose content is in no other file afterwards."""
        kept = {path for step in self.steps for path in step.touches.keeps}
        return tuple(path for path in self.files.deleted if path not in kept)

    @property
    def named(self) -> frozenset[str]:
        """Every file in the lab's folder that any of its steps names, to read, make, change or delete it."""
        return frozenset(_paths_in(self.steps, posixpath.join(self.home, "")))

    @property
    def bytes_copied(self) -> int:
        """Bytes that its steps write on the host, including zeros."""
        return sum(step.touches.copied for step in self.steps) + self.bytes_filled

    @property
    def bytes_kept(self) -> int:
        """Bytes that its steps write on the host into files that are there at its end, including zeros."""
        gone = {path for step in self.steps for path in step.touches.deletes}
        passing = [step for step in self.steps if step.touches.creates and gone.issuperset(step.touches.creates)]
        return self.bytes_copied - sum(step.touches.copied + step.touches.filled for step in passing)

    @property
    def bytes_filled(self) -> int:
        """Bytes its steps fill with zeros on the host."""
        return sum(step.touches.filled for step in self.steps)

    @property
    def bytes_freed(self) -> int:
        """Bytes its steps give back to the host."""
        return sum(step.touches.freed for step in self.steps)

    @property
    def commit_point(self) -> int | None:
        """Index of the first step that cannot be undone (from there on the act only goes forward), or None."""
        later = (index for index, step in enumerate(self.steps) if step.phase is not Phase.CREATE)
        return next(later, None)

    @property
    def only_cleans_up(self) -> bool:
        """Whether it does nothing but delete what nobody needs."""
        return all(step.phase is Phase.CLEAN_UP for step in self.steps)

    @property
    def commands(self) -> tuple[str, ...]:
        """What a person would type, shortened."""
        return tuple(line for step in self.steps for line in self._shorten(step.command).splitlines())

    def preview(self, *, sizes: bool = True) -> str:
        """Return the plan as text: its steps as commands, or its refusal.

        Args:
            sizes: whether to show the bytes copied and freed, which differ between hosts.
        """
        title = self.title
        if self.refusal:
            lines = [_("{act}: refused. {why}").format(act=title, why=self.refusal.why)]
            if self.refusal.dependants:
                names = ", ".join(self.refusal.dependants)
                lines.append("  " + _("depends on it: {names}").format(names=names))
            return "\n".join(lines + [f"  → {way}" for way in (*self.refusal.ways_out, *self.refusal.for_calls)])
        lines = [title if self.steps else _("{act}: nothing to do").format(act=title)]
        lines += [f"  $ {command}" for command in self.commands]
        if self.papers or self.links:
            lines.append("  " + _("plan.write(folder) writes what these lines read."))
        lines += [f"  {note}" for note in self.notes]
        if sizes and (self.bytes_copied or self.bytes_freed):
            copied, freed = format_size(self.bytes_copied), format_size(self.bytes_freed)
            lines.append("  " + _("copies {copied}, frees {freed}").format(copied=copied, freed=freed))
        if sizes:
            lines += [
                "  "
                + _("takes about {memory} of the host's memory and {seconds:.0f} s").format(
                    memory=format_size(step.host_bytes), seconds=step.seconds
                )
                for step in self.steps
                if isinstance(step, WakeClones)
            ]
        return "\n".join(lines)

    def _shorten(self, command: str) -> str:
        """Return commands as typed in the lab's folder, with the short names that `write` gives guest images there."""
        for short, path in self.links.items():
            command = command.replace(path, short)
        return "\n".join(map(self._shorten_line, command.splitlines()))

    def _shorten_line(self, command: str) -> str:
        """Leave out the lab's folder; paths given to virsh begin with $PWD, since its daemon runs in another folder."""
        home = posixpath.join(self.home, "")
        quoted = quote(home)
        within = home if quoted == home else quoted[1:-1]  # as it is written inside quotes
        there = "" if not command.startswith("virsh ") else "$PWD/" if quoted == home else "'\"$PWD\"'/"
        return command.replace(within, there)

    def __repr__(self) -> str:
        return self.preview(sizes=False)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.preview(sizes=False))}</pre>"


def _paths_in(value: object, folder: str) -> Iterator[str]:
    """Yield the paths below a folder that occur anywhere in a value made of dataclasses, tuples and lists."""
    if isinstance(value, str):
        if value.startswith(folder):
            yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _paths_in(each, folder)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _paths_in(getattr(value, field.name), folder)
