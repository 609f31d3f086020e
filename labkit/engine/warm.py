"""Guests that need no boot: of each kind of machine one is booted, and its memory and disk are kept in the data folder.

A machine that is new and of the same kind goes on from them: it gets a copy of the disk and the memory, is told who
it is and what time it is. A kind is everything that QEMU must find equal: definition, guest image, versions; where
any of it differs there is no such guest, and the machine boots.

Knows: the rooms below, the handle of a machine. Must not know: what the machine is for, the façade.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from labkit.engine.folders import data_folder
from labkit.engine.handle import Handle
from labkit.errors import GuestSilent, LabError, TimedOut
from labkit.guest import agent
from labkit.hypervisor import instant
from labkit.limits import Limit, unheard
from labkit.model.machine import MachineFacts
from labkit.storage import files, memory_file

_MOST_KINDS = 4
"""Of each is kept what its memory and disk hold: about 100 MiB."""

_READY_WITHIN, _TOLD_WITHIN = 60.0, 30.0
_RENEW, _SEED_BYTES = "/bin/labkit-renew", 256
_MEMORY, _DISK = "memory", "vda"


def wake(machine: Handle, *, who: Handle) -> bool:
    """Let a new machine that is off go on from a kept guest of its kind; whether it could. Else it is off.

    Args:
        who: which machine the guest is told that it is.
    """
    facts = machine.facts
    kept = _folder(machine, facts)
    if not _can_be_warm(facts) or not (kept / _MEMORY).is_file():
        return False
    spec, definition = facts.spec, machine.definition
    try:
        with _copy_of(kept / _MEMORY) as memory:
            header = memory_file.read_header(memory)
            memory_file.exchange_header(memory, replace(header, xml=definition))
            if not instant.is_memory_of(machine.domains.connection, str(memory), spec):
                return False
            _exchange(kept / _DISK, Path(spec.disks[0].path))
            instant.restore(machine.domains.connection, str(memory), spec)
        machine.domains.define_text(definition, subject=spec.name)  # the one in the memory has replaced it
        machine.domains.resume(machine.id, subject=spec.name)
        _tell(machine, who.facts)
    except (LabError, OSError, ValueError):
        if machine.facts.is_active:
            machine.domains.kill(machine.id)
        return False
    machine.session.executor.recorder.note_quietly()
    os.utime(kept)  # the kinds used last stay
    return True


def keep(machine: Handle) -> bool:
    """Keep the memory and the disk of a machine that has just booted; it is off then. Whether that was done."""
    facts = machine.facts
    if not _can_be_warm(facts):
        return False
    kept = _folder(machine, facts)
    try:
        machine.console.expect("root@", timeout=_READY_WITHIN)  # the agent answers before the shell stands
        files.make_private_folder(kept.parent)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=kept.parent) as draft:
            made = Path(draft) / kept.name
            made.mkdir(mode=0o700)
            agent.run(machine.channel(facts.name), "sync", limit=Limit(_TOLD_WITHIN))
            instant.save_to(machine.domains.connection, str(made / _MEMORY), facts.spec)
            files.copy_file(Path(facts.spec.disks[0].path), made / _DISK, on_bytes=unheard)
            shutil.rmtree(kept, ignore_errors=True)
            made.rename(kept)
    except (LabError, OSError):
        return False
    _forget_oldest(kept.parent)
    return True


def _can_be_warm(facts: MachineFacts) -> bool:
    return facts.spec.agent and len(facts.spec.disks) == 1


def _folder(machine: Handle, facts: MachineFacts) -> Path:
    """Return where a guest of a machine's kind is kept, whether there is one or not."""
    spec = facts.spec
    boot = spec.boot.keeping_identity(keep=False)  # it counts at a boot alone
    boot = replace(boot, kernel=_name(boot.kernel), initramfs=_name(boot.initramfs))
    kind = replace(spec, name="", id="", genid=None, lab="", lab_id="", console_log=None, disks=(), boot=boot)
    image = machine.session.read().guest_images.get(spec.image)
    told = {
        "spec": asdict(kind),
        "disk": [spec.disks[0].target, spec.disks[0].format] if spec.disks else [],
        "image": _name(os.path.realpath(image.disk)) if image else None,
        "versions": instant.versions(machine.domains.connection),
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:24]
    return data_folder() / "warm" / digest


def _name(path: str | None) -> str | None:
    """A file of a guest image is named by its content."""
    return Path(path).name if path else None


@contextmanager
def _copy_of(memory: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".waking-", dir=memory.parent.parent) as folder:
        copy = Path(folder) / _MEMORY
        files.copy_file(memory, copy, on_bytes=unheard)
        yield copy


def _exchange(source: Path, disk: Path) -> None:
    mode = disk.stat().st_mode
    draft = disk.with_name(f".warm-{disk.name}")
    try:
        files.copy_file(source, draft, on_bytes=unheard)
        draft.chmod(mode & 0o777)
        draft.replace(disk)
    finally:
        draft.unlink(missing_ok=True)


def _tell(machine: Handle, who: MachineFacts) -> None:
    """Tell a guest who it is, and set its clock."""
    channel, limit = machine.channel(machine.last_name), Limit(_READY_WITHIN)
    while True:
        try:
            agent.ping(channel, timeout=2)
            break
        except (GuestSilent, TimedOut):
            limit.check()
    agent.run(channel, [_RENEW, who.name, who.id], limit=limit, stdin=os.urandom(_SEED_BYTES))
    instant.set_clock(machine.domains.connection, machine.facts.spec)


def _forget_oldest(folder: Path) -> None:
    kinds = [each for each in folder.iterdir() if not each.name.startswith(".")]
    kinds.sort(key=lambda kind: kind.stat().st_mtime)
    for kind in kinds[:-_MOST_KINDS]:
        shutil.rmtree(kind, ignore_errors=True)
