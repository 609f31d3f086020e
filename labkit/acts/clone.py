"""The acts of clones: clone, flatten, relink. `Machine` hangs them up by name.

Each turns what a person wrote into a request, draws the ids, and returns the plan; `acts.act` carries it out.
Knows: plans, the lab. Must not know: how a plan is carried out, libvirt.
"""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.acts.act import act
from labkit.engine import inside, seals
from labkit.engine.survey import find_broken, free_memory, survey_host
from labkit.errors import BadInput, NotFound
from labkit.language import _
from labkit.model.state import LabState
from labkit.plans import clone as clone_plans
from labkit.plans import flatten as flatten_plans
from labkit.plans.newborn import CloneKind, CloneRequest, CloneSurvey, Identity, Newborn
from labkit.plans.plan import Plan
from labkit.plans.steps import DefineClones
from labkit.printing import tell
from labkit.storage.files import can_share_blocks, free_bytes
from labkit.units import Shown, check_choice, check_count, check_name, check_path

if TYPE_CHECKING:
    from labkit.machine import Machine

_NUMBERED = re.compile(r"[^{}]*\{(?::0?[1-9]?d?)?\}[^{}]*")


def _after_clone(machine: Machine, plan: Plan, timeout: float | None) -> Machine | list[Machine]:
    from labkit.machine import Machine

    lab = machine.lab
    for remark in lab.carry_out(plan, timeout=timeout).remarks:
        tell(remark)  # the student should hear of it where the act was called
    step = next(step for step in plan.steps if isinstance(step, DefineClones))
    made = [Machine(lab, spec.id, spec.name) for spec in step.specs]
    return made if step.many else made[0]


def _after(machine: Machine, plan: Plan, timeout: float | None) -> Machine:
    machine.lab.carry_out(plan, timeout=timeout)
    return machine


@act(_after_clone)
def clone(
    machine: Machine,
    name: str,
    *,
    kind: str = "full",
    snapshot: str | None = None,
    identity: str = "new",
    count: int | None = None,
    snapshots: bool = False,
    reflink: bool = True,
    instant: bool = False,
    timeout: float | None = None,  # noqa: ARG001 — used by the call, not by the plan
) -> Plan:
    """Make a clone of it, or many; it may run meanwhile. A clone is born off, unless it is an instant one.

    Args:
        name: the clone's; with `count` a pattern such as "seat-{:02}", numbered from 1.
        kind: "full": its disks are copied, it stands alone; "linked": its disks are differencing images on a
            snapshot, made at once. snapshot: what to clone; None: as it is now (a linked clone takes a snapshot).
        identity: "new", or "keep": the guest takes itself for the original, a twin. count: how many.
        snapshots: whether a full clone gets the whole tree of snapshots.
        reflink: whether copied files share blocks with the original where the file system can.
        instant: whether linked clones run at once: each goes on from the memory of the snapshot, under its own name.
            One that cannot boots instead, and that is said.
        timeout: seconds.

    Returns:
        The clone; with `count` the list of them.

    Raises:
        BadInput: a name, choice or number that cannot be used. Refused: see `.plan(...).refusal`.
    """
    state, source = machine._find()
    request = CloneRequest(
        machine=source,
        clones=tuple(Newborn(name=each, id=str(uuid.uuid4()), genid=str(uuid.uuid4())) for each in _names(name, count)),
        many=count is not None,
        kind=check_choice(CloneKind, kind, what="kind"),
        snapshot=snapshot,
        identity=check_choice(Identity, identity, what="identity"),
        snapshots=snapshots,
        reflink=reflink,
        instant=instant,
    )
    return clone_plans.plan_clone(state, _survey(machine, state, source, request), request)


@act(_after)
def flatten(machine: Machine, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Let a linked clone stand alone: what it still reads from its original moves into its own images.

    While it runs, if it has no snapshots of its own; else off.

    Raises:
        Refused: see `.plan(...).refusal`.
    """
    state, name = machine._find()
    survey = flatten_plans.FlattenSurvey(
        free_bytes=free_bytes(machine.lab.home), changed=find_broken(machine.lab._workspace, state)
    )
    return flatten_plans.plan_flatten(state, survey, name)


@act(_after)
def relink(machine: Machine, disk: str, file: str | Path, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Bring back an image below a disk that is gone or was changed: from a file proven to hold the same.

    Args:
        disk: the disk's name, or what the guest calls it. file: where the image is now; it stays there.

    Raises:
        NotFound: no such file. Refused: see `.plan(...).refusal`.
    """
    state, name = machine._find()
    folder = machine.lab.home / "disks"
    path = next((each for each in (check_path(file, what="file"), folder / Path(file).name) if each.is_file()), None)
    if path is None:
        raise NotFound(_("There is no file {file}.").format(file=str(file)), _("Look where it was moved to."))
    info = path.stat()
    seals.complete(folder, largest=max(info.st_size, seals.HASH_SOON))
    survey = flatten_plans.RelinkSurvey(
        free_bytes=free_bytes(folder),
        size=info.st_size,
        allocated=info.st_blocks * 512,
        sha256=seals.hash_file(path),
        seals={str(folder / each): seal.sha256 for each, seal in seals.find_seals(folder).items() if seal.sha256},
        changed=find_broken(machine.lab._workspace, state),
    )
    return flatten_plans.plan_relink(state, survey, name, disk, str(path.absolute()))


def survey_clone(machine: Machine) -> CloneSurvey:
    """Return what plans of clones need measured, as far as that needs neither the guest nor its images."""
    lab = machine.lab
    return CloneSurvey(
        free_bytes=free_bytes(lab.home),
        host_memory=survey_host(lab._workspace).host_memory,
        free_memory=free_memory(),
        reflinks=can_share_blocks(lab.home / "disks"),
    )


def _names(name: str, count: int | None) -> list[str]:
    if count is None:
        return [check_name(name, what=_("machine"))]
    if type(name) is not str or not _NUMBERED.fullmatch(name):
        raise BadInput(
            _("{name!r} has no place for the clones' numbers.").format(name=Shown(name)),
            _('Write a pattern such as "seat-{:02}": seat-01, seat-02 ….'),
        )
    numbers = range(1, check_count(count, what="count") + 1)
    return [check_name(name.format(number), what=_("machine")) for number in numbers]


def _survey(machine: Machine, state: LabState, source: str, request: CloneRequest) -> CloneSurvey:
    lab = machine.lab
    copying = request.snapshot is None and state.machines[source].is_active
    return CloneSurvey(
        free_bytes=free_bytes(lab.home),
        host_memory=survey_host(lab._workspace).host_memory,
        free_memory=free_memory(),
        snapshots=machine.snapshots.survey(ask_guest=False) if request.instant else None,
        quiesce=copying and inside.answers(machine._handle),
        reflinks=request.kind is CloneKind.FULL and request.reflink and can_share_blocks(lab.home / "disks"),
        changed=find_broken(lab._workspace, state),
    )
