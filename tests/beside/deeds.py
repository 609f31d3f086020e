"""What one kernel of a history is told to do.

Knows: labkit's calls. Must not know: what they mean for contents.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What one kernel is told to do.

    Attributes:
        kind: of act. machine: whose. name: of the snapshot it is about. new: the name that it gives.
    """

    kind: str
    machine: str
    name: str = ""
    new: str = ""

    @property
    def code(self) -> str:
        """The call."""
        vm = f"lab.machines[{self.machine!r}]"
        return {
            "take": f"{vm}.snapshots.take({self.new!r})",
            "restore": f"{vm}.snapshots.restore({self.name!r})",
            "restore and save": f"{vm}.snapshots.restore({self.name!r}, save_current={self.new!r})",
            "delete": f"{vm}.snapshots.delete({self.name!r})",
            "delete branch": f"{vm}.snapshots.delete({self.name!r}, branch=True)",
            "delete and merge": f"{vm}.snapshots.delete({self.name!r}, merge='always')",
            "rename": f"{vm}.snapshots.rename({self.name!r}, {self.new!r})",
            "clone and drop": f"c = {vm}.clone({self.new!r}, kind='linked', snapshot={self.name!r}); c.delete()",
            "clone, flatten, drop": (
                f"c = {vm}.clone({self.new!r}, kind='linked', snapshot={self.name!r}); c.flatten(); c.delete()"
            ),
            "disk": f"d = lab.disks.create({self.new!r}, capacity='256 KiB'); {vm}.attach(d); "
            f"{vm}.detach({self.new!r}); lab.disks[{self.new!r}].delete()",
            "start and kill": f"{vm}.start().kill()",
            "there and back": f"vm = {vm}; vm.migrate(lab.neighbour()); vm.migrate(lab)",
            "look": "answer = len(lab.state.images)",
        }[self.kind]
