"""Steps that make image files.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, final

from labkit.language import _
from labkit.model.disk import extent_path, format_of
from labkit.model.foreign import Foreign
from labkit.model.image import Allocation, Format
from labkit.model.image_commands import convert_argv, create_argv
from labkit.model.state import LabState
from labkit.plans.steps.afterwards import new_image, overlay_on, with_images, without_files
from labkit.plans.steps.base import BaseStep, OnCancel, Phase, Touched, below, fill_lines, line, lines
from labkit.printing import quote


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CopyImage(BaseStep):
    """Copy an image file.

    Attributes:
        bytes: what is written. reflink: whether blocks are shared with the source where the file system can.
    """

    source: str
    target: str
    bytes: int
    reflink: bool = True
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        reflink = "auto" if self.reflink else "never"
        # The copy of a read-only file must be writable.
        return line("cp", "--no-preserve=mode", f"--reflink={reflink}", self.source, self.target)

    @property
    def word(self) -> str:
        return _("copying an image")

    @property
    def touches(self) -> Touched:
        return Touched(creates=(self.target,), reads=(self.source,), copied=self.bytes)

    @property
    def allocations(self) -> Mapping[str, Allocation | str]:
        return {self.target: self.source}

    def after(self, state: LabState) -> LabState:
        old = state.images.get(self.source)
        if old is not None:
            return with_images(state, replace(old, path=self.target, files=(self.target,), frozen=False, internal=0))
        capacity = next((each.capacity for each in state.guest_images.values() if each.disk == self.source), 0)
        return with_images(state, new_image(self.target, format_of(self.target), capacity, self.bytes))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class WriteMessage(BaseStep):
    """Write a text into an image at a fixed place, padded with zeros to `length` bytes."""

    path: str
    offset: int
    length: int
    text: str
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        zeros = self.length - len(self.text.encode())
        padded = f"{{ printf %s {quote(self.text)}; head -c {zeros} /dev/zero; }}"
        where = [f"of={self.path}", f"seek={self.offset}", "oflag=seek_bytes", "conv=notrunc", "status=none"]
        return f"{padded} | {line('dd', *where)}"

    @property
    def word(self) -> str:
        return _("writing the message into the image")

    @property
    def touches(self) -> Touched:
        return Touched(rewrites=(self.path,))

    def after(self, state: LabState) -> LabState:
        return state


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CreateImage(BaseStep):
    """Create an empty image; a fixed one is filled with zeros.

    Attributes:
        path: absolute. capacity: bytes. bytes: how many are written at once.
        cluster_size: bytes, or None for the format's default. extended_l2: subclusters (qcow2).
    """

    path: str
    format: Format
    capacity: int
    allocation: Allocation
    bytes: int = 0
    cluster_size: int | None = None
    extended_l2: bool = False
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        kind = (self.format, self.capacity, self.allocation)
        create = create_argv(self.path, *kind, cluster_size=self.cluster_size, extended_l2=self.extended_l2)
        return lines(line(*create), _filling(self.path, self.format, self.allocation))

    @property
    def word(self) -> str:
        return _("making an image")

    @property
    def touches(self) -> Touched:
        return Touched(creates=(self.path,), filled=self.bytes)

    @property
    def allocations(self) -> Mapping[str, Allocation | str]:
        return {self.path: self.allocation}

    def after(self, state: LabState) -> LabState:
        made = new_image(self.path, self.format, self.capacity, self.bytes, allocation=self.allocation)
        return with_images(state, made)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertImage(BaseStep):
    """Copy the content of a chain of images into one new image that stands alone.

    Attributes:
        source, target: absolute paths. capacity: bytes, at least the source's. bytes: about how many are copied.
        larger: whether the capacity is more than the source's.
        as_is: whether the images below may have been changed, since what can be read now is wanted.
    """

    source: str
    source_format: Format
    target: str
    target_format: Format
    allocation: Allocation
    capacity: int
    bytes: int
    larger: bool = False
    as_is: bool = False
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        kind = (self.target, self.target_format)
        create = line(*create_argv(*kind, self.capacity, self.allocation)) if self.larger else ""
        convert = convert_argv(self.source, self.source_format, *kind, self.allocation, into_made=self.larger)
        return lines(create, line(*convert), _filling(*kind, self.allocation))

    @property
    def word(self) -> str:
        return _("writing the content as {format}").format(format=self.target_format)

    @property
    def touches(self) -> Touched:
        read = () if self.as_is else ((self.source, self.source_format),)
        return Touched(creates=(self.target,), stands_on=read, copied=self.bytes)

    @property
    def allocations(self) -> Mapping[str, Allocation | str]:
        return {self.target: self.allocation}

    def after(self, state: LabState) -> LabState:
        kind, allocation = self.target_format, self.allocation
        return with_images(state, new_image(self.target, kind, self.capacity, self.bytes, allocation=allocation))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BringImage(BaseStep):
    """Make an image of the lab from a file that somebody brought, which is only read.

    Attributes:
        source: the file, as inspected. bytes: about how many are written.
    """

    source: Foreign
    target: str
    target_format: Format
    allocation: Allocation
    bytes: int
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        kind = (self.target, self.target_format)
        convert = convert_argv(self.source.path, self.source.format, *kind, self.allocation)
        return lines(line(*convert), _filling(*kind, self.allocation))

    @property
    def word(self) -> str:
        return _("writing the content as {format}").format(format=self.target_format)

    @property
    def touches(self) -> Touched:
        return Touched(creates=(self.target,), copied=self.bytes)

    @property
    def allocations(self) -> Mapping[str, Allocation | str]:
        return {self.target: self.allocation}

    def after(self, state: LabState) -> LabState:
        kind, capacity = self.target_format, self.source.capacity
        return with_images(state, new_image(self.target, kind, capacity, self.bytes, allocation=self.allocation))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOverlay(BaseStep):
    """Create a differencing image: empty, everything is read from the image below it."""

    path: str
    backing: str
    backing_format: Format
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        below_it = below(self.path, self.backing, self.backing_format)
        return line(*create_argv(self.path, Format.QCOW2, None, below=below_it))

    @property
    def word(self) -> str:
        return _("making an empty image on another one")

    @property
    def touches(self) -> Touched:
        return Touched(creates=(self.path,), stands_on=((self.backing, self.backing_format),))

    @property
    def allocations(self) -> Mapping[str, Allocation | str]:
        return {self.path: Allocation.DYNAMIC}

    def after(self, state: LabState) -> LabState:
        return with_images(state, overlay_on(state, self.path, self.backing, self.backing_format))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RenameImage(BaseStep):
    """Give the image of a free disk another name; nothing depends on it."""

    old: str
    new: str
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return line("mv", self.old, self.new)

    @property
    def word(self) -> str:
        return _("renaming an image")

    @property
    def touches(self) -> Touched:
        return Touched(creates=(self.new,), moves=(self.old,))

    @property
    def allocations(self) -> Mapping[str, Allocation | str]:
        return {self.new: self.old}

    def after(self, state: LabState) -> LabState:
        old = state.images.get(self.old)
        after = without_files(state, [self.old])
        return with_images(after, replace(old, path=self.new, files=(self.new,))) if old else after


def _filling(path: str, format: Format, allocation: Allocation) -> str:
    """The line that fills the holes that qemu-img leaves in a fixed image."""
    if allocation is not Allocation.FIXED:
        return ""
    return fill_lines(extent_path(path) if format is Format.VMDK else path)
