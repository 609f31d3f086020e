"""The acts of clones: clone, flatten, relink. `Machine` offers them as methods.

Each turns what a person wrote into a request, draws the ids, and returns the plan.
Knows: plans, surveys. Must not know: the façade, how a plan is carried out.
"""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from labkit.acts.act import OfMachine
from labkit.engine.survey_clones import survey_clones, survey_flatten, survey_relink
from labkit.errors import BadInput, NotFound
from labkit.language import _
from labkit.plans import clone as clone_plans
from labkit.plans import flatten as flatten_plans
from labkit.plans.clone_request import CloneKind, CloneRequest, Identity, NewClone
from labkit.plans.plan import Plan
from labkit.units import Shown, check_choice, check_count, check_name, check_path

_NUMBERED = re.compile(r"[^{}]*\{(?::0?[1-9]?d?)?\}[^{}]*")


def clone(
    machine: OfMachine,
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
    """Make a clone of it, or many; it may run meanwhile. A clone is off at first, unless it is an instant one.

    Args:
        name: the clone's; with `count` a pattern such as "seat-{:02}", numbered from 1.
        kind: "full": its disks are copied, it stands alone; "linked": its disks are differencing images on a
            snapshot, made at once. snapshot: what to clone; None: as it is now (a linked clone takes a snapshot).
        identity: "new", or "keep": the guest takes itself for the original, a twin. count: how many.
        snapshots: whether a full clone gets the whole tree of snapshots.
        reflink: whether copied files share blocks with the original where the file system can.
        instant: whether linked clones run at once: each goes on from the memory of the snapshot, under its own name.
            One that cannot do so boots instead, and a sentence says so.
        timeout: seconds.

    Returns:
        The clone; with `count` the list of them.

    Raises:
        BadInput: a name, choice or number that cannot be used. Refused: see `.plan(...).refusal`.
    """
    state, source = machine.handle.find()
    request = CloneRequest(
        machine=source,
        clones=tuple(
            NewClone(name=each, id=str(uuid.uuid4()), genid=str(uuid.uuid4())) for each in _names(name, count)
        ),
        many=count is not None,
        kind=check_choice(CloneKind, kind, what="kind"),
        snapshot=snapshot,
        identity=check_choice(Identity, identity, what="identity"),
        snapshots=snapshots,
        reflink=reflink,
        instant=instant,
    )
    return clone_plans.plan_clone(state, survey_clones(machine.handle, state, request), request)


def flatten(machine: OfMachine, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Let a linked clone stand alone: what it still reads from its original is copied into its own images.

    It may be running if it has no snapshots of its own; else it must be off.

    Raises:
        Refused: see `.plan(...).refusal`.
    """
    state, name = machine.handle.find()
    survey = survey_flatten(machine.handle.session, state)
    return flatten_plans.plan_flatten(state, survey, name)


def relink(machine: OfMachine, disk: str, file: str | Path, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Bring back an image below a disk that is gone or was changed, from a file that is proven to hold the same.

    Args:
        disk: the disk's name, or what the guest calls it. file: where a copy of the image is; it stays there.

    Raises:
        NotFound: no such file. Refused: see `.plan(...).refusal`.
    """
    state, name = machine.handle.find()
    folder = machine.handle.workspace.disks
    path = next((each for each in (check_path(file, what="file"), folder / Path(file).name) if each.is_file()), None)
    if path is None:
        raise NotFound(_("There is no file {file}.").format(file=str(file)), _("Look where it was moved to."))
    survey = survey_relink(machine.handle.session, state, path)
    return flatten_plans.plan_relink(state, survey, name, disk, str(path.absolute()))


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
