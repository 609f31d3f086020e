"""How much of the host a machine may use: the CPU it is bound to, how fast its disks work.

As for a switch, there is no plan and no journal. Knows: the handle of a machine. Must not know: the façade, libvirt.
"""

from __future__ import annotations

from collections.abc import Mapping

from labkit.engine.handle import Handle
from labkit.errors import BadInput, NotFound
from labkit.hypervisor import disks
from labkit.hypervisor.domain_xml import parse_limits
from labkit.language import _
from labkit.model import switch_excuses as excuses
from labkit.model import ways
from labkit.model.usage import DiskLimits

MOST_REQUESTS = 10**9
"""The highest limit of requests a second; no disk comes near it."""


def pin(machine: Handle, cpu: int | None, *, host_cpus: int) -> None:
    """Bind all its vCPUs to one CPU of the host; None: let them run on any.

    Raises:
        BadInput: the host has no such CPU. WrongState: it is saved.
    """
    if cpu is not None and (cpu not in range(host_cpus)):
        raise BadInput(
            _("This host has no CPU {cpu!r}.").format(cpu=cpu),
            _("Its CPUs are numbered 0 to {last}.").format(last=host_cpus - 1),
        )
    with machine.switching(excuses.why_not_pin, ways.ways_on) as name:
        machine.domains.pin(machine.id, cpu, host_cpus=host_cpus, subject=name)


def throttle(machine: Handle, disk: str, *, iops: int, bytes_per_second: int) -> None:
    """Limit how fast one of its disks works; 0 is no limit.

    Raises:
        BadInput: a number that cannot be used. NotFound: it has no such disk. WrongState: it is saved.
    """
    if not 0 <= iops <= MOST_REQUESTS:
        raise BadInput(
            _("iops={iops!r} is not a number of requests per second.").format(iops=iops),
            _("Write a whole number; 0 is no limit."),
        )
    targets = {spec.name: spec.target for spec in machine.facts.spec.disks}
    if disk not in targets:
        raise NotFound(
            _("{machine} has no disk {disk!r}.").format(machine=machine.last_name, disk=disk),
            _("It has: {names}.").format(names=", ".join(targets)),
        )
    with machine.switching(excuses.why_not_pin, ways.ways_on) as name:
        disks.throttle(
            machine.domains, machine.id, targets[disk], iops=iops, bytes_per_second=bytes_per_second, subject=name
        )


def limits(machine: Handle) -> Mapping[str, DiskLimits]:
    """Return how fast each of its disks may work, by the disk's name."""
    return parse_limits(machine.definition)


def limits_in_force(machine: Handle) -> Mapping[str, DiskLimits]:
    """Return how fast each of its disks may work now, by the disk's name; of one that is off as it is defined."""
    return parse_limits(machine.domains.xml(machine.id, persistent=False))
