"""Panels: what a lab is, and what can be done with it, beside the code that does the same.

Knows: the lab, the model. Must not know: libvirt, qemu-img.
"""

from labkit.widgets.clone import ClonePanel
from labkit.widgets.console import Console
from labkit.widgets.disk import DiskPanel
from labkit.widgets.doctor import DoctorPanel
from labkit.widgets.host import HostPanel
from labkit.widgets.lab import LabPanel
from labkit.widgets.lineage import LineagePanel
from labkit.widgets.machine import MachinePanel
from labkit.widgets.panel import Panel
from labkit.widgets.snapshot import SnapshotPanel

__all__ = [
    "ClonePanel",
    "Console",
    "DiskPanel",
    "DoctorPanel",
    "HostPanel",
    "LabPanel",
    "LineagePanel",
    "MachinePanel",
    "Panel",
    "SnapshotPanel",
]
