"""`Orphans`: the files of a lab that nobody needs, by file name, and what can be done with them. It holds no state.

Knows: the session. Must not know: libvirt's calls, widgets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from labkit.acts.act import act
from labkit.arguments import checked
from labkit.disk import Disk
from labkit.engine.session import Session
from labkit.engine.survey import survey_orphan
from labkit.errors import NotFound
from labkit.language import _
from labkit.machine import Machine
from labkit.machines import Machines
from labkit.model.orphan import OrphanFacts, find_orphans
from labkit.model.state import LabState
from labkit.plans import orphan as plans
from labkit.plans.naming import free_disk_name
from labkit.plans.plan import Plan
from labkit.printing import harmless
from labkit.units import Shown, check_name


class Orphan:
    """A file that nobody needs, as returned by `lab.orphans[name]`."""

    def __init__(self, session: Session, machines: Machines, name: str) -> None:
        self.session = session
        self._machines = machines
        self.name = name

    @property
    def facts(self) -> OrphanFacts:
        """What it is, read afresh, as one value.

        Raises:
            NotFound: it is gone, or somebody needs it now.
        """
        return self._find()[1]

    def _find(self) -> tuple[LabState, OrphanFacts]:
        state = self.session.read()
        found = find_orphans(state)
        if self.name not in found:
            raise NotFound(
                _("There is no orphan {name!r} in this lab.").format(name=Shown(self.name)),
                _("There are: {names}.").format(names=", ".join(found) or _("none")),
            )
        return state, found[self.name]

    def _after_adopt(self, plan: Plan, timeout: float | None) -> Disk:
        self.session.carry_out(plan, timeout=timeout)
        return Disk(self.session, plan.subject)

    def _after_discard(self, plan: Plan, timeout: float | None) -> None:
        self.session.carry_out(plan, timeout=timeout)

    @act(_after_adopt)
    def adopt(self, name: str | None = None, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Bring its content back as a free disk, which stands on it.

        Args:
            name: of the disk; None: the name of the disk it was made for, with a number after it.

        Raises:
            NotFound: it is gone, or somebody needs it now. Refused: it is no image, or not what it was, or the name is
                taken.
        """
        state, facts = self._find()
        chosen = free_disk_name(state, facts.disk or "disk") if name is None else check_name(name, what=_("disk"))
        return plans.plan_adopt(state, self._survey(state, facts), facts, chosen)

    def _after_revive(self, plan: Plan, timeout: float | None) -> Machine:
        self.session.carry_out(plan, timeout=timeout)
        return self._machines[plan.names[0]]

    @act(_after_revive)
    def adopt_as_snapshot(self, name: str | None = None, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Give its machine back the snapshot that kept it; the lab's record says which one that was.

        Args:
            name: of the snapshot from now on; None: the one it had.

        Raises:
            NotFound: it is gone, or somebody needs it now. Refused: no snapshot of it is known, a file of it is
                gone or not what it was, or the name is taken.
        """
        state, facts = self._find()
        chosen = None if name is None else check_name(name, what=_("snapshot"))
        return plans.plan_revive(state, self._survey(state, facts), facts, chosen)

    def _after_accept(self, plan: Plan, timeout: float | None) -> Orphan:
        self.session.carry_out(plan, timeout=timeout)
        return self

    @act(_after_accept)
    def accept_changes(self, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Take its image, and those below it, as they are now, although another program has written to them.

        Nothing is written to them: from now on what they hold counts. Whoever stands on them reads that.
        """
        state, facts = self._find()
        return plans.plan_accept_orphan(state, self._survey(state, facts), facts)

    def _survey(self, state: LabState, facts: OrphanFacts) -> plans.OrphanSurvey:
        return survey_orphan(self.session, state, facts)

    @act(_after_discard)
    def discard(self, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Delete it for good.

        Raises:
            NotFound: it is gone, or somebody needs it now. Refused: other orphans stand on it, or it belongs to a
                machine that can come back.
        """
        state, facts = self._find()
        return plans.plan_discard(state, self._survey(state, facts), facts)

    def __repr__(self) -> str:
        return harmless(f"{self.name}: {self.facts.sentence}")


class Orphans(Mapping[str, Orphan]):
    """The files of a lab that nobody needs, by file name, read afresh at every look. No act touches them."""

    def __init__(self, session: Session, machines: Machines) -> None:
        self.session = session
        self._machines = machines

    def _after_discard(self, plan: Plan, timeout: float | None) -> None:
        self.session.carry_out(plan, timeout=timeout)

    @act(_after_discard)
    def discard(self, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Delete all of them for good, except those of machines that libvirt was made to forget; see `bring_back`."""
        state = self.session.read()
        return plans.plan_discard_all(state, [*find_orphans(state).values()], _("orphans"))

    @checked
    def bring_back(self) -> tuple[str, ...]:
        """Define again the machines that libvirt was made to forget, as `Lab.open()` does; this needs no plan.

        Returns:
            A sentence for each: it is back, or why not.

        Raises:
            Busy: somebody else is changing the lab right now. WrongState: the lab is another computer's.
        """
        return tuple(self.session.bring_back())

    def __getitem__(self, name: object) -> Orphan:
        if not isinstance(name, str):
            raise NotFound(_("There is no orphan {name!r} in this lab.").format(name=Shown(name)))
        orphan = Orphan(self.session, self._machines, name)
        orphan.facts  # noqa: B018 — says so where there is none
        return orphan

    def __iter__(self) -> Iterator[str]:
        return iter(find_orphans(self.session.read()))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in find_orphans(self.session.read())

    def __len__(self) -> int:
        return len(find_orphans(self.session.read()))

    def __repr__(self) -> str:
        return "\n".join(repr(orphan) for orphan in self.values()) or _("no orphans")
