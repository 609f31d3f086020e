"""Is a guest really held to the limit of its disk? Counted while it works, not read from a definition.

    a.throttle("quick", iops=20)
    measure_limit(a, "quick")

Knows: machines of a lab. Must not know: how a limit is set, or counted.
"""

from __future__ import annotations

import time

from labkit.disk import Disk
from labkit.errors import WrongState
from labkit.experiments.given import checked, find_target
from labkit.language import _
from labkit.machine import Machine
from labkit.model.limit_check import LimitCheck
from labkit.model.usage import DiskLimits


@checked
def measure_limit(machine: Machine, disk: Disk | str, *, seconds: float = 3) -> LimitCheck:
    """Count what a running guest asks of one of its disks in a while, reads and writes, against the disk's limit.

    Raises:
        NotFound: the machine has no such disk. WrongState: the disk has no limit, or the machine is not running.
    """
    target = find_target(machine, disk)
    name = next(each.name for each in machine.facts.spec.disks if each.target == target)
    limit = machine.limits.get(name, DiskLimits())
    if not (limit.iops or limit.bytes_per_second):
        raise WrongState(
            _("{disk} of {machine} has no limit.").format(disk=name, machine=machine.name),
            _("Give it one: {call}.").format(call=f'vm.throttle("{name}", iops=50)'),
        )
    began, before = time.monotonic(), _count(machine, target, limit)
    time.sleep(seconds)
    done = _count(machine, target, limit) - before
    return LimitCheck(
        iops=limit.iops,
        bytes_per_second=0 if limit.iops else limit.bytes_per_second,
        done=done,
        seconds=time.monotonic() - began,
    )


def _count(machine: Machine, target: str, limit: DiskLimits) -> int:
    """Return the requests, or bytes, of a disk since its guest was started."""
    usage = machine.lab.usage().get(machine.id)
    disk = next((disk for disk in usage.disks if disk.target == target), None) if usage else None
    if disk is None:
        raise WrongState(
            _("{machine} is not running: nothing is counted.").format(machine=machine.name), _("Start it: vm.start().")
        )
    return disk.reads + disk.writes if limit.iops else disk.read_bytes + disk.written_bytes
