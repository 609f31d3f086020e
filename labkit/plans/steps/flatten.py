"""Steps that let a clone stand alone, or put back what it stands on.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, final

from labkit.language import _
from labkit.model.image import Allocation
from labkit.model.machine import DiskSpec
from labkit.model.state import LabState
from labkit.plans.steps.afterwards import alone, with_images, without_files
from labkit.plans.steps.base import BaseStep, OnCancel, Phase, Touched, line, lines


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PullBases(BaseStep):
    """Copy everything that disks of a running guest still read from below up into their active images.

    Attributes:
        disks: the active images, which then stand alone. bases: what each of them stood on.
        bytes: about how many are copied.
    """

    machine_id: str
    domain: str
    disks: tuple[DiskSpec, ...]
    bases: tuple[DiskSpec, ...]
    bytes: int
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        return "\n".join(line("virsh", "blockpull", self.domain, disk.target, "--wait") for disk in self.disks)

    @property
    def word(self) -> str:
        return _("copying up what is read from below")

    @property
    def touches(self) -> Touched:
        images = tuple((disk.path, disk.format) for disk in self.disks)
        return Touched(rewrites=tuple(path for path, _format in images), stands_on=images, copied=self.bytes)

    def after(self, state: LabState) -> LabState:
        return with_images(state, *(alone(state, disk.path) for disk in self.disks if disk.path in state.images))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceImage(BaseStep):
    """Put a new image with the same content in an image's place; what depends on it notices nothing.

    Attributes:
        draft: the new image, absolute. path: its place. frozen: whether it is made read-only there.
    """

    draft: str
    path: str
    frozen: bool
    phase: ClassVar[Phase] = Phase.SWITCH
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        close = line("chmod", "0444", self.path) if self.frozen else ""
        return lines(line("mv", "-f", self.draft, self.path), close)

    @property
    def word(self) -> str:
        return _("putting the new image in its place")

    @property
    def touches(self) -> Touched:
        return Touched(rewrites=(self.path,), moves=(self.draft,))

    @property
    def allocations(self) -> Mapping[str, Allocation | str]:
        return {self.path: self.draft}

    def after(self, state: LabState) -> LabState:
        draft = state.images.get(self.draft)
        after = without_files(state, [self.draft])
        if draft is None:
            return after
        return with_images(after, replace(draft, path=self.path, files=(self.path,), frozen=self.frozen))
