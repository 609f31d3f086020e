"""Long random histories of a lab that is not alone: kernels at the same time, virsh, qemu-img, a neighbour, kills.

In every round two or three kernels get an act each and carry it out at the same time, on the same machine or on
different ones; between rounds, and sometimes within one, other programs do something. After each round the lab is
compared with a ledger: what every point of every machine holds, by hash, and which files are there. Nothing may be
altered, nothing may be gone that no act of the round has deleted, and nothing that is not that act's own.

Knows: what acts mean for contents. Must not know: how labkit does them.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from labkit import Lab
from labkit.model.disk import disk_name
from labkit.model.machine import MachineState
from labkit.model.state import LabState
from labkit.plans.reclaim import own_disks
from labkit.units import KIB
from tests.beside.deeds import Deed
from tests.beside.hands import virsh
from tests.beside.reading import Reading, told
from tests.beside.tools import run_tool
from tests.beside.workers import Worker
from tests.engine.kernel import Answer

MACHINES = ("ada", "bob", "eve")
MOST_SNAPSHOTS = 6
EXPECTED = ("", "Busy", "Refused", "Stale", "NotFound", "AlreadyExists", "WrongState", "TimedOut")
"""How an act may end: done, or refused in one of these ways."""
_DELETES_NOTHING = ("take", "rename", "look", "start and kill", "there and back")


@dataclass(slots=True)
class History:
    """A lab and its ledger.

    Attributes:
        points: the content's hash of each snapshot, by machine and name. now: of each machine's current state.
        lost: what other programs made nobody's: files by name with the hash of their bytes.
        counts: what was tried. neighbours: whether machines may go to a neighbour, and back.
    """

    lab: Lab
    chance: random.Random
    kernels: int = 3
    points: dict[tuple[str, str], str] = field(default_factory=dict)
    now: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    reading: Reading = field(default_factory=Reading)
    neighbours: bool = False
    _workers: list[Worker] = field(default_factory=list)
    _number: int = 0

    def begin(self) -> None:
        """Make the machines, each with one snapshot."""
        for name in MACHINES:
            self.lab.create(name, image="sector", memory="16 MiB")
            self.lab.machines[name].snapshots.take("start")
            self.write(name)
        self.begin_as_it_is()
        state = self.lab.state
        self.now = {name: self.reading.content(state, state.machines[name].spec.disks[0].path) for name in MACHINES}
        self.points = {
            (name, point): self.reading.content(state, node.disks[0].path)
            for name in MACHINES
            for point, node in state.snapshots[name].nodes.items()
        }

    def begin_as_it_is(self) -> None:
        """Let the kernels begin with a lab that has its machines, and a ledger."""
        self._workers = [Worker(self.lab) for _kernel in range(self.kernels)]

    def end(self) -> None:
        """Let the kernels end."""
        for worker in self._workers:
            worker.close()

    def rest(self) -> None:
        """Let nobody have the lab open, and no machine be on."""
        for vm in self.lab.machines.values():
            if vm.facts.is_active:
                vm.kill()
        self.end()
        self.lab.close()

    def resume(self, home: Path) -> tuple[str, ...]:
        """Open the lab in a folder, and let the kernels begin again; returns what was told."""
        self.lab = Lab.open(home.name, home=home.parent)
        self._workers = [Worker(self.lab) for _kernel in range(self.kernels)]
        return self.lab.recovered

    def new_name(self, begin: str) -> str:
        """A name that nothing had yet."""
        self._number += 1
        return f"{begin}{self._number}"

    def play(self, deeds: list[Deed]) -> list[Answer]:
        """Let the first kernels carry a deed out each, at the same time."""
        for worker, deed in zip(self._workers, deeds, strict=False):
            worker.tell(deed.code)
        return [worker.answer() for worker, _deed in zip(self._workers, deeds, strict=False)]

    def round(self) -> None:
        """Let every kernel do something at the same time, and something else beside them; then compare."""
        for name in self.chance.sample(MACHINES, k=1):
            self.write(name)
        before = self.lab.state
        files = self.files()
        shared = self.chance.random() < 0.4
        machines = [self.chance.choice(MACHINES)] * len(self._workers) if shared else [*MACHINES]
        deeds = [self._choose(before, machine) for machine in machines[: len(self._workers)]]
        for worker, deed in zip(self._workers, deeds, strict=True):
            worker.tell(deed.code)
        beside = self.chance.choice(("none", "none", "reader", "virsh reads", "kill"))
        struck = self._beside(beside, before)
        answers = [worker.answer() if index != struck else Answer() for index, worker in enumerate(self._workers)]
        if struck is not None:
            self._workers[struck].kill()
            self._workers[struck] = Worker(self.lab)
        self.counts["rounds"] += 1
        self.counts["acts"] += len(deeds)
        self.counts["done"] += sum(not answer.error for answer in answers)
        for deed, answer in zip(deeds, answers, strict=True):
            assert answer.error in EXPECTED, (deed, answer)
            self.counts[deed.kind] += not answer.error
        self._compare(before, files, deeds, struck)

    # --- what is done -----------------------------------------------------------------------------

    def _choose(self, state: LabState, machine: str) -> Deed:
        names = list(state.tree_of(machine))
        self._number += 1
        new = f"n{self._number}"
        if not names:
            return Deed(kind="take", machine=machine, new=new)
        kinds = ["restore", "restore", "restore and save", "rename", "clone and drop", "clone, flatten, drop", "disk"]
        kinds += ["delete", "delete branch", "delete and merge"] if len(names) > 2 else []
        kinds += ["take", "take", "look", "start and kill"]
        kinds += ["there and back"] if self.neighbours else []
        if len(names) >= MOST_SNAPSHOTS:
            kinds = ["delete", "delete branch", "delete and merge", "restore"]
        return Deed(kind=self.chance.choice(kinds), machine=machine, name=self.chance.choice(names), new=new)

    def _beside(self, kind: str, state: LabState) -> int | None:
        """Do what another program would do meanwhile; returns the kernel that was killed, if one was."""
        self.counts[kind] += kind != "none"
        match kind:
            case "reader":
                self.lab.lineage  # noqa: B018 — reading must be in nobody's way
            case "virsh reads":
                virsh("list", "--all")
                path = self.chance.choice(sorted(state.images))
                subprocess.run(["qemu-img", "info", "-U", path], check=False, capture_output=True)
            case "kill":
                struck = self.chance.randrange(len(self._workers))
                self._workers[struck].process.join(self.chance.random() * 0.3)
                self._workers[struck].process.kill()
                return struck
        return None

    def behind_the_back(self) -> None:
        """Let virsh change something between rounds; the ledger follows, since it is no act of labkit."""
        state = self.lab.state
        machine = self.chance.choice(MACHINES)
        tree, domain = state.tree_of(machine), state.machines[machine].spec.domain_name
        leaves = [name for name in tree if not tree.children(name)]
        kind = self.chance.choice(("forget", "by hand", "discard"))
        if kind == "forget" and len(leaves) > 1 and len(tree) > 2:
            name = self.chance.choice([each for each in leaves if each != tree.current] or leaves)
            virsh("snapshot-delete", domain, name, "--metadata")
            del self.points[machine, name]
        elif kind == "by hand" and state.machines[machine].state is MachineState.OFF:
            self._number += 1
            path = self.lab.home / "disks" / f"{machine}.hand{self._number}"
            target = state.machines[machine].spec.disks[0].target
            named = f"h{self._number}"
            virsh("snapshot-create-as", domain, named, "--disk-only", "--diskspec", f"{target},file={path}")
            self.points[machine, named] = self.now[machine]
        elif kind == "discard" and self.lost:
            for name in list(self.lab.orphans):
                if not self.lab.orphans[name].facts.above:
                    self.lab.orphans[name].discard()
        self.counts[f"virsh: {kind}"] += 1
        self.settle()

    def settle(self) -> None:
        """Take what is nobody's now for that, and compare what every point holds."""
        state = self.lab.state
        self.lost = {name: self.reading.digest(path) for name, path in self.find_orphans()}
        self.check(state)
        now = {name: self.reading.content(state, state.machines[name].spec.disks[0].path) for name in MACHINES}
        assert now == self.now

    # --- what must hold ---------------------------------------------------------------------------

    def _compare(self, before: LabState, files: dict[str, str], deeds: list[Deed], struck: int | None) -> None:
        for index, deed in enumerate(deeds):
            if index == struck or deed.kind in ("disk", "there and back", "start and kill"):  # refused half way
                self._tidy(deed)
        state = self.lab.state
        assert not state.acts
        self.follow(before, state, deeds)
        self.check(state)
        deleting = {deed.machine for deed in deeds if deed.kind not in _DELETES_NOTHING}
        clones = {deed.new for deed in deeds}
        for name in files.keys() - self.files().keys():
            owners = {disk_name(name).partition(".")[0], *_holders(before, disk_name(name))}
            assert owners & (deleting | clones), f"{name} is gone after {deeds}"
        for name, digest in self.lost.items():
            assert self.files().get(name) == digest, f"the orphan {name} is gone or changed after {deeds}"
        orphans = {name for name, _path in self.find_orphans()}
        come, gone = orphans - set(self.lost), set(self.lost) - orphans
        for name in come:  # only what an orphan stands on: it is kept for that one's sake
            facts = self.lab.orphans[name].facts
            assert facts.above, (facts, deeds, struck, told(before), told(state), told(self.lab.state))
        self.lost |= {name: self.reading.digest(path) for name, path in self.find_orphans() if name in come}
        assert not gone, (f"{gone} belong to somebody again", deeds, struck)

    def _tidy(self, deed: Deed) -> None:
        """End what a killed kernel was at, and do what its deed had still before it."""
        with Lab.open(self.lab.name, home=self.lab.home.parent):
            pass
        if deed.kind == "there and back":
            for vm in self.lab.neighbour().machines.values():
                vm.migrate(self.lab)
                self.counts["fetched back"] += 1
        for name, vm in self.lab.machines.items():
            if vm.facts.is_active:
                vm.kill()
            if name not in MACHINES:
                vm.delete()
        for name, disk in self.lab.disks.items():
            if name == deed.new:
                if disk.machine:
                    self.lab.machines[disk.machine].detach(name)
                disk.delete()

    def follow(self, before: LabState, after: LabState, deeds: list[Deed], only: Iterable[str] = MACHINES) -> None:
        """Let the ledger follow the names that came and went; what they hold stays what it was."""
        for machine in only:
            mine = [deed for deed in deeds if deed.machine == machine]
            old = {name: digest for (owner, name), digest in self.points.items() if owner == machine}
            there = set(after.tree_of(machine))
            gone, come = set(old) - there, there - set(old)
            may_go = {deed.name for deed in mine if deed.kind.startswith("delete") or deed.kind == "rename"}
            for deed in (deed for deed in mine if deed.kind == "delete branch"):
                may_go |= set(before.snapshots[machine].branch(deed.name))
                may_go |= {other.new for other in mine}
            assert gone <= may_go, f"{gone} of {machine} are gone after {mine}"
            assert come <= {deed.new for deed in mine}, f"{come} of {machine} have come after {mine}"
            deleted = {name for deed in mine if deed.kind.startswith("delete") for name in (deed.name, deed.new)}
            branches = any(deed.kind == "delete branch" for deed in mine)
            for name in gone:
                heirs = {deed.new for deed in mine if deed.kind == "rename" and deed.name == name}
                kept = name in deleted or branches or heirs & (there | deleted)
                assert kept, f"{name} of {machine} is lost in a rename: {there} after {mine}"
                del self.points[machine, name]
            possible = {self.now[machine], *(old[deed.name] for deed in mine if deed.kind.startswith("restore"))}
            now = self.reading.content(after, after.machines[machine].spec.disks[0].path)
            assert now in possible, f"{machine} holds what it never held, after {mine}"
            for name in come:
                found = self.reading.content(after, after.snapshots[machine][name].disks[0].path)
                renamed = {old[deed.name] for deed in mine if deed.kind == "rename" and deed.new == name}
                assert found in (renamed or possible), f"{name} of {machine} after {mine}"
                self.points[machine, name] = found
            self.now[machine] = now

    def check(self, state: LabState) -> None:
        for (machine, name), digest in self.points.items():
            found = self.reading.content(state, state.snapshots[machine][name].disks[0].path)
            assert found == digest, f"{name} of {machine} holds something else"
            self.counts["contents compared"] += 1
        assert {*state.machines} == {*MACHINES}

    # --- looking ----------------------------------------------------------------------------------

    def find_orphans(self) -> Iterator[tuple[str, Path]]:
        for name, orphan in self.lab.orphans.items():
            with contextlib.suppress(FileNotFoundError):
                yield name, Path(orphan.facts.path)

    def files(self) -> dict[str, str]:
        return {path.name: self.reading.digest(path) for path in (self.lab.home / "disks").iterdir() if path.is_file()}

    def write(self, machine: str) -> None:
        """Write something new into a machine's current state, as a guest would."""
        state = self.lab.state
        disk = state.machines[machine].spec.disks[0]
        block, value = self.chance.randrange(8), self.chance.randrange(1, 256)
        command = f"write -P {value} {block * 64 * KIB} 512"
        run_tool("qemu-io", "-f", disk.format.driver, "-c", command, disk.path)
        if machine in self.now:
            self.now[machine] = self.reading.content(self.lab.state, disk.path)


def _holders(state: LabState, disk: str) -> set[str]:
    """The machines one of whose disks, now or at a snapshot, has this name: its images are theirs to delete."""
    return {name for name, facts in state.machines.items() if disk in own_disks(facts, state.tree_of(name))}
