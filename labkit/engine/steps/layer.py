"""How existing images are changed: grown, put on another base, frozen, merged, deleted.

Knows: the rooms below. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import assert_never

from labkit.engine import intact, seals
from labkit.engine.context import Context
from labkit.engine.deleting import delete_unneeded
from labkit.errors import ConnectionLost, LabError, NotFound, WrongState
from labkit.hypervisor import disks, jobs
from labkit.language import _
from labkit.model.image import Format
from labkit.model.state import LabState
from labkit.plans.steps import DeleteFiles, FreezeImages, GrowImage, LayerStep, MergeLayer, RebaseImage
from labkit.storage import files, headers, linking, qemu_img


def do(step: LayerStep, context: Context) -> None:
    """Carry a step out."""
    match step:
        case GrowImage() if step.machine_id and step.disk_target:
            disks.grow_disk(context.domains, step.machine_id, step.disk_target, step.capacity)
        case GrowImage():
            qemu_img.resize(
                Path(step.path),
                step.format,
                step.capacity,
                allocation=step.allocation,  # as it was before: a crash may have interrupted the growth
                **context.copying,
            )
        case RebaseImage():
            _rebase(step, context)
        case FreezeImages():
            files.freeze_files(step.paths)
            seals.seal(step.paths, only_new=step.known)
        case MergeLayer():
            remark = merge(step, context)
            if remark:
                context.tell(remark)
        case DeleteFiles():
            delete_unneeded(step.paths, context)
        case _:
            assert_never(step)


def is_done(step: LayerStep, state: LabState) -> bool:
    """Whether a step has been carried out; a deletion counts from the first file on."""
    match step:
        case GrowImage():
            return step.path in state.images and state.images[step.path].capacity >= step.capacity
        case RebaseImage():
            return step.path in state.images and state.images[step.path].backing == step.backing
        case FreezeImages():
            return all(not path or not os.access(path, os.W_OK) for path in step.paths)
        case MergeLayer():
            return not Path(step.layer).exists()
        case DeleteFiles():
            return not all(Path(path).exists() for path in step.paths)
        case _:
            assert_never(step)


def undo(step: RebaseImage, _context: Context) -> None:
    """Do nothing: the rebased image was made by an earlier step, which is undone too."""


def _rebase(step: RebaseImage, context: Context) -> None:
    path, backing = Path(step.path), Path(step.backing)
    if step.exact:
        qemu_img.rebase(path, backing, step.backing_format, **context.copying)
    else:
        linking.name_backing(path, backing, step.backing_format)


def merge(step: MergeLayer, context: Context) -> str | None:
    """Move the layer's data up into its child and delete the layer once nothing depends on it.

    If that cannot be done now, or is cancelled, the layer stays; no content depends on the merge.

    Returns:
        A remark why the layer stays, or None.
    """
    limit = context.limit
    if not Path(step.layer).exists() or not Path(step.child).exists():
        return None
    backing = _backing(step)
    if backing and backing not in (step.layer, step.onto):
        # If the child were rebased past it, nobody would need the layer in between.
        return None if step.keeps_layer else _stays(step, _("{file} above it stays.").format(file=Path(backing).name))
    if why := intact.why_not_intact(str(Path(step.child).parent.parent), [step]):
        return _leave(step, context, why)
    files_of_child = headers.read_image(Path(step.child), Format.QCOW2).files if step.frozen else ()
    trouble = None
    try:
        limit.check()
        seals.break_seals(files_of_child)
        _move_up(step, context)
    except ConnectionLost:
        raise
    except LabError as error:
        trouble = error
        _depend_again(step, context)
    finally:
        files.freeze_files(files_of_child)
        with contextlib.suppress(LabError):  # if the disk is full, the image stays without a seal
            seals.seal(files_of_child)
    # The header decides, not what was reported: a cancelled merge may have just ended well.
    if _backing(step) != step.onto:
        return _stays(step, trouble.message if trouble else _("it was not moved."))
    if not step.keeps_layer:
        files.sync_file(Path(step.child))
        delete_unneeded([step.layer], context)
    return None


def _leave(step: MergeLayer, context: Context, why: str) -> str:
    """Merge nothing, since an image below is not what it was; freeze the child of an interrupted merge again."""
    _depend_again(step, context)
    if step.frozen:
        parts = headers.read_image(Path(step.child), Format.QCOW2).files
        files.freeze_files(parts)
        seals.seal(parts, only_new=True)
    return _stays(step, why)


def _stays(step: MergeLayer, why: str) -> str:
    return _("{file} stays as a layer without a name: {why}").format(file=Path(step.layer).name, why=why)


def _move_up(step: MergeLayer, context: Context) -> None:
    child = Path(step.child)
    if step.machine_id and step.disk_target and context.has_guest(step.machine_id):
        connection = context.domains.connection
        jobs.pull(connection, step.machine_id, step.disk_target, step.onto, context.limit, context.on_bytes)
        return
    with files.host_errors(child):
        os.chmod(child, child.stat().st_mode | 0o200)
    _depend_again(step, context)
    onto = Path(step.onto) if step.onto else None
    qemu_img.rebase(child, onto, step.onto_format, **context.copying)


def _depend_again(step: MergeLayer, context: Context) -> None:
    """Make sure that the child's file is complete, or else depends on the layer again.

    A process that was killed right after moving the data may have written the child's header before all its tables.
    What the child has got is the same as in the layer, so depending on that again changes no content.
    """
    if _backing(step) != step.onto:
        return
    if step.machine_id and context.has_guest(step.machine_id):
        with contextlib.suppress(NotFound, WrongState):  # it has just ended
            jobs.flush(context.domains.connection, step.machine_id)
            return
    linking.name_backing(Path(step.child), Path(step.layer), Format.QCOW2)


def _backing(step: MergeLayer) -> str | None:
    return headers.read_image(Path(step.child), Format.QCOW2).backing
