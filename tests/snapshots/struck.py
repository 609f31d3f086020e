"""Acts on snapshots, struck at every instant: the labs they begin from, the sweep, and the count of what was tried.

Knows: kernels that are struck, checkpoints, standings. Must not know: what an act does.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import libvirt_qemu

from labkit import Lab
from labkit.engine.entry_lines import text_of
from labkit.engine.journal import load_plan
from labkit.machine import Machine
from labkit.units import KIB
from tests.engine.strike import CALLS, Ended, How, Strike, carry_out, open_anew
from tests.instance import Instance
from tests.snapshots.checkpoint import Checkpoint
from tests.snapshots.standing import Eye, Standing, without_new_memory

Allowance = Callable[[Standing], Standing]

Undisturbed = tuple[Standing, Standing, tuple[str, ...], float]

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"
LONGEST_RECOVERY = 50.0
"""Seconds: far less than what recovery waits for at the most, and more than a flush of a busy disk."""

TRIED: Counter[tuple[str, str]] = Counter()
"""How many instants were tried in this process, by act and what happened; told at the end of the run."""

SLOWEST = [0.0]
"""Seconds of the slowest opening after a strike."""


@dataclass(slots=True, kw_only=True)
class World:
    """A lab with a machine "web", to begin from again and again.

    Attributes:
        struck: what has been struck in it already, where each kind of deed is to be struck once.
    """

    lab: Lab
    instance: Instance
    eye: Eye
    checkpoint: Checkpoint
    struck: set[tuple[str, str]] = field(default_factory=set)

    _undisturbed: dict[tuple[str, str | None], Undisturbed] = field(default_factory=dict)

    def undisturbed(self, request: str, stands: str | None) -> Undisturbed:
        """How the lab stands before and after an act that nothing befalls, its deeds, and the seconds it takes."""
        if (request, stands) not in self._undisturbed:
            self.checkpoint.install(stands)
            before = self.eye.look()
            began = time.monotonic()
            ended = carry_out(self.lab.name, self.lab.home, request)
            seconds = time.monotonic() - began
            assert ended is not None
            assert not ended.error, ended
            after = without_new_memory(self.eye.look(), before)
            self._undisturbed[request, stands] = before, after, ended.effects, seconds
        return self._undisturbed[request, stands]

    def victims(self, how: How) -> tuple[int, ...]:
        """The processes that end with such a strike, the kernel aside."""
        guest = self.lab.machines["web"].process if how in (How.GUEST, How.POWER) else None
        daemon = self.instance.daemon() if how in (How.DAEMON, How.POWER) else None
        return tuple(process.pid for process in (guest, daemon) if process)


@contextmanager
def make_world(
    name: str, grow: Callable[[Machine], None], instance: Instance, folder: Path, *, format: str = "qcow2"
) -> Iterator[World]:
    """Make a machine with two disks, let it grow, and keep it; nothing is left of it afterwards."""
    with Lab.open(f"struck-{name}") as lab:
        lab.clean()
        try:
            vm = lab.create("web", image="sector", memory="32 MiB")
            vm.attach(lab.disks.create("data", capacity="1 MiB", format=format))
            grow(vm)
            yield World(lab=lab, instance=instance, eye=Eye(lab), checkpoint=Checkpoint(lab, folder))
        finally:
            lab.clean()


def write(vm: Machine, value: int) -> None:
    """Let each disk of a machine that is off hold something else."""
    for number, disk in enumerate(vm.facts.spec.disks):
        argv = ["qemu-io", "-f", disk.format.driver, "-c", f"write -P {value + number} 512k 64k", disk.path]
        subprocess.run(argv, check=True, capture_output=True)


def write_inside(vm: Machine, target: str, offset: int, length: int, value: int) -> None:
    """Let a disk of a running guest hold something else, through its own QEMU."""
    domain = vm.lab.session.connection.raw().lookupByUUIDString(vm.id)
    device = f"/machine/peripheral/virtio-disk{ord(target[-1]) - ord('a')}/virtio-backend"
    for deed in (f"write -P {value} {offset} {length}", "flush"):
        said = libvirt_qemu.qemuMonitorCommand(
            domain, f'qemu-io -d {device} "{deed}"', libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
        )
        assert not said, said


def _write_all(vm: Machine, value: int) -> None:
    """Let each disk of a running guest hold something else."""
    for number, disk in enumerate(vm.facts.spec.disks):
        write_inside(vm, disk.target, 512 * KIB, 64 * KIB, value + number)


def grow_running(vm: Machine) -> None:
    """From "off" → a → (b, d), all but the first taken while it ran; the current state began from b."""
    write(vm, 16)
    vm.snapshots.take("off")
    vm.start().wait_ready()
    for value, name in enumerate(("a", "b", "d"), 2):
        if name == "d":
            vm.snapshots.restore("a")
        _write_all(vm, value * 16)
        vm.snapshots.take(name)
    vm.snapshots.restore("b")
    _write_all(vm, 200)


def sweep(
    world: World,
    act: str,
    request: str,
    how: How,
    *,
    stands: str | None = None,
    every: bool = True,
    mishap: Callable[[Path], None] | None = None,
    allowances: Iterable[Allowance] = (),
) -> None:
    """Strike an act at every instant (or at one of each kind) and see that it ends before or after.

    Args:
        act: what it is called in the count. request: Python for its plan. stands: see `Checkpoint.install`.
        every: True: at every instant between two deeds; in a short run once where the same two follow each other again.
            False: only at deeds (of other ends than the kernel's: steps) of a kind not yet struck so in this world.
        mishap: what befalls the lab's folder besides.
        allowances: what may differ: each makes equal what is as good as equal.
    """
    lab, eye = world.lab, world.eye
    before, after, deeds, seconds = world.undisturbed(request, stands)
    longest = LONGEST_RECOVERY + seconds  # what the act takes on this host just now comes on top
    name = " and ".join(filter(None, (str(how), mishap.__name__.strip("_").replace("_", " ") if mishap else "")))
    as_before = False
    wrong = []
    between: set[tuple[str, ...]] = set()
    for number, deed in enumerate(deeds):
        if (how is How.FAIL_AFTER and deed.split()[-1] not in CALLS) or (how is How.TOOL and "qemu-" not in deed):
            continue
        kind = deed if how is How.KILL else deed.partition(":")[0]
        if not every and (name, kind) in world.struck:
            continue
        if every and not THOROUGH and deeds[max(0, number - 1) : number + 1] in between:
            continue
        if mishap and how is How.KILL and not (number and deeds[number - 1].endswith(_BEFALLS)):
            continue  # there is nothing yet, or nothing new, for it to befall
        between.add(deeds[max(0, number - 1) : number + 1])
        if not as_before:
            world.checkpoint.install(stands)
        ended = carry_out(lab.name, lab.home, request, Strike(number=number, how=how, victims=world.victims(how)))
        as_before = False
        if mishap:
            mishap(lab.home)
        world.struck.add((name, kind))
        TRIED[act, name] += 1
        problem = _see(world, before, after, ended, allowances, longest)
        if problem:
            wrong.append(f"{number} {deed}: {problem}")
        else:
            as_before = eye.look() == before
    assert not wrong, "\n".join(wrong)


def _see(
    world: World,
    before: Standing,
    after: Standing,
    ended: Ended | None,
    allowances: Iterable[Allowance],
    longest: float,
) -> str | None:
    """Return what is not as it must be, or None."""
    opened = open_anew(world.lab.name)
    SLOWEST[0] = max(SLOWEST[0], opened.seconds)
    told = " ".join((*opened.told, ended.hint if ended else ""))
    try:
        now = without_new_memory(world.eye.look(), before)
    except AssertionError as error:
        return f"{told!r}: {error}"
    for allowance in allowances:
        now, before, after = (allowance(each) for each in (now, before, after))
    if opened.seconds > longest:
        return f"{opened.seconds:.1f} s"
    if len(opened.told) > 1 or "no error of labkit" in told:
        return f"told {told!r}"
    if "taken back" in told and now != before:
        return f"{told!r}, but {compare(now, before)}"
    if "completed" in told and now != after:
        return f"{told!r}, but {compare(now, after)}"
    if now not in (before, after):
        return f"{told!r}; to before: {compare(now, before)}; to after: {compare(now, after)}"
    return None


def compare(one: Standing, other: Standing) -> str:
    """Return in what two standings differ."""
    names = [name for name in Standing.__dataclass_fields__ if getattr(one, name) != getattr(other, name)]
    return "; ".join(f"{name}: {getattr(one, name)} is not {getattr(other, name)}" for name in names)[:1500]


_BEFALLS = ("write .jsonl", "write .part", "qemu-img")
"""How deeds end right after which a mishap finds something."""


def records_not_yet_durable_are_lost(home: Path) -> None:
    """Of what was written down only the plan, and that all was ready for the commit point, outlives a power cut."""
    for act in (home / "journal").glob("*.jsonl"):
        plan, *done = act.read_text().splitlines(keepends=True)
        commit = load_plan(text_of(plan)).commit_point or 0
        kept = done[:commit] if len(done) >= commit else []
        act.write_text("".join((plan, *kept)))


def the_last_record_is_torn(home: Path) -> None:
    """The end of a file did not get to the disk."""
    for act in (home / "journal").glob("*.jsonl"):
        plan, *done = act.read_text().splitlines(keepends=True)
        if done:
            act.write_text("".join((plan, *done[:-1], done[-1][: len(done[-1]) // 2])))


def files_in_the_making_are_empty(home: Path) -> None:
    """They have their names, and nothing was written to the disk yet."""
    made = [file for folder in (home / "disks").glob(".making-*") for file in folder.iterdir()]
    made += list((home / "journal").glob("*.part")) + list(home.glob("seals.part"))
    for file in made:
        file.write_bytes(b"")
