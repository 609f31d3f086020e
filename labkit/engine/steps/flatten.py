"""How images are made to stand alone: what they share is copied into them, or a new image takes one's place.

Knows: the rooms below. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import assert_never

from labkit.engine import seals
from labkit.engine.context import Context
from labkit.errors import LabError
from labkit.hypervisor import clones, jobs
from labkit.limits import Limit, unheard
from labkit.model.machine import DiskSpec
from labkit.model.state import LabState
from labkit.plans.steps import FlattenStep, PullBases, ReplaceImage
from labkit.storage import headers, linking, qemu_img

TAKE_BACK_LIMIT = 60.0
"""Seconds that may pass until a daemon has heard of what QEMU has done."""


def do(step: FlattenStep, context: Context) -> None:
    """Carry a step out."""
    match step:
        case PullBases():
            _pull(step, context)
        case ReplaceImage():
            linking.replace_image(Path(step.draft), Path(step.path), frozen=step.frozen)
            if step.frozen:
                seals.seal([step.path])
        case _:
            assert_never(step)


def is_done(step: FlattenStep, _state: LabState) -> bool:
    """Whether a step has been carried out."""
    match step:
        case PullBases():
            return all(map(stands_alone, step.disks))
        case ReplaceImage():
            return Path(step.path).exists() and not Path(step.draft).exists()
        case _:
            assert_never(step)


def _pull(step: PullBases, context: Context) -> None:
    """Let the images stand alone; what a killed QEMU had not yet written is copied again."""
    connection = context.domains.connection
    for disk, base in zip(step.disks, step.bases, strict=True):
        if context.has_guest(step.machine_id):
            jobs.pull(connection, step.machine_id, disk.target, None, context.limit, context.on_bytes)
            continue
        path = Path(disk.path)
        _depend_again(disk, base)
        qemu_img.rebase(path, None, None, **context.copying)


def take_back(step: PullBases, context: Context) -> None:
    """End copying that nobody waits for any more; what has been copied changes no content.

    A disk that stands alone already, since a killed daemon did not live to record it, is pulled once more: that moves
    nothing, and the present daemon hears of it.
    """
    connection = context.domains.connection
    clones.abort_pulls(connection, step.machine_id, step.disks)
    for disk, base in zip(step.disks, step.bases, strict=True):
        if context.has_guest(step.machine_id):
            with contextlib.suppress(LabError):
                if stands_alone(disk):
                    jobs.pull(connection, step.machine_id, disk.target, None, Limit(TAKE_BACK_LIMIT), unheard)
                else:
                    jobs.flush(connection, step.machine_id)
        else:
            _depend_again(disk, base)


def stands_alone(disk: DiskSpec) -> bool:
    """Whether an image's header names no image below."""
    return headers.read_image(Path(disk.path), disk.format).backing is None


def _depend_again(disk: DiskSpec, base: DiskSpec) -> None:
    """Let an image of a guest that has ended depend on its old base again.

    QEMU may have been killed after writing the header and before writing all tables. What was copied is the same as
    below, so this changes no content.
    """
    if stands_alone(disk):
        linking.name_backing(Path(disk.path), Path(base.path), base.format)
