"""A lab of two machines: one kernel is struck at its act on the first, while another acts on the second without end.

What must hold: the first machine is exactly as before or exactly as after, the second holds what its own acts say.
Knows: kernels that are struck, checkpoints, what acts mean for contents. Must not know: how labkit does them.
"""

from __future__ import annotations

import contextlib
import shutil
from ast import literal_eval
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import libvirt

from labkit import Lab
from labkit.engine.seals import find_changed
from labkit.machine import Machine
from tests.beside.reading import Reading
from tests.beside.workers import Worker
from tests.engine.strike import How, Strike, carry_out, open_anew
from tests.snapshots.checkpoint import Checkpoint
from tests.snapshots.struck import write

FIRST, SECOND = "web", "bob"

ON_THE_SECOND = """
import itertools, random
from pathlib import Path
from labkit.errors import Busy, Stale
chance, vm, done, left, told = random.Random({seed}), lab.machines["bob"], [], 1, len(lab.recovered)
for number in itertools.count():
    left -= Path({flag!r}).exists()
    if left < 0 and done:
        break
    mine, names = f"k{{number}}", sorted(vm.snapshots)
    own = [name for name in names if name.startswith("k")]
    kind = "delete" if len(own) > 3 else chance.choice(["take", "restore", "both", "delete" if own else "take"])
    name = chance.choice(own if kind == "delete" else names)
    try:
        match kind:
            case "take":
                vm.snapshots.take(mine)
            case "restore":
                vm.snapshots.restore(name)
            case "both":
                vm.snapshots.restore(name, save_current=mine)
            case "delete":
                vm.snapshots.delete(name, merge="always")
        done.append((kind, name, mine))
    except (Busy, Stale):
        pass
answer = repr((done, lab.recovered[told:]))
"""
"""What the second kernel does until the flag is there, and once more then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """All of a lab that is not the second machine's, to be compared.

    Attributes:
        machines: the first's definition; of a clone, whose ids are drawn, the disks. trees: their snapshots.
        images: by file name: format, what is below, whether it is closed, what a guest reads. files: names.
        free: free disks. changed: frozen images that do not fit their seals.
    """

    machines: dict[str, object]
    trees: dict[str, object]
    images: dict[str, tuple[object, ...]]
    files: tuple[str, ...]
    free: tuple[str, ...]
    changed: tuple[str, ...]


@dataclass(slots=True)
class Pair:
    """The lab, kept as it stands, and the kernel that acts on its second machine."""

    lab: Lab
    folder: Path
    counts: Counter[str] = field(default_factory=Counter)
    reading: Reading = field(default_factory=Reading)
    _kept: list[Checkpoint] = field(default_factory=list)
    _points: dict[str, str] = field(default_factory=dict)
    _now: str = ""
    _worker: Worker = field(init=False)

    def keep(self) -> None:
        """Remember the lab as it stands now."""
        for name in (FIRST, SECOND):
            (self.folder / name).mkdir()
            self._kept.append(Checkpoint(self.lab, self.folder / name, name))
        shutil.copyfile(self.lab.home / "record.json", self.folder / "record.json")
        self._points, self._now = self._contents_of_second()
        self._worker = Worker(self.lab)

    def install(self) -> None:
        """Let everything be as it was; what an act has made is gone."""
        raw = self.lab.session.connection.raw()
        for domain in raw.listAllDomains():
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
        for kept in self._kept:
            kept.install()
        shutil.copyfile(self.folder / "record.json", self.lab.home / "record.json")

    def close(self) -> None:
        """Let the second kernel end."""
        self._worker.close()

    # --- looking ----------------------------------------------------------------------------------

    def look(self) -> Sight:
        """Return how all stands that is not the second machine's; what no act may leave is an error here."""
        state, home = self.lab.state, self.lab.home
        left = [path.name for path in (home / "journal").iterdir()], state.strays, [*self.lab.orphans]
        assert not any(left), f"left are {left}"
        images = {path: each for path, each in state.images.items() if not _is_second(path)}
        files = (path.name for name in ("disks", "memory") for path in (home / name).iterdir())
        below = {image.backing for image in images.values() if image.backing} | state.kept
        return Sight(
            machines={
                name: facts.spec if name == FIRST else facts.spec.disks
                for name, facts in state.machines.items()
                if name != SECOND
            },
            trees={
                name: (tree.current, {node.name: replace(node, created=0) for node in tree.values()})
                for name, tree in state.snapshots.items()
                if name != SECOND and tree.nodes
            },
            images={
                Path(path).name: (
                    image.format,
                    Path(image.backing or "-").name,
                    image.frozen,
                    image.capacity,
                    self.reading.content(state, path),
                )
                for path, image in images.items()
            },
            files=tuple(sorted(name for name in files if not _is_second(name))),
            free=tuple(sorted(name for name, disk in state.disks.items() if disk.machine is None)),
            changed=tuple(find_changed(home / "disks", sorted(path for path in below if not _is_second(path)))),
        )

    def _contents_of_second(self) -> tuple[dict[str, str], str]:
        state = self.lab.state
        tree = state.tree_of(SECOND)
        points = {node.name: self.reading.content(state, node.disks[0].path) for node in tree.values()}
        return points, self.reading.content(state, state.machines[SECOND].spec.disks[0].path)

    # --- the sweep --------------------------------------------------------------------------------

    def undisturbed(self, request: str) -> tuple[Sight, Sight, tuple[str, ...]]:
        """How all stands before and after an act that nothing befalls, and its deeds."""
        self.install()
        before = self.look()
        ended = carry_out(self.lab.name, self.lab.home, request)
        assert ended is not None
        assert not ended.error, ended
        return before, self.look(), ended.effects

    def strike(self, request: str, number: int, before: Sight, after: Sight) -> str | None:
        """Kill the first kernel before its n-th deed while the second one acts; return what is not as it must be."""
        self.install()
        flag = self.folder / "enough"
        flag.unlink(missing_ok=True)
        self._worker.tell(ON_THE_SECOND.format(seed=number, flag=str(flag)))
        try:
            ended = carry_out(self.lab.name, self.lab.home, request, Strike(number=number, how=How.KILL))
        finally:
            flag.touch()
            answer = self._worker.answer()
        assert not answer.error, answer
        done, told = literal_eval(answer.text)
        told = (*told, *open_anew(self.lab.name).told)
        self.counts["instants struck beside another kernel"] += 1
        self.counts["acts of the other kernel meanwhile"] += len(done)
        self.counts["ended by the other kernel"] += bool(told) and told[0] in literal_eval(answer.text)[1]
        if ended is not None and ended.error not in ("", "Busy", "Stale"):
            return f"it ended with {ended}"
        if why := self._see_second(done):
            return f"{told!r}: {why}"
        return self._see_first(before, after, told)

    def _see_first(self, before: Sight, after: Sight, told: tuple[str, ...]) -> str | None:
        try:
            now = self.look()
        except AssertionError as error:
            return f"{told!r}: {error}"
        if len(told) > 1:
            return f"told {told!r}"
        if now not in (before, after):
            return f"{told!r}; to before: {_compare(now, before)}; to after: {_compare(now, after)}"
        self.counts["left as before" if now == before else "left as after"] += 1
        return None

    def _see_second(self, done: list[tuple[str, str, str]]) -> str | None:
        points, now = dict(self._points), self._now
        for kind, name, mine in done:
            if kind in ("take", "both"):
                points[mine] = now
            if kind in ("restore", "both"):
                now = points[name]
            if kind == "delete":
                del points[name]
        found = self._contents_of_second()
        return None if found == (points, now) else f"the other machine holds {found}, not {(points, now)}"


def _is_second(path: str) -> bool:
    return Path(path).name.startswith(f"{SECOND}.")


def _compare(one: Sight, other: Sight) -> str:
    names = [name for name in Sight.__dataclass_fields__ if getattr(one, name) != getattr(other, name)]
    return "; ".join(f"{name}: {getattr(one, name)} is not {getattr(other, name)}" for name in names)[:1500]


@contextmanager
def make_pair(folder: Path) -> Iterator[Pair]:
    """Make two machines with trees and data, and a free disk; nothing is left of them afterwards."""
    with Lab.open("swept") as lab:
        lab.clean()
        try:
            web = lab.create(FIRST, image="sector", memory="32 MiB")
            web.attach(lab.disks.create("data", capacity="1 MiB", format="vdi"))
            _grow(web, "root", "a", "b", "c")
            lab.disks.create("free", capacity="1 MiB")
            _grow(lab.create(SECOND, image="sector", memory="32 MiB"), "one", "two")
            pair = Pair(lab, folder)
            pair.keep()
            try:
                yield pair
            finally:
                pair.close()
        finally:
            with contextlib.suppress(libvirt.libvirtError):
                lab.clean()


def _grow(vm: Machine, *names: str) -> None:
    """Give a machine a line of snapshots, the last of which is a branch; each holds something of its own."""
    for number, name in enumerate(names, 1):
        if name == names[-1]:
            vm.snapshots.restore(names[-3] if len(names) > 2 else names[0])
        write(vm, 16 * number)
        vm.snapshots.take(name)
    write(vm, 200)
