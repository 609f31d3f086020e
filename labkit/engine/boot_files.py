"""The kernels and initramfs that a lab's machines boot from, kept in the lab's folder too, to make it complete.

    home/boot/0123456789abcdef-vmlinuz    a hard link to the file in the data folder, or a copy

A name begins with a hash of the content, so files of the same name are the same.
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
    """Return the folder in which a lab keeps them."""
    return home / "boot"


def keep_boot_files(home: Path, record: LabRecord) -> None:
    """Keep in a lab's folder just the files that its machines boot from; those that cannot be kept are passed over."""
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
        folder.rmdir()  # if it is empty


def bring_boot_files(home: Path, images: Path, machines: Iterable[MachineRecord]) -> None:
    """Put the boot files that these machines need and this computer's data folder lacks into that folder."""
    for name, path in _find_needed(machines).items():
        kept, target = boot_folder(home) / name, images / "blobs" / name
        if find_boot_file(images, str(path)) is None and kept.exists() and is_as_named(kept):
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _put(kept, target)


def _find_needed(machines: Iterable[MachineRecord]) -> dict[str, Path]:
    paths = [Path(path) for machine in machines if is_readable(machine) for path in find_boot_files(machine)]
    return {path.name: path for path in paths}


def _put(source: Path, target: Path) -> None:
    """Give a file a hard link, or copy it if the file system has none or is another one."""
    with contextlib.suppress(FileExistsError):
        try:
            os.link(source, target)
        except FileExistsError:
            raise
        except OSError:
            with contextlib.suppress(LabError):  # no room: here the machine starts all the same
                copy_file(source, target, on_bytes=unheard)
