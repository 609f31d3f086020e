"""A machine's definition as libvirt's domain XML: building it, parsing it, changing an existing one.

Text in, values out; values in, text out. No connection is needed.
Knows: libvirt's domain format (https://libvirt.org/formatdomain.html). Must not know: connections, plans.
"""

from __future__ import annotations

from labkit.hypervisor.domain_xml.building import build_disk_xml, build_domain_xml, host_name, identify
from labkit.hypervisor.domain_xml.changing import (
    accelerate_in_domain_xml,
    change_domain_xml,
    rename_in_domain_xml,
    repoint_in_domain_xml,
    without_backing_chains,
)
from labkit.hypervisor.domain_xml.parsing import (
    Owner,
    find_disk_files,
    find_disk_xml,
    find_files,
    find_owner,
    find_serial_line,
    parse,
    parse_disk,
    parse_domain,
    parse_domain_xml,
    parse_limits,
    parse_owner,
)

__all__ = [
    "Owner",
    "accelerate_in_domain_xml",
    "build_disk_xml",
    "build_domain_xml",
    "change_domain_xml",
    "find_disk_files",
    "find_disk_xml",
    "find_files",
    "find_owner",
    "find_serial_line",
    "host_name",
    "identify",
    "parse",
    "parse_disk",
    "parse_domain",
    "parse_domain_xml",
    "parse_limits",
    "parse_owner",
    "rename_in_domain_xml",
    "repoint_in_domain_xml",
    "without_backing_chains",
]
