"""Machines that travel: to another hypervisor instance, into a file, out of a file. `Machine` and `Lab` hang them up.

Each turns what a person wrote into a request and returns the plan; `acts.act` carries it out.
Knows: plans, the lab, its instances. Must not know: how a plan is carried out, libvirt's calls.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.acts.act import act
from labkit.engine import archives
from labkit.engine.instances import SESSION, Instances
from labkit.engine.survey import find_bad_memories, find_broken, survey_host
from labkit.errors import BadInput, LabError
from labkit.language import _
from labkit.model.machine import MachineFacts
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState
from labkit.plans import exporting, importing
from labkit.plans import migration as migration_plans
from labkit.plans.migration import MigrationSurvey
from labkit.plans.newborn import Identity
from labkit.plans.plan import Plan
from labkit.plans.steps import MigrateMachine, WriteArchive
from labkit.printing import tell
from labkit.storage.files import free_bytes
from labkit.units import Shown, check_choice, check_name, check_path

if TYPE_CHECKING:
    from labkit.lab import Lab
    from labkit.machine import Machine


def open_neighbour(lab: Lab, name: str = "neighbour") -> Lab:
    """Return the lab as it is seen from a second hypervisor instance, which is started if need be.

    See `Lab.neighbour`.
    """
    from labkit.hypervisor.connection import connect
    from labkit.hypervisor.domains import Domains

    home = lab.sides[SESSION]
    name = check_name(name, what=_("hypervisor instance"))
    known = home.sides.get(name)
    if known is not None and not known.closed and not known._connection.closed:
        return known
    instance = home._executor.instances.instance(name)
    instance.create()
    instance.start()
    connection = connect(instance.uri, start=instance.start)
    try:
        domains = Domains(connection)
        instances = Instances(lab._workspace, name, domains, home._executor.instances.session_uri)
        opened = type(lab)(lab._workspace, connection, domains, instances=instances, sides=home.sides)
    except BaseException:
        connection.release()
        raise
    home.sides[name] = opened
    return opened


def _after_migrate(machine: Machine, plan: Plan, timeout: float | None) -> Machine:
    for remark in machine.lab.carry_out(plan, timeout=timeout).remarks:
        tell(remark)  # the student should hear of it where the act was called
    steps = (step for step in plan.steps if isinstance(step, MigrateMachine))
    machine._follow(machine.lab.sides[next(steps).to])
    return machine


@act(_after_migrate)
def migrate(machine: Machine, to: Lab, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Let the machine go over to another hypervisor instance; a running guest goes on there.

    Its disks stay where they are, both see them; its snapshots come along. This object follows it.

    Args:
        to: the lab as opened on the other side, e.g. `lab.neighbour()`.
        timeout: seconds; when they are over the guest goes on here. One that has gone over before it could be
            stopped goes on there, and that is said.

    Raises:
        BadInput: not a lab. Refused: see `.plan(...).refusal`.
    """
    from labkit.lab import Lab

    if not isinstance(to, Lab):
        raise BadInput(
            _("{other!r} is not a lab.").format(other=Shown(to)), _("Open the other side first: lab.neighbour().")
        )
    state, name = machine._find()
    return migration_plans.plan_migrate(state, _survey(machine.lab, to, state, state.machines[name]), name)


def _survey(here: Lab, to: Lab, state: LabState, facts: MachineFacts) -> MigrationSurvey:
    from labkit.hypervisor.migration import read_records

    instances = to._executor.instances
    same_lab = here._workspace == to._workspace and here.sides is to.sides
    nodes = state.snapshots.get(facts.name, {}).values()
    boots = [spec.boot for spec in (facts.spec, *(node.spec for node in nodes))]
    needed = {path for boot in boots for path in (boot.kernel, boot.initramfs) if path}
    taken: frozenset[str] = frozenset()
    reached = not to.closed
    if same_lab and reached:
        try:
            taken = frozenset(to._domains.read_all(state.lab_id)[1])
        except LabError:
            reached = False
    return MigrationSurvey(
        to=instances.own,
        to_uri=instances.reach(instances.own),
        arrival=str(instances.arrival(instances.own, facts.id)),
        same_lab=same_lab,
        reached=reached,
        taken_names=taken,
        records=read_records(here._connection, facts.id),
        lost=frozenset(path for path in needed if not Path(path).exists()),
        changed=find_broken(here._workspace, state),
    )


# --- into a file, out of a file -----------------------------------------------------------------


def _after_export(machine: Machine, plan: Plan, timeout: float | None) -> Path:
    machine.lab.carry_out(plan, timeout=timeout)
    return next(Path(step.target) for step in plan.steps if isinstance(step, WriteArchive))


@act(_after_export)
def export(machine: Machine, file: str | Path, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Write the machine, which is off, with all its snapshots into one file: `lab.import_machine` brings it back.

    The file is a tar archive. Of a linked clone it holds the images it stands on too, so it needs nothing else.

    Args:
        file: where to; there must be none of that name. timeout: seconds.

    Returns:
        The file's path.

    Raises:
        Refused: see `.plan(...).refusal`.
    """
    from labkit.hypervisor.migration import read_definitions

    target = check_path(file, what="file")
    state, name = machine._find()
    facts, nodes = state.machines[name], state.snapshots.get(name, SnapshotTree())
    xml, records = read_definitions(machine.lab._connection, facts.id)
    specs = [facts.spec, *(node.spec for node in nodes.values())]
    others = {path for spec in specs for path in (spec.boot.kernel, spec.boot.initramfs) if path}
    others |= {node.memory for node in nodes.values() if node.memory}
    images = {file for image in state.images.values() for file in image.files}
    there = {path: os.stat(path) for path in images | others if os.path.exists(path)}
    survey = exporting.ExportSurvey(
        free_bytes=free_bytes(target.parent) if target.parent.is_dir() else 0,
        xml=xml,
        records=records,
        exists=os.path.lexists(target),
        no_folder=not target.parent.is_dir(),
        lengths={path: info.st_size for path, info in there.items()},
        allocated={path: there[path].st_blocks * 512 for path in others & there.keys()},
        changed=find_broken(machine.lab._workspace, state),
        memories=find_bad_memories(
            machine.lab._workspace, nodes.values(), lambda name: records[name][1] or records[name][0]
        ),
    )
    return exporting.plan_export(state, survey, name, str(target))


def _after_import(lab: Lab, plan: Plan, timeout: float | None) -> Machine:
    lab.carry_out(plan, timeout=timeout)
    return lab.machines[plan.subject]


@act(_after_import)
def import_machine(
    lab: Lab,
    file: str | Path,
    name: str | None = None,
    *,
    identity: str = "keep",
    timeout: float | None = None,  # noqa: ARG001 — used by the call, not by the plan
) -> Plan:
    """Make a machine of this lab from an archive that `vm.export` wrote, with its snapshots.

    Args:
        file: the archive. name: of the machine; None: the one it had.
        identity: "keep": it is the same machine; "new": another one, which finds itself renamed when it next boots.
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
    fresh = archives.Identity(
        name=chosen, id=str(uuid.uuid4()) if new else None, genid=str(uuid.uuid4()) if new else None
    )
    state = lab.state
    host = survey_host(lab._workspace)
    boots = str(lab._workspace.images / "blobs")
    arrival = archives.adopt(state, path, manifest, fresh, boot_folder=boots, accelerator=host.accelerator)
    elsewhere = (facts.id for facts in state.elsewhere.values())
    survey = importing.ImportSurvey(
        free_bytes=free_bytes(lab.home),
        host_memory=host.host_memory,
        host_cpus=host.host_cpus,
        accelerator=host.accelerator,
        taken_ids=lab._domains.read_ids() | frozenset(elsewhere),
        boot_folder=boots,
        there=frozenset(map(str, Path(boots).glob("*"))),
    )
    return importing.plan_import(state, survey, arrival)
