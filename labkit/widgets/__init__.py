"""Panels: they show a lab and what can be done with it, beside the code that does the same.

Knows: the lab, the model. Must not know: libvirt, qemu-img.
"""

from labkit.widgets.clone.panel import ClonePanel
from labkit.widgets.console.panel import Console
from labkit.widgets.disk.panel import DiskPanel
from labkit.widgets.doctor.panel import DoctorPanel
from labkit.widgets.host.panel import HostPanel
from labkit.widgets.lab.panel import LabPanel
from labkit.widgets.lineage.panel import LineagePanel
from labkit.widgets.machine.panel import MachinePanel
from labkit.widgets.panel import Panel
from labkit.widgets.snapshot.panel import SnapshotPanel

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
