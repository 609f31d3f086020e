"""The kernels and initramfs that a lab's machines boot from, kept in its folder too: without them it is not the lab.

    home/boot/0123456789abcdef-vmlinuz    a further name of the file in the data folder where the file system can

A name begins with the hash of what is in the file, so a file of the same name is the same file.
Knows: files. Must not know: libvirt's calls, plans.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from labkit.errors import LabError
from labkit.hypervisor.record_trust import is_readable
from labkit.hypervisor.record_xml import find_boot_file, find_boot_files
from labkit.limits import unheard
from labkit.model.record import LabRecord, MachineRecord
from labkit.storage.files import copy_file
from labkit.storage.guest_images import is_as_named


def boot_folder(home: Path) -> Path:
    """Return where a lab keeps them."""
    return home / "boot"


def keep_boot_files(home: Path, record: LabRecord) -> None:
    """Keep in a lab's folder what its machines boot from, and no more than that; what cannot be kept is passed over."""
    needed = _find_needed(record.machines)
    folder = boot_folder(home)
    there = {path.name for path in folder.glob("*")}
    for name in sorted(needed.keys() - there):
        if needed[name].exists() and needed[name].parent != folder:
            folder.mkdir(mode=0o700, exist_ok=True)
            _put(needed[name], folder / name)
    for name in there - needed.keys():
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()  # where nothing is left in it


def bring_boot_files(home: Path, images: Path, machines: Iterable[MachineRecord]) -> None:
    """Give this computer's data folder the boot files that these machines need and it lacks."""
    for name, path in _find_needed(machines).items():
        kept, target = boot_folder(home) / name, images / "blobs" / name
        if find_boot_file(images, str(path)) is None and kept.exists() and is_as_named(kept):
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _put(kept, target)


def _find_needed(machines: Iterable[MachineRecord]) -> dict[str, Path]:
    paths = [Path(path) for machine in machines if is_readable(machine) for path in find_boot_files(machine)]
    return {path.name: path for path in paths}


def _put(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no such thing or another holds it."""
    with contextlib.suppress(FileExistsError):
        try:
            os.link(source, target)
        except FileExistsError:
            raise
        except OSError:
            with contextlib.suppress(LabError):  # no room: the machine starts all the same, where it is
                copy_file(source, target, on_bytes=unheard)
