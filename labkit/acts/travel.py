"""Machines that travel: to another hypervisor instance, into a file, out of a file; methods of `Machine` and `Lab`.

Each turns what a person wrote into a request and returns the plan.
Knows: plans, surveys. Must not know: the façade, how a plan is carried out.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from labkit.acts.act import OfLab, OfMachine
from labkit.acts.names import side_of
from labkit.engine import archives
from labkit.engine.survey_travel import survey_export, survey_import, survey_migration
from labkit.language import _
from labkit.plans import exporting, importing
from labkit.plans import migration as migration_plans
from labkit.plans.clone_request import Identity
from labkit.plans.plan import Plan
from labkit.units import check_choice, check_name, check_path


def migrate(machine: OfMachine, to: OfLab, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Move the machine to another hypervisor instance; a running guest goes on there.

    Its disks stay where they are, since both instances see them; its snapshots come along. This object follows it.

    Args:
        to: the lab as opened on the other side, e.g. `lab.neighbour()`.
        timeout: seconds; when they are over the guest stays here and goes on. One that has already moved when the
            migration is stopped goes on there, and a sentence says so.

    Raises:
        BadInput: not a lab. Refused: see `.plan(...).refusal`.
    """
    other = side_of(to)
    state, name = machine.handle.find()
    survey = survey_migration(machine.handle.session, other, state, name)
    return migration_plans.plan_migrate(state, survey, name)


def export(machine: OfMachine, file: str | Path, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Write the machine, which is off, with all its snapshots into one file: `lab.import_machine` brings it back.

    The file is a tar archive. For a linked clone it also holds the images that the clone stands on, so it needs nothing
    else.

    Args:
        file: where to; there must be none of that name. timeout: seconds.

    Returns:
        The file's path.

    Raises:
        Refused: see `.plan(...).refusal`.
    """
    target = check_path(file, what="file")
    state, name = machine.handle.find()
    survey = survey_export(machine.handle.session, state, name, target)
    return exporting.plan_export(state, survey, name, str(target))


def import_machine(
    lab: OfLab,
    file: str | Path,
    name: str | None = None,
    *,
    identity: str = "keep",
    timeout: float | None = None,  # noqa: ARG001 — used by the call, not by the plan
) -> Plan:
    """Make a machine of this lab from an archive that `vm.export` wrote, with its snapshots.

    Args:
        file: the archive. name: of the machine; None: the one it had.
        identity: "keep": it is the same machine; "new": it is another one, and the guest takes its new name when it
            next boots.
        timeout: seconds.

    Returns:
        The machine, off.

    Raises:
        NotFound: no such file. BadInput: an archive that is damaged, cut short or not to be trusted; nothing of it
            is kept. Refused: see `.plan(...).refusal`.
    """
    path = check_path(file, what="file")
    who = check_choice(Identity, identity, what="identity")
    manifest = archives.inspect_archive(path)
    chosen = check_name(manifest.machine if name is None else name, what=_("machine"))
    new = who is Identity.NEW
    fresh = archives.ArrivalIdentity(
        name=chosen, id=str(uuid.uuid4()) if new else None, genid=str(uuid.uuid4()) if new else None
    )
    state = lab.session.read()
    survey, arrival = survey_import(lab.session, state, path, manifest, fresh)
    return importing.plan_import(state, survey, arrival)
