"""Steps on image files.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import ClassVar

from labkit.model.disk import backing_name
from labkit.model.foreign import Foreign
from labkit.model.image import Allocation, Format
from labkit.plans.steps.base import Phase, image_options, line


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyImage:
    """Copy an image file.

    Attributes:
        bytes: what is written. reflink: whether blocks are shared with the source where the file system can.
    """

    source: str
    target: str
    bytes: int
    reflink: bool = True
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def command(self) -> str:
        """What a person would type."""
        reflink = "auto" if self.reflink else "never"
        return line("cp", f"--reflink={reflink}", "--sparse=always", self.source, self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteMessage:
    """Write a text into an image at a fixed place, padded with zeros to `length` bytes."""

    path: str
    offset: int
    length: int
    text: str
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def command(self) -> str:
        """What a person would type."""
        dd = line("dd", f"of={self.path}", "bs=1", f"seek={self.offset}", "conv=notrunc")
        return f"printf %s {shlex.quote(self.text)} | {dd}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateImage:
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

    @property
    def command(self) -> str:
        """What a person would type."""
        options = image_options(self.format, self.allocation)
        if self.cluster_size:
            options.append(f"cluster_size={self.cluster_size}")
        if self.extended_l2:
            options.append("extended_l2=on")
        return line("qemu-img", "create", "-f", self.format.driver, *_chosen(options), self.path, str(self.capacity))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertImage:
    """Copy the content of a chain of images into one new image that stands alone.

    Attributes:
        source, target: absolute paths. capacity: bytes, at least the source's. bytes: what is copied, about.
    """

    source: str
    source_format: Format
    target: str
    target_format: Format
    allocation: Allocation
    capacity: int
    bytes: int
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def command(self) -> str:
        """What a person would type."""
        return _convert(self.source, self.source_format, self.target, self.target_format, self.allocation)


@dataclass(frozen=True, slots=True, kw_only=True)
class BringImage:
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

    @property
    def command(self) -> str:
        """What a person would type."""
        return _convert(self.source.path, self.source.format, self.target, self.target_format, self.allocation)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopServing:
    """End the server of a disk that is served as another machine's storage."""

    disk: str
    socket: str
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("pkill", "-f", f"qemu-nbd.*{self.socket}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOverlay:
    """Create a differencing image: empty, everything is read from the image below it."""

    path: str
    backing: str
    backing_format: Format
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def command(self) -> str:
        """What a person would type."""
        below = ["-b", backing_name(self.path, self.backing), "-F", self.backing_format.driver]
        return line("qemu-img", "create", "-f", "qcow2", *below, self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameImage:
    """Give the image of a free disk another name; nothing depends on it."""

    old: str
    new: str
    phase: ClassVar[Phase] = Phase.CREATE

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("mv", self.old, self.new)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowImage:
    """Give an image more capacity, in place; a running guest sees it at once.

    Attributes:
        machine_id, domain, target: of the running machine it is attached to, or None.
        bytes: what is written at once (a fixed image).
    """

    path: str
    format: Format
    capacity: int
    allocation: Allocation
    bytes: int = 0
    machine_id: str | None = None
    domain: str | None = None
    disk_target: str | None = None
    phase: ClassVar[Phase] = Phase.SWITCH

    @property
    def command(self) -> str:
        """What a person would type."""
        if self.domain and self.disk_target:
            return line("virsh", "blockresize", self.domain, self.disk_target, f"{self.capacity}B")
        return line("qemu-img", "resize", "-f", self.format.driver, self.path, str(self.capacity))


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeImages:
    """Close images for writing: something depends on their content now."""

    paths: tuple[str, ...]
    phase: ClassVar[Phase] = Phase.CLEAN_UP

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("chmod", "0444", *self.paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeLayer:
    """Move what an anonymous layer holds up into its only child, which then depends on the layer below.

    Attributes:
        layer, child, onto: absolute paths; onto None: the layer was a base, and the child becomes one.
        bytes: about what is copied.
        keeps_layer: whether other images still depend on the layer when this is done.
        machine_id, domain, target: of the running machine whose active image the child is, or None.
        frozen: whether the child is closed for writing and sealed.
    """

    layer: str
    child: str
    onto: str | None
    onto_format: Format | None
    bytes: int
    keeps_layer: bool = False
    machine_id: str | None = None
    domain: str | None = None
    disk_target: str | None = None
    frozen: bool = False
    phase: ClassVar[Phase] = Phase.CLEAN_UP

    @property
    def command(self) -> str:
        """What a person would type."""
        if self.domain and self.disk_target:
            below = ["--base", self.onto] if self.onto else []
            return line("virsh", "blockpull", self.domain, self.disk_target, *below, "--wait")
        below = (
            ["-b", backing_name(self.child, self.onto), "-F", self.onto_format.driver]
            if self.onto and self.onto_format
            else ["-b", ""]
        )
        return line("qemu-img", "rebase", "-f", "qcow2", *below, self.child)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteFiles:
    """Delete files that nothing needs any more.

    Attributes:
        paths: absolute; bytes: what they give back to the host.
    """

    paths: tuple[str, ...]
    bytes: int
    phase: ClassVar[Phase] = Phase.CLEAN_UP

    @property
    def command(self) -> str:
        """What a person would type."""
        return line("rm", "-f", *self.paths)


def _convert(source: str, source_format: Format, target: str, target_format: Format, allocation: Allocation) -> str:
    formats = ["-f", source_format.driver, "-O", target_format.driver]
    chosen = _chosen(image_options(target_format, allocation))
    return line("qemu-img", "convert", "-p", *formats, *chosen, source, target)


def _chosen(options: list[str]) -> list[str]:
    return ["-o", ",".join(options)] if options else []
