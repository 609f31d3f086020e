"""What befalls a lab as a whole between two rounds: lost configuration, backups, copies, moves, meddling with images.

Each comes to a lab at rest, does what a person would do, and says what must hold; the history goes on behind it.
Knows: the ledger, the commands. Must not know: how labkit does them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from labkit import Lab
from labkit.cli import main
from labkit.model.machine import DiskSpec
from labkit.model.snapshot import SnapshotTree
from labkit.model.state import LabState
from tests.beside.deeds import Deed
from tests.beside.hands import virsh
from tests.beside.history import EXPECTED, MACHINES, History
from tests.beside.reading import told
from tests.beside.tools import run_tool
from tests.hashes import hash_file
from tests.record.look import machines_of

_ACTS = ("take", "restore", "delete", "delete branch", "delete and merge", "clone and drop", "start and kill")


def _let_it_be_noted(history: History) -> None:
    """What virsh has changed is written down with the next act; let there be one."""
    history.lab.disks.create("note", capacity="64 KiB").delete()


# --- the hypervisor loses what it was told ----------------------------------------------------------------------------


def lose_configuration(history: History) -> None:
    """Let libvirt forget all machines and snapshots of the lab while nobody has it open."""
    _let_it_be_noted(history)
    before, files, home = machines_of(history.lab.state), history.files(), history.lab.home
    history.rest()
    for domain in _domains_in(home):
        virsh("undefine", domain, "--snapshots-metadata")
    said = history.resume(home)
    assert [sum(name in sentence for sentence in said) for name in MACHINES] == [1] * len(MACHINES), said
    assert machines_of(history.lab.state) == before
    assert history.files() == files
    history.settle()


def _who_names(home: Path) -> list[str]:
    """The domains and the images anywhere beside it that still name something in a folder."""
    images = [path for path in home.parent.glob("*/disks/*") if f"{home}/".encode() in path.read_bytes()[:4096]]
    return [*_domains_in(home), *map(str, images)]


def _domains_in(home: Path) -> list[str]:
    names = filter(None, virsh("list", "--all", "--name").splitlines())
    return [name for name in names if f"{home}/" in virsh("dumpxml", name)]


# --- an older folder is brought back ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A copy of a lab's folder, and what the ledger said when it was made."""

    folder: Path
    points: dict[tuple[str, str], str]
    now: dict[str, str]
    files: dict[str, str]
    trees: dict[str, SnapshotTree]


def back_up(history: History, folder: Path) -> Backup:
    """Copy the lab's folder, at rest."""
    _let_it_be_noted(history)
    _copy_folder(history.lab.home, folder)
    return Backup(
        folder=folder,
        points=dict(history.points),
        now=dict(history.now),
        files=history.files(),
        trees=dict(history.lab.state.snapshots),
    )


def bring_back(history: History, backup: Backup) -> None:
    """Put the backup in the folder's place; work with what is whole; then take the folder's own record."""
    _let_it_be_noted(history)
    home = history.lab.home
    history.rest()
    shutil.rmtree(home)
    _copy_folder(backup.folder, home)
    said = history.resume(home)
    assert history.files() == backup.files
    state = history.lab.state
    torn = {
        name for name in MACHINES if _names_what_is_gone(state, name) or _writes_what_is_frozen(state, backup, name)
    }
    for name in MACHINES:
        assert any(f"of {name} names" in sentence for sentence in said) == (name in torn), (name, torn, said)
    _act_over_it(history, backup, state, torn)
    history.counts["torn by an older folder"] += len(torn)
    if not torn:
        assert _labkit(history, "restore") == 1, "there was nothing to take"
    else:
        history.rest()
        assert _labkit(history, "restore") == 0
        assert not history.resume(home), history.lab.recovered
    for name in torn:
        found, kept = (trees.get(name, SnapshotTree()) for trees in (history.lab.state.snapshots, backup.trees))
        assert found == kept, f"{name}: {found} is not {kept}"
        history.points = {key: held for key, held in history.points.items() if key[0] != name}
        history.points |= {key: held for key, held in backup.points.items() if key[0] == name}
        history.now[name] = backup.now[name]
    history.settle()


def _act_over_it(history: History, backup: Backup, state: LabState, torn: set[str]) -> None:
    """Let acts be tried under definitions that are newer than the folder: what is torn is as the backup had it."""
    for name in MACHINES:
        if name not in torn:  # what it holds is what the folder holds
            history.now[name] = history.reading.content(state, state.machines[name].spec.disks[0].path)
    deeds = []
    for name in MACHINES:
        kind, names = history.chance.choice(_ACTS), sorted(state.tree_of(name))
        kind = kind if len(names) > 1 else "take"
        deeds.append(
            Deed(
                kind=kind,
                machine=name,
                name=history.chance.choice(names) if names else "",
                new=history.new_name("o"),
            )
        )
    named = {disk.path for points in _points(state) for disk in points}
    held = {name: _hold(history, state, name) for name in backup.files}
    for deed, answer in zip(deeds, history.play(deeds), strict=False):
        assert answer.error in EXPECTED, (deed, answer)
        assert not answer.error or (answer.message and answer.hint), answer
        history.counts["acts under newer definitions"] += not answer.error
    files = history.files()
    for name, digest in backup.files.items():
        if name.partition(".")[0] in torn or name in history.lost:
            assert name in files, f"{name} is gone after {deeds}: {told(state)}"
            same = files[name] == digest or held[name] == _hold(history, history.lab.state, name) is not None
            assert same, f"{name} holds something else after {deeds}: {told(state)}"
    for name in files.keys() - backup.files.keys():
        assert str(history.lab.home / "disks" / name) not in named, f"{name} was given twice by one of {deeds}"
    after = history.lab.state
    whole = [deed for deed in deeds if deed.machine not in torn]
    history.follow(state, after, whole, only={*MACHINES} - torn)


def _hold(history: History, state: LabState, name: str) -> str | None:
    """What a guest would read from a file of an older folder, by hash; a merge changes its bytes and not that."""
    path = str(history.lab.home / "disks" / name)
    return history.reading.content(state, path) if path in state.images else None


def _names_what_is_gone(state: LabState, machine: str) -> bool:
    nodes = state.tree_of(machine).nodes.values()
    points = [state.machines[machine].spec.disks, *(node.disks for node in nodes)]
    return any(not os.path.lexists(disk.path) for disks in points for disk in disks)


def _writes_what_is_frozen(state: LabState, backup: Backup, machine: str) -> bool:
    """Whether the folder is newer than the definition, which an older one has left behind."""
    kept = {disk.path for node in backup.trees.get(machine, SnapshotTree()).values() for disk in node.disks}
    below = {image.backing for image in state.images.values()}
    return any(disk.path in kept | below for disk in state.machines[machine].spec.disks)


def _points(state: LabState) -> list[tuple[DiskSpec, ...]]:
    trees = [node.disks for tree in state.snapshots.values() for node in tree.nodes.values()]
    return [*(machine.spec.disks for machine in state.machines.values()), *trees]


# --- copies and moves -------------------------------------------------------------------------------------------------


def copy_and_clean(history: History) -> None:
    """Make a copy of the folder a lab of its own, work with it, remove it: the original does not know of it."""
    _let_it_be_noted(history)
    home, state = history.lab.home, history.lab.state
    copy = home.with_name(history.new_name(f"{home.name}-copy"))
    before, files = machines_of(state), _whole(home)
    _copy_folder(home, copy)
    assert main(["lab", "copy", copy.name, "--home", str(copy.parent)]) == 0
    twin = History(Lab.open(copy.name, home=copy.parent), history.chance, 2)
    try:
        twin.points, twin.now, twin.lost = dict(history.points), dict(history.now), dict(history.lost)
        assert set(twin.lab.orphans) == set(history.lost)
        twin.begin_as_it_is()
        for _round in range(2):
            twin.round()
    finally:
        twin.rest()
    history.counts.update({f"in a copy: {name}": twin.counts[name] for name in ("acts", "done")})
    assert main(["clean", "--lab", copy.name]) == 0
    assert not copy.exists(), (sorted(str(each) for each in copy.rglob("*")), _who_names(copy))
    assert _whole(home) == files
    assert machines_of(history.lab.state) == before


def move_and_back(history: History, elsewhere: Path) -> None:
    """Carry the folder elsewhere, work there, carry it back."""
    home = history.lab.home
    for source, target in ((home, elsewhere / home.name), (elsewhere / home.name, home)):
        _let_it_be_noted(history)
        before, files = _trees(history.lab.state), history.files()
        history.rest()
        _carry(source, target, as_new_files=history.chance.random() < 0.5)
        assert main(["lab", "move", target.name, "--home", str(target.parent)]) == 0
        said = history.resume(target)
        assert not said, said
        state = history.lab.state
        assert _trees(state) == before
        assert all(path.startswith(f"{target}/") for path in state.roots)
        moved = history.files()
        assert moved.keys() == files.keys()
        others = {name for name in files if files[name] != moved[name]}  # virsh names the image below by its whole path
        assert all(".hand" in name for name in others), others
        history.settle()
        history.round()


def _carry(source: Path, target: Path, *, as_new_files: bool) -> None:
    target.parent.mkdir(exist_ok=True, parents=True)
    if as_new_files:  # as to another file system
        _copy_folder(source, target)
        shutil.rmtree(source)
    else:
        source.rename(target)


def _trees(state: LabState) -> object:
    """What a move leaves as it is: who each machine is, its snapshots, which one is current."""
    machines = {name: facts.id for name, facts in state.machines.items()}
    trees = {
        name: (tree.current, {node.name: node.parent for node in tree.values()})
        for name, tree in state.snapshots.items()
    }
    return machines, trees


# --- somebody meddles with images -------------------------------------------------------------------------------------


def meddle_harmlessly(history: History) -> None:
    """Let qemu-img look at images and repair them, and let a frozen one be touched: nothing comes of it."""
    state = history.lab.state
    name = history.chance.choice(MACHINES)
    path = history.chance.choice(sorted(state.images))
    for words in (["check", "-r", "all"], ["info", "--backing-chain"]):
        subprocess.run(["qemu-img", *words, path], check=False, capture_output=True)  # raw ones have nothing to repair
    frozen = history.chance.choice(sorted(path for path in state.kept if path in state.images))
    os.utime(frozen)
    history.lab.machines[name].start().kill()
    assert not history.lab.machines[name].snapshots.accept_changes.plan().steps
    history.settle()


def alter_a_branch(history: History) -> None:
    """Write into the frozen image of a branch's tip: refused where it would be used; or accepted, or deleted."""
    name = history.chance.choice(MACHINES)
    vm = history.lab.machines[name]
    others = sorted(vm.snapshots)
    if not others:
        return
    tip, point = history.new_name("t"), history.chance.choice(others)
    vm.snapshots.take(tip)
    vm.snapshots.restore(point)
    history.points[name, tip] = history.now[name]
    history.now[name] = history.points[name, point]
    image = Path(vm.snapshots[tip].disks[0].path)
    image.chmod(0o600)
    command = f"write -P {history.chance.randrange(1, 256)} {history.chance.randrange(8) * 65536} 1024"
    run_tool("qemu-io", "-f", vm.snapshots[tip].disks[0].format.driver, "-c", command, str(image))
    image.chmod(0o444)
    files = history.files()
    for kind in ("restore", "restore and save", "clone and drop"):
        (answer,) = history.play([Deed(kind=kind, machine=name, name=tip, new=history.new_name("x"))])
        assert answer.error == "Refused", (kind, answer)
        assert image.name in answer.message, answer
    assert history.files() == files
    if history.chance.random() < 0.5:
        vm.snapshots.accept_changes()
        state = history.lab.state
        history.points[name, tip] = history.reading.content(state, str(image))
        vm.snapshots.restore(tip)
        history.now[name] = history.points[name, tip]
        history.counts["altered and accepted"] += 1
    else:
        vm.snapshots.delete(tip)
        del history.points[name, tip]
        assert not image.exists()
        history.counts["altered and deleted"] += 1
    history.settle()


# --- folders ----------------------------------------------------------------------------------------------------------


def _labkit(history: History, verb: str) -> int:
    home = history.lab.home
    return main(["lab", verb, home.name, "--home", str(home.parent)])


def _copy_folder(source: Path, target: Path) -> None:
    run_tool("cp", "-a", str(source), str(target))


def _whole(home: Path) -> dict[str, str]:
    """Every file of a lab but its locks, by hash."""
    files = [path for path in home.rglob("*") if path.is_file() and "lock" not in str(path.relative_to(home))]
    return {str(path.relative_to(home)): hash_file(path) for path in files}
