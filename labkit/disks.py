"""`Disks`: the disks of a lab by name, and the acts that bring new ones. It holds no state.

Knows: the session. Must not know: libvirt's calls, widgets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from labkit.acts.act import act
from labkit.acts.names import find_disk
from labkit.disk import Disk
from labkit.engine.session import Session
from labkit.engine.survey_disks import inspect_file, survey_disks
from labkit.language import _
from labkit.model.image import Allocation, Format
from labkit.plans import disk as plans
from labkit.plans.plan import Plan
from labkit.units import check_choice, check_name, check_path, parse_size


class Disks(Mapping[str, Disk]):
    """The disks of a lab by name, attached and free, read afresh at every look."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def _after_create(self, plan: Plan, timeout: float | None) -> Disk:
        self.session.carry_out(plan, timeout=timeout)
        return Disk(self.session, plan.subject)

    @act(_after_create)
    def create(
        self,
        name: str,
        *,
        capacity: str | int,
        format: str = "qcow2",
        allocation: str = "dynamic",
        cluster_size: str | int | None = None,
        extended_l2: bool = False,
        timeout: float | None = None,  # noqa: ARG002 — used by the call, not by the plan
    ) -> Plan:
        """Create an empty disk.

        Args:
            name: 1 to 60 characters. capacity: what a guest will see, e.g. "64 MiB", a multiple of 512 bytes.
            format: raw, qcow2, vdi, vmdk, vhd or vhdx (which no machine can use, see `vm.attach.plan(...).refusal`).
            allocation: "fixed": written with zeros all through now; "dynamic": grows as a guest writes.
            cluster_size: of qcow2, e.g. "64 KiB". extended_l2: subclusters of qcow2.

        Raises:
            BadInput: something that cannot be used. Refused: see `.plan(...).refusal`.
        """
        request = plans.DiskRequest(
            name=check_name(name, what=_("disk")),
            capacity=parse_size(capacity, what=_("capacity")),
            format=check_choice(Format, format, what="format"),
            allocation=check_choice(Allocation, allocation, what="allocation"),
            cluster_size=None if cluster_size is None else parse_size(cluster_size, what="cluster_size"),
            extended_l2=extended_l2,
        )
        return plans.plan_create(self.session.read(), survey_disks(self.session), request)

    @act(_after_create)
    def import_file(
        self,
        path: str | Path,
        name: str,
        *,
        format: str | None = None,
        allocation: str = "dynamic",
        timeout: float | None = None,  # noqa: ARG002
    ) -> Plan:
        """Make a disk of an image file somebody brought; the file is inspected first and stays as it is.

        Args:
            path: the file. name: the new disk's. format: what the file is said to be; None: its own header decides.

        Raises:
            BadInput: not an image, or not what it is said to be. Refused: see `.plan(...).refusal`.
        """
        checked = check_name(name, what=_("disk"))
        said = check_choice(Format, format, what="format") if format else None
        image = inspect_file(check_path(path, what="path"), said)
        kind = check_choice(Allocation, allocation, what="allocation")
        return plans.plan_import(self.session.read(), survey_disks(self.session), image, checked, image.format, kind)

    def __getitem__(self, name: object) -> Disk:
        return Disk(self.session, find_disk(self.session.read(), name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.session.read().disks)

    def __len__(self) -> int:
        return len(self.session.read().disks)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.session.read().disks

    def __repr__(self) -> str:
        return "\n".join(repr(Disk(self.session, name)) for name in self) or _("no disks")
