"""Attach, detach, grow and throttle the disks of a domain, in the running guest and in the definition.

Knows: libvirt's domains. Must not know: plans, images, whose act it is part of.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import libvirt

from labkit.errors import TimedOut
from labkit.hypervisor import domain_xml
from labkit.hypervisor.domains import Domains
from labkit.hypervisor.monitor import activate_images
from labkit.language import _
from labkit.limits import Limit
from labkit.model.machine import DiskSpec

_UNPLUG_LIMIT = 40.0  # seconds


def attach(domains: Domains, machine_id: str, disk: DiskSpec) -> None:
    """Attach a disk to the definition and, if there is one, to the running guest; it may be called again."""
    xml = domain_xml.build_disk_xml(disk)
    for flag, persistent in _views(domains, machine_id):
        if domain_xml.find_disk_xml(domains.xml(machine_id, persistent=persistent), disk.target) is None:
            domains.on(machine_id, partial(_attach_device, xml, flag))


def detach(domains: Domains, machine_id: str, target: str, limit: Limit) -> None:
    """Detach a disk from the running guest, wait until the guest has released it, then from the definition.

    Raises:
        TimedOut: the guest does not release it; it stays attached.
    """
    for flag, persistent in _views(domains, machine_id):
        xml = domain_xml.find_disk_xml(domains.xml(machine_id, persistent=persistent), target)
        if xml is None:
            continue
        domains.on(machine_id, partial(_detach_device, xml, flag))
        if persistent:
            continue

        def has_gone() -> bool | None:
            live = domains.xml(machine_id, persistent=False)
            return True if domain_xml.find_disk_xml(live, target) is None else None

        if domains.wait_for(has_gone, Limit(min(limit.left, _UNPLUG_LIMIT))) is None:
            raise TimedOut(
                _("The guest does not let go of {target}.").format(target=target),
                _("Is it still booting, or using the disk? Unmount it inside, or stop the machine first."),
            )


def grow_disk(domains: Domains, machine_id: str, target: str, capacity: int) -> None:
    """Give a running guest's disk more capacity (bytes)."""
    flags = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES

    def grow(domain: libvirt.virDomain) -> None:
        activate_images(domain)
        domain.blockResize(target, capacity, flags)

    domains.on(machine_id, grow)


def throttle(domains: Domains, machine_id: str, target: str, *, iops: int, bytes_per_second: int, subject: str) -> None:
    """Limit a disk's requests and bytes per second, now and from every start; 0 is no limit."""
    limits = {"total_iops_sec": iops, "total_bytes_sec": bytes_per_second}
    for flag, _persistent in _views(domains, machine_id):
        domains.on(machine_id, partial(_tune_disk, target, limits, flag), subject=subject)


def _views(domains: Domains, machine_id: str) -> tuple[tuple[int, bool], ...]:
    """The flags to change a domain with: the running guest first, then the definition."""
    config = (libvirt.VIR_DOMAIN_AFFECT_CONFIG, True)
    active = domains.on(machine_id, lambda domain: bool(domain.isActive()))
    return ((libvirt.VIR_DOMAIN_AFFECT_LIVE, False), config) if active else (config,)


def _attach_device(xml: str, flag: int, domain: libvirt.virDomain) -> None:
    domain.attachDeviceFlags(xml, flag)


def _detach_device(xml: str, flag: int, domain: libvirt.virDomain) -> None:
    domain.detachDeviceFlags(xml, flag)


def _tune_disk(target: str, limits: Mapping[str, int], flag: int, domain: libvirt.virDomain) -> None:
    domain.setBlockIoTune(target, dict(limits), flag)
