"""Steps that make image files.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import ClassVar, final

from labkit.language import _
from labkit.model.disk import backing_name, format_of
from labkit.model.foreign import Foreign
from labkit.model.image import Allocation, Format
from labkit.model.state import LabState
from labkit.plans.steps.afterwards import new_image, overlay_on, with_images, without_files
from labkit.plans.steps.base import BaseStep, OnCancel, Phase, Touched, image_options, line


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
        return line("cp", f"--reflink={reflink}", "--sparse=always", self.source, self.target)

    @property
    def word(self) -> str:
        return _("copying an image")

    @property
    def touches(self) -> Touched:
        return Touched(creates=(self.target,), reads=(self.source,), copied=self.bytes)

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
        dd = line("dd", f"of={self.path}", "bs=1", f"seek={self.offset}", "conv=notrunc")
        return f"printf %s {shlex.quote(self.text)} | {dd}"

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
    """Create an empty image; a fixed one is written with zeros all through.

    Attributes:
        path: absolute. capacity: bytes. bytes: what is written at once.
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
        options = image_options(self.format, self.allocation)
        if self.cluster_size:
            options.append(f"cluster_size={self.cluster_size}")
        if self.extended_l2:
            options.append("extended_l2=on")
        return line("qemu-img", "create", "-f", self.format.driver, *_chosen(options), self.path, str(self.capacity))

    @property
    def word(self) -> str:
        return _("making an image")

    @property
    def touches(self) -> Touched:
        return Touched(creates=(self.path,), copied=self.bytes)

    def after(self, state: LabState) -> LabState:
        made = new_image(self.path, self.format, self.capacity, self.bytes, allocation=self.allocation)
        return with_images(state, made)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertImage(BaseStep):
    """Copy the content of a chain of images into one new image that stands alone.

    Attributes:
        source, target: absolute paths. capacity: bytes, at least the source's. bytes: what is copied, about.
        as_is: whether what lies below may have been changed: what can be read now is wanted.
    """

    source: str
    source_format: Format
    target: str
    target_format: Format
    allocation: Allocation
    capacity: int
    bytes: int
    as_is: bool = False
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        return _convert(self.source, self.source_format, self.target, self.target_format, self.allocation)

    @property
    def word(self) -> str:
        return _("writing the content as {format}").format(format=self.target_format)

    @property
    def touches(self) -> Touched:
        below = () if self.as_is else ((self.source, self.source_format),)
        return Touched(creates=(self.target,), stands_on=below, copied=self.bytes)

    def after(self, state: LabState) -> LabState:
        kind, allocation = self.target_format, self.allocation
        return with_images(state, new_image(self.target, kind, self.capacity, self.bytes, allocation=allocation))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BringImage(BaseStep):
    """Make an image of the lab from a file somebody brought, which is only read.

    Attributes:
        source: the file, as it was looked at. bytes: what is written, about.
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
        return _convert(self.source.path, self.source.format, self.target, self.target_format, self.allocation)

    @property
    def word(self) -> str:
        return _("writing the content as {format}").format(format=self.target_format)

    @property
    def touches(self) -> Touched:
        return Touched(creates=(self.target,), copied=self.bytes)

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
        below = ["-b", backing_name(self.path, self.backing), "-F", self.backing_format.driver]
        return line("qemu-img", "create", "-f", "qcow2", *below, self.path)

    @property
    def word(self) -> str:
        return _("making an empty image on another one")

    @property
    def touches(self) -> Touched:
        return Touched(creates=(self.path,), stands_on=((self.backing, self.backing_format),))

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

    def after(self, state: LabState) -> LabState:
        old = state.images.get(self.old)
        after = without_files(state, [self.old])
        return with_images(after, replace(old, path=self.new, files=(self.new,))) if old else after


def _convert(source: str, source_format: Format, target: str, target_format: Format, allocation: Allocation) -> str:
    formats = ["-f", source_format.driver, "-O", target_format.driver]
    chosen = _chosen(image_options(target_format, allocation))
    return line("qemu-img", "convert", "-p", *formats, *chosen, source, target)


def _chosen(options: list[str]) -> list[str]:
    return ["-o", ",".join(options)] if options else []
