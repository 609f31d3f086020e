"""The stored domains and snapshots of an instance that cannot be asked, read from its folder.

    CONFIG/libvirt/qemu    NAME.xml  snapshot/NAME/SNAPSHOT.xml  save/NAME.save

libvirt keeps them there for its next start. Knows: these files. Must not know: connections, labs' folders.
"""

from __future__ import annotations

from pathlib import Path

from lxml import etree

from labkit.hypervisor.domain_xml import parse, parse_domain_xml
from labkit.hypervisor.process import find_pid
from labkit.hypervisor.snapshot_reading import make_tree
from labkit.hypervisor.snapshot_xml import parse_snapshot_xml
from labkit.model.machine import MachineFacts, MachineState, Reason
from labkit.model.snapshot import SnapshotTree


def read_definitions(config: Path, lab_id: str) -> tuple[dict[str, MachineFacts], dict[str, SnapshotTree]]:
    """Return a lab's machines and their snapshots, by name; a guest that has a process counts as running.

    Args:
        config: the instance's folder for definitions.
    """
    folder = config / "libvirt" / "qemu"
    machines: dict[str, MachineFacts] = {}
    trees: dict[str, SnapshotTree] = {}
    for path in sorted(folder.glob("*.xml")):
        spec = parse_domain_xml(path.read_text())
        if spec is None or spec.lab_id != lab_id:
            continue
        running = find_pid(spec.id) is not None
        saved = (folder / "save" / f"{path.stem}.save").exists()
        state = MachineState.RUNNING if running else MachineState.SAVED if saved else MachineState.OFF
        machines[spec.name] = MachineFacts(
            spec=spec, live=spec if running else None, state=state, reason=Reason.UNKNOWN
        )
        texts = [each.read_text() for each in sorted((folder / "snapshot" / path.stem).glob("*.xml"))]
        nodes = {facts.name: facts for facts in map(parse_snapshot_xml, texts) if facts is not None}
        if nodes:
            trees[spec.name] = make_tree(nodes, next(filter(None, map(_current, texts)), None))
    return machines, trees


def _current(xml: str) -> str | None:
    """Return a snapshot's name if its file says that the current state began from it, else None."""
    snapshot: etree._Element = parse(xml)
    return snapshot.findtext("name") if snapshot.findtext("active") == "1" else None
