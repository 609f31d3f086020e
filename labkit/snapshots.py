"""`Snapshots`: the snapshots of one machine, by name, as students use them. They hold no state.

Knows: the machine's handle. Must not know: libvirt's calls, widgets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from labkit.acts.act import act, tell_remarks
from labkit.arguments import checked
from labkit.engine.handle import Handle
from labkit.engine.survey import find_broken, survey_snapshots
from labkit.errors import NotFound
from labkit.language import _
from labkit.model.snapshot import SnapshotFacts, SnapshotTree
from labkit.model.state import LabState
from labkit.plans import snapshot as plans
from labkit.plans.accepting import plan_accept
from labkit.plans.broken import why_broken, why_read_only
from labkit.plans.disk_excuses import why_no_system
from labkit.plans.guard import why_not_write, why_shared
from labkit.plans.naming import numbered
from labkit.plans.plan import Plan
from labkit.plans.refusal import Refusal
from labkit.plans.snapshot.costs import find_costs
from labkit.units import Shown, check_choice, check_description, check_name

if TYPE_CHECKING:
    import networkx as nx


class Snapshots(Mapping[str, SnapshotFacts]):
    """The snapshots of a machine, read afresh at every look: `vm.snapshots`."""

    def __init__(self, machine: Handle) -> None:
        self._machine = machine
        self.session = machine.session

    # --- what is there ----------------------------------------------------------------------------

    @property
    def tree(self) -> SnapshotTree:
        """All snapshots, and which of them the current state began from, as one value."""
        return self.session.read().tree_of(self._machine.facts.name)

    @property
    def current(self) -> str | None:
        """The name of the snapshot the current state began from, or None."""
        return self.tree.current

    def graph(self) -> nx.DiGraph[str]:
        """Return the tree as a `networkx.DiGraph`: nodes are names, edges lead from parent to child.

        Each node's attribute `snapshot` is its facts; `graph.graph["current"]` is the current one's name.
        """
        import networkx as nx

        tree = self.tree
        graph: nx.DiGraph[str] = nx.DiGraph(current=tree.current)
        for node in tree.nodes.values():
            graph.add_node(node.name, snapshot=node)
            if node.parent is not None:
                graph.add_edge(node.parent, node.name)
        return graph

    def costs(self) -> Mapping[str, int]:
        """Return how many bytes deleting each snapshot alone would free on the host, by name."""
        return find_costs(*self._look())

    @checked
    def survey(self, *, ask_guest: bool = True) -> plans.SnapshotSurvey:
        """Return the measurements that plans of snapshots need.

        Args:
            ask_guest: whether to ask the guest's agent, which may take a moment; only a take without memory needs it.
        """
        return self._look(ask_guest=ask_guest)[1]

    def _look(self, *, ask_guest: bool = False) -> tuple[LabState, plans.SnapshotSurvey, str]:
        """The lab's state, the survey and the machine's name, from one reading."""
        state, name = self._machine.find()
        return state, survey_snapshots(self._machine, state, name, ask_guest=ask_guest), name

    # --- acts -------------------------------------------------------------------------------------

    def _after(self, plan: Plan, timeout: float | None) -> Snapshots:
        tell_remarks(self.session.carry_out(plan, timeout=timeout))
        return self

    @act(_after)
    def take(
        self,
        name: str | None = None,
        *,
        description: str = "",
        timeout: float | None = None,  # noqa: ARG002 — used by the call, not by the plan
    ) -> Plan:
        """Freeze the disks, and the memory if the machine is on, as a point to come back to.

        Args:
            name: 1 to 60 characters; None: "snapshot-1", "snapshot-2" ….
            description: any text without control characters.

        Raises:
            BadInput: not a name, or not such a text. Refused: see `.plan(...).refusal`.
        """
        chosen = None if name is None else check_name(name, what=_("snapshot"))
        description = check_description(description)
        state, survey, machine = self._look(ask_guest=True)
        chosen = chosen or numbered("snapshot", state.tree_of(machine), first=1)
        return plans.plan_take(state, survey, machine, chosen, description)

    @act(_after)
    def restore(
        self,
        name: str,
        *,
        save_current: str | None = None,
        run: bool = True,
        memory: bool = True,
        timeout: float | None = None,  # noqa: ARG002
    ) -> Plan:
        """Bring the machine back to a snapshot: its configuration, its disks, and its running state if it was kept.

        Args:
            name: of the snapshot. save_current: take a snapshot of this name first; None: the current state is
                discarded.
            run: whether a guest whose memory was kept runs again; False leaves it saved.
            memory: False: come back to the disks only; the machine is off then.

        Raises:
            Refused: see `.plan(...).refusal`.
        """
        saved = None if save_current is None else check_name(save_current, what=_("snapshot"))
        state, survey, machine = self._look(ask_guest=saved is not None)
        return plans.plan_restore(state, survey, machine, name, save_current=saved, run=run, memory=memory)

    @act(_after)
    def delete(
        self,
        name: str,
        *,
        branch: bool = False,
        merge: str = "auto",
        timeout: float | None = None,  # noqa: ARG002
    ) -> Plan:
        """Delete a snapshot; the content of every other state stays as it is.

        Args:
            branch: also all snapshots after it.
            merge: which layers that no longer belong to a snapshot are merged into the image above: "auto": where that
                is cheap; "always": also those that are large or have several children, which copies or adds bytes;
                "never".

        Raises:
            BadInput: another word for merge. Refused: see `.plan(...).refusal`.
        """
        check_choice(plans.Merge, merge, what="merge")
        state, survey, machine = self._look()
        return plans.plan_delete(state, survey, machine, name, branch=branch, merge=merge)

    @act(_after)
    def rename(self, name: str, new: str, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Give a snapshot another name."""
        return plans.plan_relabel(
            self.session.read(), self._machine.facts.name, name, new=check_name(new, what=_("snapshot"))
        )

    @act(_after)
    def describe(self, name: str, description: str, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Give a snapshot another description."""
        text = check_description(description)
        state, machine = self._machine.find()
        return plans.plan_relabel(state, machine, name, description=text)

    @act(_after)
    def accept_changes(self, *, timeout: float | None = None) -> Plan:  # noqa: ARG002
        """Take the frozen images of this machine as they are now, although another program has written to them.

        Nothing is written to them: from now on what they hold counts. Whoever stands on them reads that.
        """
        state, name = self._machine.find()
        return plan_accept(state, find_broken(self.session.workspace, state), name)

    def why_not_start(self) -> Refusal | None:
        """Return why the machine cannot start because of its disks, or None.

        Reasons: it has no disk to start from, an image below its disks is gone or was changed, or others depend on an
        image that it would write to.
        """
        state, name = self._machine.find()
        disks = state.machines[name].spec.disks
        changed = find_broken(self.session.workspace, state)
        return (
            why_no_system(state, state.machines[name])
            or why_broken(state, name, disks, changed)
            or why_shared(state, [name])
            or why_not_write(state, disks)
            or why_read_only(state, disks)
        )

    def __getitem__(self, name: object) -> SnapshotFacts:
        tree = self.tree
        if not isinstance(name, str) or name not in tree:
            known = ", ".join(tree) or _("none yet")
            raise NotFound(
                _("{machine} has no snapshot {name!r}.").format(machine=self._machine.facts.name, name=Shown(name)),
                _("There are: {names}.").format(names=known),
            )
        return tree[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tree)

    def __len__(self) -> int:
        return len(self.tree)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.tree

    def __repr__(self) -> str:
        return self.tree.text()
