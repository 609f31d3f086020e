"""What an exercise leaves: its machines and disks with their files, removed before it begins again.

Knows: the lab as a student uses it, names of images. Must not know: any one exercise.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from labkit.errors import LabError
from labkit.lab import Lab
from labkit.model.disk import disk_name
from labkit.model.state import alive_among
from labkit.storage.image_locks import is_held


def clear(lab: Lab, machines: Sequence[str], disks: Sequence[str]) -> None:
    """Delete these machines and free disks, whatever state they are in, and the files that were made under their names.

    Args:
        machines: in an order in which they can be deleted. disks: by name, also those that go with the machines.
    """
    for name in machines:
        if name in lab.machines:
            machine = lab.machines[name]
            if machine.facts.is_active:
                machine.kill()
            machine.delete()
    for name in disks:
        if name in lab.disks and lab.disks[name].machine is None:
            with suppress(LabError):  # what stands on it goes below
                lab.disks[name].stop_serving().delete()
    _clear_files(lab, disks)


def _clear_files(lab: Lab, names: Sequence[str]) -> None:
    """Remove files named as images of these disks that nobody else needs: somebody made, renamed or spoiled them.

    What a machine, a snapshot (one that libvirt has forgotten, too), another disk or somebody else's domain stands on
    stays, and what a process has open.
    """
    state = lab.state
    others = {disk.active.path for disk in state.disks.values() if disk.name not in names}
    needed = alive_among(state.images, state.claims | state.remembered() | others)
    for path in (lab.home / "disks").iterdir():
        if disk_name(path.name) not in names or str(path) in needed:
            continue
        with suppress(LabError):  # what cannot even be opened stays
            if path.is_symlink() or (path.is_file() and not is_held(path)):
                path.unlink()
