"""Machines that travel: to another hypervisor instance, into a file, out of a file. `Machine` and `Lab` hang them up.

Each turns what a person wrote into a request and returns the plan; `acts.act` carries it out.
Knows: plans, the lab, its instances. Must not know: how a plan is carried out, libvirt's calls.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from labkit.acts import act
from labkit.engine.instances import SESSION, Instances
from labkit.errors import BadInput, LabError
from labkit.language import _
from labkit.model.machine import MachineFacts
from labkit.model.state import LabState
from labkit.plans import migration as migration_plans
from labkit.plans.migration import MigrationSurvey
from labkit.plans.plan import Plan
from labkit.plans.steps import MigrateMachine
from labkit.units import check_name

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
    machine.lab.carry_out(plan, timeout=timeout)
    steps = (step for step in plan.steps if isinstance(step, MigrateMachine))
    machine._follow(machine.lab.sides[next(steps).to])
    return machine


@act(_after_migrate)
def migrate(machine: Machine, to: Lab, *, timeout: float | None = None) -> Plan:  # noqa: ARG001
    """Let the machine go over to another hypervisor instance; a running guest goes on there.

    Its disks stay where they are, both see them; its snapshots come along. This object follows it.

    Args:
        to: the lab as opened on the other side, e.g. `lab.neighbour()`.
        timeout: seconds; when they are over the guest goes on here.

    Raises:
        BadInput: not a lab. Refused: see `.plan(...).refusal`.
    """
    from labkit.lab import Lab

    if not isinstance(to, Lab):
        raise BadInput(_("{other!r} is not a lab.").format(other=to), _("Open the other side first: lab.neighbour()."))
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
            taken = to._domains.read_all(state.lab_id)[1]
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
    )
