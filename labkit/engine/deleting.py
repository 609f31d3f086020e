"""Deleting what an act made unneeded; whether it still is gets decided right before, under the lab's lock.

A plan names what will be unneeded. Before that is deleted others may have acted: another kernel, virsh, somebody who
brought a backup back. So the lab is read again, and a file that somebody needs, that another act names or that a
process has open stays, and a remark says so. Recovery does the same, since the plan of an interrupted act may be old.

Knows: the rooms below, the journal. Must not know: which act it is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

from labkit.engine import seals
from labkit.engine.context import Context
from labkit.engine.journal import find_named, read_entries
from labkit.engine.locks import lab_lock
from labkit.errors import LabError
from labkit.language import _
from labkit.model.state import LabState
from labkit.plans.reclaim import Need, sort_out
from labkit.storage import files
from labkit.storage.atomic import is_draft_folder
from labkit.storage.image_locks import is_held

PATIENCE = 120.0
"""Seconds to wait for the lab's lock, whose holder is planning, or ending interrupted acts."""


def delete_unneeded(paths: Iterable[str], context: Context) -> None:
    """Delete those of some files that nobody needs; a remark names those that stay. It may be called again.

    Raises:
        Busy: others hold the lab's lock for too long. HostTrouble: a file cannot be deleted.
    """
    wanted = tuple(paths)
    there = [path for path in wanted if os.path.lexists(path)]
    if not there:
        seals.break_seals(wanted)
        return
    lock = nullcontext() if context.has_lab_lock else lab_lock(context.workspace.locks, timeout=PATIENCE)
    with lock:
        others = () if context.whole_lab else read_entries(context.workspace.journal, but=context.entry)
        state = context.read()
        verdict = sort_out(state, there, find_named(others))
        spared = dict(verdict.spared) | dict.fromkeys(_held(state, verdict.doomed), Need.HELD)
        spared |= {path: Need.FOLDER for path in verdict.doomed if _is_somebodys_folder(path)}
        _delete(path for path in there if path not in spared)
        seals.break_seals(path for path in wanted if path not in spared)
    for path, reason in spared.items():
        context.spare(path)
        context.tell(_stays(path, reason))


def _delete(paths: Iterable[str]) -> None:
    for path in map(Path, paths):
        if is_draft_folder(path):
            with files.host_errors(path):
                shutil.rmtree(path)
        elif _is_folder(path):
            with files.host_errors(path):
                path.rmdir()
        else:
            files.delete_files([str(path)])


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_somebodys_folder(path: str) -> bool:
    """Whether it is a folder with something in it that labkit did not make."""
    return not is_draft_folder(Path(path)) and _is_folder(Path(path)) and bool(os.listdir(path))


def _held(state: LabState, paths: Iterable[str]) -> frozenset[str]:
    """Those of some files that a process has open, with the other files of their images."""
    held = {path for path in paths if is_in_use(path)}
    parts = (image.files for image in state.images.values() if held.intersection(image.files))
    return frozenset(held).union(*parts)


def is_in_use(path: str) -> bool:
    """Whether a process has a file open as an image, as far as that can be seen."""
    try:
        return is_held(path)
    except LabError:
        return False  # nobody can read it, so nobody uses it; deleting may still fail


def _stays(path: str, reason: Need) -> str:
    name = Path(path).name
    return {
        Need.NAMED: _("{file} stays: a machine or a snapshot needs it."),
        Need.ACT: _("{file} stays: another act is at work with it."),
        Need.BELOW: _("{file} stays: other files stand on it."),
        Need.HELD: _("{file} stays: a process has it open."),
        Need.FOLDER: _("{file} stays: it is a folder with files in it. Move them out, or remove it yourself."),
    }[reason].format(file=name)
