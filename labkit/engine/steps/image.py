"""How images are made: copying, creating, converting, bringing in, renaming.

Knows: files and qemu-img. Must not know: the hypervisor, the order of steps, the journal.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import assert_never

from labkit.engine.context import Context
from labkit.model.image import Allocation, Format
from labkit.model.state import LabState
from labkit.plans.steps import (
    BringImage,
    ConvertImage,
    CopyImage,
    CreateImage,
    CreateOverlay,
    ImageStep,
    RenameImage,
    WriteMessage,
)
from labkit.storage import atomic, files, headers, importing, qemu_img


def do(step: ImageStep, context: Context) -> None:
    """Carry a step out."""
    match step:
        case CopyImage():
            files.copy_file(
                Path(step.source),
                Path(step.target),
                on_bytes=context.on_bytes,
                limit=context.limit,
                reflink=step.reflink,
            )
        case WriteMessage():
            files.write_padded(Path(step.path), step.offset, step.length, step.text)
        case CreateImage():
            qemu_img.create(
                Path(step.path),
                step.format,
                step.capacity,
                step.allocation,
                cluster_size=step.cluster_size,
                extended_l2=step.extended_l2,
                **context.copying,
            )
        case ConvertImage():
            qemu_img.convert(
                Path(step.source),
                step.source_format,
                Path(step.target),
                step.target_format,
                step.allocation,
                capacity=step.capacity,
                **context.copying,
            )
        case BringImage():
            importing.bring_in(step.source, Path(step.target), step.target_format, step.allocation, **context.copying)
        case CreateOverlay():
            qemu_img.create(
                Path(step.path),
                Format.QCOW2,
                headers.read_image(Path(step.backing), step.backing_format).capacity,
                Allocation.DYNAMIC,
                backing=Path(step.backing),
                backing_format=step.backing_format,
                limit=context.limit,
                inherit=context.inherit,
            )
        case RenameImage():
            files.rename_file(Path(step.old), Path(step.new))
        case _:
            assert_never(step)


def is_done(step: ImageStep, _state: LabState) -> bool:
    """Whether a step has been carried out; an image gets its name when it is whole."""
    match step:
        case CopyImage() | ConvertImage() | BringImage():
            return Path(step.target).exists()
        case CreateImage() | CreateOverlay():
            return Path(step.path).exists()
        case RenameImage():
            return Path(step.new).exists()
        case WriteMessage():
            return files.is_written(Path(step.path), step.offset, step.length, step.text)
        case _:
            assert_never(step)


def undo(step: ImageStep, _context: Context) -> None:
    """Undo a step."""
    match step:
        case CopyImage():
            files.delete_files([step.target])
        case BringImage():
            importing.discard(Path(step.target))
            atomic.remove_image(Path(step.target), step.target_format)
        case ConvertImage():
            atomic.remove_image(Path(step.target), step.target_format)
        case CreateImage():
            atomic.remove_image(Path(step.path), step.format)
        case CreateOverlay():
            atomic.remove_image(Path(step.path), Format.QCOW2)
        case RenameImage():
            if os.path.lexists(step.new) and not os.path.lexists(step.old):  # else it was not done
                files.rename_file(Path(step.new), Path(step.old))
        case WriteMessage():
            pass  # the image that it was written into, made just before, is removed
        case _:
            assert_never(step)
