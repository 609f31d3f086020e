"""How a machine is started; a new one may go on from a guest that is kept booted.

Then its disk becomes that guest's, and its memory is mapped.

Whether anything was written to the disk since shows whether the guest has run: then nobody puts another content there.
Knows: the rooms below. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import assert_never

from labkit.engine import kept_guests, mapping
from labkit.engine.as_made import is_same
from labkit.engine.context import Context
from labkit.engine.deleting import is_in_use
from labkit.engine.waking import tell
from labkit.errors import ConnectionLost, LabError, WrongState
from labkit.hypervisor import mapped
from labkit.hypervisor.mapped_xml import map_memory_xml
from labkit.hypervisor.sockets import place_sockets
from labkit.language import _
from labkit.limits import unheard
from labkit.model.image import Allocation, Format
from labkit.model.kept import BlankDisk
from labkit.model.machine import MachineState
from labkit.model.state import LabState
from labkit.plans.steps import BringWarmDisk, SwitchOn, WakeFresh, WarmStep
from labkit.storage import atomic, files, headers, qemu_img
from labkit.storage.files import host_errors
from labkit.storage.process import run


def do(step: WarmStep, context: Context) -> None:
    """Carry a step out."""
    match step:
        case SwitchOn():
            if not context.has_guest(step.spec.id):
                context.domains.start(step.spec.id, subject=step.spec.name)
        case BringWarmDisk():
            _bring(step, context)
        case WakeFresh():
            _wake(step, context)
        case _:
            assert_never(step)


def is_done(step: WarmStep, state: LabState) -> bool:
    """Whether a step has been carried out; a guest that has run and ended again has been woken, too."""
    match step:
        case SwitchOn():
            machine = state.find_machine(step.spec.id)
            return machine is not None and machine.is_active
        case BringWarmDisk():
            return _is_as_brought(step)
        case WakeFresh():
            machine = state.find_machine(step.spec.id)
            return machine is not None and (machine.is_active or _has_run(step.disk))
        case _:
            assert_never(step)


def undo(step: BringWarmDisk, context: Context) -> None:
    """Undo a step."""
    atomic.discard(Path(step.target))
    if not _is_as_brought(step):
        return
    if is_in_use(step.target):
        context.tell(_("{file} stays: it is in use.").format(file=Path(step.target).name))
        return
    if not (step.below or Path(step.pristine).exists()):
        sentence = _("{file} keeps what a booted guest had on it: the guest image that it was made from is gone.")
        context.tell(sentence.format(file=Path(step.target).name))
        return
    _put_back(step)


def _bring(step: BringWarmDisk, context: Context) -> None:
    target = Path(step.target)
    if _is_as_brought(step):
        return
    with host_errors(target):
        info = target.stat()
    if (info.st_size, info.st_mtime_ns) != step.seen:
        raise WrongState(_("{file} has been written to since.").format(file=target.name))
    mode = info.st_mode & 0o777
    with atomic.creating(target, replace=True) as draft:
        files.copy_file(Path(step.source), draft, on_bytes=context.on_bytes, limit=context.limit)
        with host_errors(draft):
            draft.chmod(mode)
            if step.below:
                run(step.rebasing(str(draft)), limit=context.limit, inherit=context.inherit)
            os.utime(draft, ns=(step.stamp, step.stamp))


def _put_back(step: BringWarmDisk) -> None:
    """Let the disk hold again what the guest image holds, or, as a layer, nothing."""
    target = Path(step.target)
    with host_errors(target):
        mode = target.stat().st_mode & 0o777
    if step.below:
        capacity, below = headers.read_image(target, Format.QCOW2).capacity, Path(step.below)
        kind = (Format.QCOW2, capacity, Allocation.DYNAMIC)
        qemu_img.create(target, *kind, backing=below, backing_format=step.below_format, replace=True)
    else:
        with atomic.creating(target, replace=True) as draft:
            files.copy_file(Path(step.pristine), draft, on_bytes=unheard)
    with host_errors(target):
        target.chmod(mode)
        os.utime(target, ns=(step.seen[1], step.seen[1]))


def _is_as_brought(step: BringWarmDisk) -> bool:
    """Whether the disk is what it was brought as: nothing has been written to it."""
    target = Path(step.target)
    try:
        if target.stat().st_mtime_ns == step.stamp:
            return True
    except OSError:
        return False
    return is_same(target, Path(step.source))


def _is_blank_still(blank: BlankDisk) -> bool:
    """Whether nothing was written to a disk since it was found to be blank."""
    try:
        info = os.stat(blank.path)
    except OSError:
        return False
    return (info.st_size, info.st_mtime_ns) == blank.seen


def _has_run(step: BringWarmDisk) -> bool:
    """Whether the disk is neither what it was brought as nor what the guest image holds."""
    target = Path(step.target)
    made = headers.is_blank_or_gone(target) if step.below else is_same(target, Path(step.pristine))
    return not made and not _is_as_brought(step)


def _wake(step: WakeFresh, context: Context) -> None:
    """Let the machine go on from the kept guest, and tell it who it is; if it cannot it boots, and a remark says so."""
    connection, spec = context.domains.connection, step.spec
    if context.has_guest(spec.id) and mapped.is_waiting(connection, spec.id):
        mapped.end(connection, spec.id)  # the process that woke it ended in between
    if not context.has_guest(spec.id):
        if not _is_as_brought(step.disk):
            context.tell(_("{name} is off: its guest has ended meanwhile.").format(name=spec.name))
            return
        try:
            _map(step, context)
        except ConnectionLost:
            raise
        except (LabError, ValueError, OSError) as error:
            _boot(step, context, error)
            return
    if context.domains.state(spec.id)[0] is MachineState.PAUSED:
        context.domains.resume(spec.id, subject=spec.name)
    if remark := tell(spec, context, greet=True):
        context.tell(remark)


def _map(step: WakeFresh, context: Context) -> None:
    """Give the machine the kept guest's memory, paused.

    Raises:
        LabError, OSError, ValueError: it cannot be mapped; the machine is off.
    """
    connection, kept = context.domains.connection, step.kept
    with kept_guests.holding(Path(kept.folder)):
        if kept_guests.find_kept(Path(kept.folder)) != kept:
            raise WrongState(_("the files to map it are not what they were when they were made."))
        if any(not _is_blank_still(blank) for blank in step.blanks):
            raise WrongState(_("its disks have been written to since."))
        kept_guests.note_use(kept)
        devices = mapping.read_devices(Path(kept.memory))
        xml = build_fresh_xml(step, context.domains.xml(step.spec.id), connection.runtime)
        mapped.wake(connection, step.spec.id, xml, devices, subject=step.spec.name)


def build_fresh_xml(step: WakeFresh, definition: str, runtime: Path | None) -> str:
    """Return the definition with which a machine maps a kept guest's memory.

    Args:
        definition: the machine's own. runtime: the runtime folder of its hypervisor instance.
    """
    kept = step.kept
    return map_memory_xml(place_sockets(definition, runtime), kept.block, kept.length, kept.pages)


def _boot(step: WakeFresh, context: Context, error: Exception) -> None:
    """Boot the machine from what the guest image holds, since it could not go on from the kept guest."""
    spec = step.spec
    _put_back(step.disk)
    context.domains.start(spec.id, subject=spec.name)
    why = error.message if isinstance(error, LabError) else _("its file is of a kind that is not known here")
    context.tell(_("{name} could not go on from the memory, it boots instead: {why}").format(name=spec.name, why=why))
