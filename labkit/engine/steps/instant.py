"""How clones go on from a snapshot's memory, each under its own identity; a clone that cannot boots instead.

All are restored first and stay paused, then all go on: so none takes the CPU from those still being restored.
Knows: the rooms below. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import assert_never

from labkit.engine import mapping, seals
from labkit.engine.context import Context
from labkit.engine.waking import tell
from labkit.errors import Cancelled, ConnectionLost, LabError, TimedOut, WrongState
from labkit.hypervisor import instant, mapped
from labkit.language import _, ngettext
from labkit.limits import unheard
from labkit.model.lineage import LineageNode, NodeKind
from labkit.model.machine import MachineSpec, MachineState
from labkit.model.points import span
from labkit.model.state import LabState
from labkit.plans.steps import CopyMemory, InstantStep, MapMemory, WakeClones
from labkit.storage import atomic, files, headers, memory_file

MOST_AT_ONCE = 8
"""How many guests at most get their memory at the same time, if there are as many CPUs."""


def do(step: InstantStep, context: Context) -> None:
    """Carry a step out."""
    match step:
        case CopyMemory():
            files.copy_file(Path(step.source), Path(step.target), on_bytes=context.on_bytes, limit=context.limit)
        case MapMemory():
            _map_memory(step, context)
        case WakeClones():
            _wake(step, context)
        case _:
            assert_never(step)


def is_done(step: InstantStep, _state: LabState) -> bool:
    """Whether a step has been carried out."""
    match step:
        case CopyMemory():
            return Path(step.target).exists()
        case MapMemory():
            return mapping.is_whole(Path(step.memory))
        case WakeClones():  # never the commit point, and may be repeated
            return False
        case _:
            assert_never(step)


def undo(step: CopyMemory | MapMemory, _context: Context) -> None:
    """Undo a step."""
    match step:
        case CopyMemory():
            files.delete_files([step.target])
        case MapMemory():
            for path in step.files:
                atomic.discard(Path(path))
            files.delete_files(step.files)
            seals.break_seals(step.files)
        case _:
            assert_never(step)


def _map_memory(step: MapMemory, context: Context) -> None:
    """Make the files to map a memory; if that fails, the clones read the memory, and remarks then say so."""
    with contextlib.suppress(ValueError):
        mapping.make(Path(step.memory), on_bytes=context.on_bytes, limit=context.limit)


def _wake(step: WakeClones, context: Context) -> None:
    """Let the clones go on; those that run already are only told who they are.

    When it is cancelled or its time is up, clones that still wait stay off, and a remark says so; nothing is lost.
    """
    try:
        woken = _restore_all(step, context)
    finally:
        if step.mapped:
            files.delete_files([step.copy])
    for spec in woken:
        if context.domains.state(spec.id)[0] is MachineState.PAUSED:
            context.domains.resume(spec.id, subject=spec.name)
    told = [spec for spec in woken if spec.agent]
    if told:
        with ThreadPoolExecutor(max_workers=min(len(told), 2 * (os.cpu_count() or 1))) as pool:
            for sentence in pool.map(lambda spec: tell(spec, context, renew=step.renew), told):
                if sentence:
                    context.tell(sentence)


def _restore_all(step: WakeClones, context: Context) -> list[MachineSpec]:
    """Give the clones the memory, paused, as many at once as there are CPUs; returns those that have got it.

    Clones that read it do so one after the other, since each must first write its definition into the same file.
    """
    woken: list[MachineSpec] = []
    whole, done = sum(spec.memory for spec in step.specs), 0
    waiting, reading = list(step.specs), threading.Lock()
    at_once = min(os.cpu_count() or 1, MOST_AT_ONCE) if step.mapped else 1
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        begun: dict[Future[bool], MachineSpec] = {}
        while waiting or begun:
            context.on_bytes(done, whole)
            if waiting and len(begun) < at_once:
                try:
                    context.limit.check()
                except (Cancelled, TimedOut) as stopped:
                    context.tell(_say_who_stays_off(waiting, stopped.message))
                    waiting.clear()
                else:
                    spec = waiting.pop(0)
                    begun[pool.submit(_restore, step, spec, context, reading)] = spec
                    continue
            for future in wait(begun, return_when=FIRST_COMPLETED).done if begun else ():
                spec = begun.pop(future)
                done += spec.memory
                if future.result():
                    woken.append(spec)
    context.on_bytes(done, whole)
    return [spec for spec in step.specs if spec in woken]


def _say_who_stays_off(specs: Sequence[MachineSpec], why: str) -> str:
    names = span(LineageNode(NodeKind.MACHINE, spec.name) for spec in specs)
    return ngettext(
        "{names} is there and stays off, it boots when it is started: {why}",
        "{names} are there and stay off, they boot when they are started: {why}",
        len(specs),
    ).format(names=names, why=why)


def _restore(step: WakeClones, spec: MachineSpec, context: Context, reading: threading.Lock) -> bool:
    """Restore the memory into a clone, paused; returns whether that worked. If not, it boots, and a remark says so."""
    if context.has_guest(spec.id):
        if not mapped.is_waiting(context.domains.connection, spec.id):
            instant.define_again(context.domains.connection, step.source_id, step.snapshot, spec)
            return True
        mapped.end(context.domains.connection, spec.id)  # the process that woke it ended in between
    try:
        if not all(headers.is_blank(Path(disk.path)) for disk in spec.disks):
            raise WrongState(_("its disks have been written to since."))
        if not (step.mapped and _map(step, spec, context)):
            with reading:
                _read(step, spec, context)
    except ConnectionLost:
        raise
    except (LabError, ValueError, OSError) as error:
        context.tell(_boot(spec, context, _say(error)))
        return False
    return True


def _map(step: WakeClones, spec: MachineSpec, context: Context) -> bool:
    """Let a clone map the memory; returns whether it could. If not, a remark says that it reads the memory instead."""
    connection, memory = context.domains.connection, Path(step.memory)
    try:
        devices = mapping.read_devices(memory)
        xml = mapping.build_waking_xml(memory, spec, connection.runtime)
        mapped.wake(connection, spec.id, xml, devices, subject=spec.name)
    except ConnectionLost:
        raise
    except (LabError, ValueError, OSError) as error:
        sentence = _("{name} could not map the memory, it has read all of it instead: {why}")
        context.tell(sentence.format(name=spec.name, why=_say(error)))
        return False
    return True


def _read(step: WakeClones, spec: MachineSpec, context: Context) -> None:
    """Let a clone read the memory, from a copy into which its definition is written."""
    connection, memory, copy = context.domains.connection, Path(step.memory), Path(step.copy)
    if step.mapped and not copy.exists():
        files.copy_file(memory, copy, on_bytes=unheard, limit=context.limit)
    header = memory_file.read_header(memory)
    memory_file.exchange_header(copy, mapping.as_clone(header, spec, connection.runtime))
    if not instant.is_memory_of(connection, step.copy, spec):
        raise ValueError("libvirt reads something else")
    instant.restore(connection, step.copy, spec)
    instant.define_again(connection, step.source_id, step.snapshot, spec)


def _say(error: Exception) -> str:
    return error.message if isinstance(error, LabError) else _("its file is of a kind that is not known here")


def _boot(spec: MachineSpec, context: Context, why: str) -> str:
    """Start a clone that cannot go on from the memory; returns the remark about it."""
    try:
        if context.domains.state(spec.id)[0] is MachineState.OFF:
            context.domains.start(spec.id, subject=spec.name)
    except ConnectionLost:
        raise
    except LabError as error:
        return _("{name} could not go on from the memory and could not boot, it is off: {why}").format(
            name=spec.name, why=error.message
        )
    return _("{name} could not go on from the memory, it boots instead: {why}").format(name=spec.name, why=why)
