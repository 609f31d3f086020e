"""How clones go on from a snapshot's memory, each under its own identity; a clone that cannot boots instead.

All are restored first and stay paused, then all go on: so none takes the CPU from those still being restored.
Knows: the rooms below. Must not know: the order of steps, the journal.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from labkit.engine.agent_channel import agent_channel
from labkit.engine.context import Context
from labkit.errors import Cancelled, ConnectionLost, GuestSilent, LabError, TimedOut, WrongState
from labkit.guest import agent
from labkit.guest.agent import Channel
from labkit.hypervisor import instant
from labkit.hypervisor.clone_xml import clone_memory_xml
from labkit.hypervisor.record_xml import settle_xml
from labkit.hypervisor.sockets import place_sockets
from labkit.language import _, ngettext
from labkit.limits import Limit
from labkit.model.lineage import LineageNode, NodeKind
from labkit.model.machine import MachineSpec, MachineState
from labkit.model.points import span
from labkit.model.state import LabState
from labkit.plans.steps import CopyMemory, InstantStep, WakeClones
from labkit.storage import files, headers, memory_file
from labkit.storage.memory_file import MemoryHeader

ANSWERS_WITHIN = 60.0
"""Seconds in which a guest that goes on must be told who it is."""

_SEED_BYTES = 256
_RENEW = "/bin/labkit-renew"


def do(step: InstantStep, context: Context) -> None:
    """Carry a step out."""
    match step:
        case CopyMemory():
            files.copy_file(Path(step.source), Path(step.target), on_bytes=context.on_bytes, limit=context.limit)
        case WakeClones():
            _wake(step, context)
        case _:
            assert_never(step)


def is_done(step: InstantStep, _state: LabState) -> bool:
    """Whether a step has been carried out."""
    match step:
        case CopyMemory():
            return Path(step.target).exists()
        case WakeClones():  # never the commit point, and may be repeated
            return False
        case _:
            assert_never(step)


def undo(step: CopyMemory, _context: Context) -> None:
    """Undo a step."""
    files.delete_files([step.target])


def _wake(step: WakeClones, context: Context) -> None:
    """Let the clones go on; those that run already are only told who they are.

    When it is cancelled or its time is up, clones that still wait stay off, and a remark says so; nothing is lost.
    """
    woken: list[MachineSpec] = []
    whole = sum(spec.memory for spec in step.specs)
    for number, spec in enumerate(step.specs):
        context.on_bytes(number * spec.memory, whole)
        try:
            context.limit.check()
        except (Cancelled, TimedOut) as stopped:
            context.tell(_say_who_stays_off(step.specs[number:], stopped.message))
            break
        if context.has_guest(spec.id) or _restore(step, spec, context):
            instant.define_again(context.domains.connection, step.source_id, step.snapshot, spec)
            woken.append(spec)
    else:
        context.on_bytes(whole, whole)
    for spec in woken:
        if context.domains.state(spec.id)[0] is MachineState.PAUSED:
            context.domains.resume(spec.id, subject=spec.name)
    told = [spec for spec in woken if spec.agent]
    if told:
        with ThreadPoolExecutor(max_workers=min(len(told), 2 * (os.cpu_count() or 1))) as pool:
            for sentence in pool.map(lambda spec: _tell(step, spec, context), told):
                if sentence:
                    context.tell(sentence)


def _say_who_stays_off(specs: Sequence[MachineSpec], why: str) -> str:
    names = span(LineageNode(NodeKind.MACHINE, spec.name) for spec in specs)
    return ngettext(
        "{names} is there and stays off, it boots when it is started: {why}",
        "{names} are there and stay off, they boot when they are started: {why}",
        len(specs),
    ).format(names=names, why=why)


def _restore(step: WakeClones, spec: MachineSpec, context: Context) -> bool:
    """Restore the memory into a clone, paused; returns whether that worked. If not, it boots, and a remark says so."""
    try:
        _restore_memory(step, spec, context)
    except ConnectionLost:
        raise
    except (LabError, ValueError, OSError) as error:
        why = error.message if isinstance(error, LabError) else _("its file is of a kind that is not known here")
        context.tell(_boot(spec, context, why))
        return False
    return True


def _restore_memory(step: WakeClones, spec: MachineSpec, context: Context) -> None:
    if not all(headers.is_blank(Path(disk.path)) for disk in spec.disks):
        raise WrongState(_("its disks have been written to since."))
    header = memory_file.read_header(Path(step.memory))
    memory_file.exchange_header(Path(step.copy), _of_clone(header, spec, context.domains.connection.runtime))
    if not instant.is_memory_of(context.domains.connection, step.copy, spec):
        raise ValueError("libvirt reads something else")
    instant.restore(context.domains.connection, step.copy, spec)


def _of_clone(header: MemoryHeader, spec: MachineSpec, runtime: Path | None) -> MemoryHeader:
    return replace(header, xml=place_sockets(clone_memory_xml(settle_xml(header.xml), spec), runtime))


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


def _tell(step: WakeClones, spec: MachineSpec, context: Context) -> str | None:
    """Tell a guest who it is, and set its clock; returns a remark if that fails."""
    limit = Limit(ANSWERS_WITHIN, what=_("Waiting for {name}").format(name=spec.name))
    sentence = _("{name} runs, but takes itself for the original until it boots: it could not be told ({why}).")
    channel = agent_channel(context.domains, spec.id, spec.name)
    try:
        _wait_for_agent(channel, limit)
        if step.renew:
            told = agent.run(channel, [_RENEW, spec.name, spec.id], limit=limit, stdin=os.urandom(_SEED_BYTES))
            if not told:
                return sentence.format(name=spec.name, why=told.stderr.strip())
        sentence = _("The clock of {name} could not be set ({why}).")
        instant.set_clock(context.domains.connection, spec)
    except ConnectionLost:
        raise
    except LabError as error:
        if not context.has_guest(spec.id):
            sentence = _("{name} is off: its guest has ended meanwhile.")
        return sentence.format(name=spec.name, why=error.message)
    return None


def _wait_for_agent(channel: Channel, limit: Limit) -> None:
    while True:
        try:
            return agent.ping(channel, timeout=2)
        except (GuestSilent, TimedOut):
            if limit.reached:
                raise
