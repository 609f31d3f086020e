"""The first disk of a new machine: a guest image's content, in the format and allocation asked for.

Knows: guest images, steps. Must not know: machines, files.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.language import _
from labkit.model.image import Allocation, Format, GuestImage
from labkit.model.machine import DiskSpec
from labkit.model.state import LabState
from labkit.plans.disk_excuses import why_not_capacity
from labkit.plans.naming import next_image_path
from labkit.plans.refusal import Refusal
from labkit.plans.steps import ConvertImage, CopyImage, DeleteFiles, Step, WriteMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstDisk:
    """A new machine's disk as asked for.

    Attributes:
        name: the disk's. image: the guest image whose content it gets. format, allocation: the disk's.
        message: what the guest greets with, or None for the image's own.
    """

    name: str
    image: GuestImage
    format: Format
    allocation: Allocation
    message: str | None = None

    @property
    def bytes(self) -> int:
        """About how many bytes the host will give it."""
        return self.image.capacity if self.allocation is Allocation.FIXED else self.image.disk_bytes

    @property
    def is_converted(self) -> bool:
        """Whether it is more than a copy of the image's file."""
        return self.format is not self.image.format or self.allocation is Allocation.FIXED

    def why_not(self) -> Refusal | None:
        """Return why no machine can have such a disk, or None."""
        if self.format.attachable:
            return why_not_capacity(self.image.capacity, self.format)
        return Refusal(
            why=_("libvirt does not know {format}: no machine can have such a disk.").format(format=self.format),
            ways_out=(_("Choose raw, qcow2, vdi, vmdk or vhd."),),
        )

    def plan(self, state: LabState) -> tuple[DiskSpec, list[Step], list[Step]]:
        """Return the disk as attached, the steps that make it, and those that remove its drafts.

        A message is written into a copy in the guest image's own format; only then can the copy be converted.
        """
        path = next_image_path(state, self.name, self.format)
        draft = path
        if self.is_converted and self.message is not None:
            draft = next_image_path(state, self.name, self.image.format)
            path = next_image_path(state, self.name, self.format, beyond=1)
        spec = DiskSpec(name=self.name, target="vda", path=path, format=self.format)
        steps: list[Step] = []
        if draft != path or not self.is_converted:
            steps.append(CopyImage(source=self.image.disk, target=draft, bytes=self.image.disk_bytes))
        if self.message is not None and (place := self.image.message) is not None:
            steps.append(WriteMessage(path=draft, offset=place.offset, length=place.length, text=self.message))
        if self.is_converted:
            steps.append(self._conversion(draft if draft != path else self.image.disk, path))
        clean_up: list[Step] = [DeleteFiles(paths=(draft,), bytes=self.image.disk_bytes)] if draft != path else []
        return spec, steps, clean_up

    def _conversion(self, source: str, target: str) -> ConvertImage:
        return ConvertImage(
            source=source,
            source_format=self.image.format,
            target=target,
            target_format=self.format,
            allocation=self.allocation,
            capacity=self.image.capacity,
            bytes=self.bytes,
        )
