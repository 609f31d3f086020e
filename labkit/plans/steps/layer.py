"""Steps on existing images: change what they stand on or their capacity, freeze them, merge them, delete them.

Knows: the model. Must not know: how a step is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

from labkit.language import _
from labkit.model.image import Allocation, Format
from labkit.model.image_commands import rebase_argv, resize_argv
from labkit.model.state import LabState
from labkit.plans.steps.afterwards import with_image, with_images, without_files
from labkit.plans.steps.base import BaseStep, OnCancel, Phase, Touched, below, fill_lines, line, lines, own_step


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GrowImage(BaseStep):
    """Give an image more capacity, in place; a running guest sees it at once.

    Attributes:
        machine_id, domain, target: of the running machine it is attached to, or None.
        bytes: how many are written at once (fixed images only).
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
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        if self.domain and self.disk_target:
            return line("virsh", "blockresize", self.domain, self.disk_target, f"{self.capacity}B")
        argv = resize_argv(self.path, self.format, self.capacity)
        if self.allocation is not Allocation.FIXED:
            return line(*argv)
        # labkit writes the zeros through the image's own tables instead, which stay valid if that is interrupted.
        laid_out = ["--preallocation=metadata"] if self.format is Format.QCOW2 else []
        return lines(line(*argv[:2], *laid_out, *argv[2:]), fill_lines(self.path))

    @property
    def word(self) -> str:
        return _("giving the image more capacity")

    @property
    def touches(self) -> Touched:
        return Touched(rewrites=(self.path,), copied=self.bytes)

    def after(self, state: LabState) -> LabState:
        return with_image(state, self.path, lambda image: replace(image, capacity=self.capacity))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RebaseImage(BaseStep):
    """Let a copied image depend on the copy of what its original depends on.

    Attributes:
        exact: whether data must be copied to keep the image's content, since the images below differ; else only the
            name in its header changes, since both hold the same.
    """

    path: str
    backing: str
    backing_format: Format
    exact: bool = False
    phase: ClassVar[Phase] = Phase.CREATE
    on_cancel: ClassVar[OnCancel] = OnCancel.STOPS

    @property
    def command(self) -> str:
        below_it = below(self.path, self.backing, self.backing_format)
        return line(*rebase_argv(self.path, below_it, only_name=not self.exact))

    @property
    def word(self) -> str:
        return _("letting the copy stand on the copy below it")

    @property
    def touches(self) -> Touched:
        return Touched(rewrites=(self.path,))

    def after(self, state: LabState) -> LabState:
        backing, kind = self.backing, self.backing_format
        return with_image(state, self.path, lambda image: replace(image, backing=backing, backing_format=kind))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeImages(BaseStep):
    """Make images read-only and seal them: something depends on their content from now on.

    Attributes:
        paths: all files of them. known: whether they froze before: then the old seal counts, not what they are now.
    """

    paths: tuple[str, ...]
    known: bool = False
    phase: ClassVar[Phase] = Phase.CLEAN_UP
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return line("chmod", "0444", *self.paths) if self.paths else ""

    @property
    def word(self) -> str:
        return _("closing images for writing")

    @property
    def touches(self) -> Touched:
        return Touched(hands_over=self.paths)

    def after(self, state: LabState) -> LabState:
        return with_images(
            state, *(replace(state.images[path], frozen=True) for path in self.paths if path in state.images)
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MergeLayer(BaseStep):
    """Move what an anonymous layer holds up into its only child, which then depends on the layer below.

    Attributes:
        layer, child, onto: absolute paths; onto None: the layer was a base, and the child becomes one.
        bytes: about how many are copied.
        keeps_layer: whether other images still depend on the layer afterwards. machine_id, domain, target: of the
            running machine whose active image the child is, or None.
        frozen: whether the child is read-only and sealed.
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
    on_cancel: ClassVar[OnCancel] = OnCancel.LEAVES_THE_REST

    @property
    def command(self) -> str:
        remove = "" if self.keeps_layer else line("rm", "-f", self.layer)
        if self.domain and self.disk_target:
            down_to = ["--base", self.onto, "--keep-relative"] if self.onto else []
            return lines(line("virsh", "blockpull", self.domain, self.disk_target, *down_to, "--wait"), remove)
        onto = below(self.child, self.onto, self.onto_format) if self.onto and self.onto_format else None
        rebase = line(*rebase_argv(self.child, onto))
        if not self.frozen:
            return lines(rebase, remove)
        why = _(
            "notes the new hash of {file}, by which it knows a frozen image. Who types these lines says "
            "afterwards that it is as it should be: vm.snapshots.accept_changes()."
        )
        seal = own_step(why.format(file=self.child))
        return lines(line("chmod", "u+w", self.child), rebase, line("chmod", "0444", self.child), remove, seal)

    @property
    def word(self) -> str:
        return _("merging a layer into the one above it")

    @property
    def touches(self) -> Touched:
        return Touched(
            rewrites=(self.child,),
            deletes=() if self.keeps_layer else (self.layer,),
            keeps=(self.layer,),
            hands_over=(self.layer,) if self.keeps_layer else (),
            stands_on=((self.child, Format.QCOW2),),
            copied=self.bytes,
        )

    def after(self, state: LabState) -> LabState:
        onto, kind = self.onto, self.onto_format
        after = with_image(state, self.child, lambda child: replace(child, backing=onto, backing_format=kind))
        return after if self.keeps_layer else without_files(after, [self.layer])


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteFiles(BaseStep):
    """Delete files that nothing needs any more.

    Attributes:
        paths: absolute. bytes: how many are given back to the host.
        is_copied: whether their content is in another file by then.
    """

    paths: tuple[str, ...]
    bytes: int
    is_copied: bool = False
    phase: ClassVar[Phase] = Phase.CLEAN_UP
    on_cancel: ClassVar[OnCancel] = OnCancel.GOES_ON

    @property
    def command(self) -> str:
        return line("rm", "-f", *self.paths)

    @property
    def word(self) -> str:
        return _("deleting files")

    @property
    def touches(self) -> Touched:
        return Touched(deletes=self.paths, keeps=self.paths if self.is_copied else (), freed=self.bytes)

    def after(self, state: LabState) -> LabState:
        return without_files(state, self.paths)
