"""Spoil labkit on purpose and see whether a notebook notices: `./lab run python -m tests.notebooks.mutations [NAME …]`.

Each mutation changes a copy of the package in one place, so that it no longer does what the course says. The core of
the notebook that tells of it, up to the named cell, is then run and compared by nbval: it must turn red, and by what a
cell says, not by a call that fails. Without names all are tried, one at a time; each takes a minute or two. It ends
with a table, and fails if one was not noticed.

Knows: the product's source, nbval. Must not know: what a notebook's outputs are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import nbformat
from nbformat import NotebookNode

from tests.instance import ROOT
from tests.notebooks.execute import read_notebook

say = print  # a command speaks

DEEPER = "deeper"
"""The cell at which a notebook's core ends."""

_COPIED = ("labkit", "images", "tests", "conftest.py", "pyproject.toml")
_HIDDEN = shutil.ignore_patterns("__pycache__", ".mypy_cache", ".ruff_cache", ".hypothesis")
_DIFFERS = "Cell outputs differ"
"""What nbval says of a cell that has run and says something else."""

_LIMIT = 900
"""Seconds that a notebook's core may take on a busy computer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A place in the source: its file, the text that stands there once, and what stands there instead."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """A fault in the product.

    Attributes:
        name: its name. notebook: the beginning of the name of the one that must notice it.
        cell: the id of the cell that must notice it at the latest. changes: where the source is changed.
    """

    name: str
    notebook: str
    cell: str
    changes: tuple[Change, ...]


def _in(file: str, old: str, new: str) -> Change:
    return Change(file=f"labkit/{file}", old=old, new=new)


MUTATIONS = (
    Mutation(
        name="restore-leaves-one-image",
        notebook="04",
        cell="files-reveal",
        changes=(
            _in(
                "engine/steps/layer.py",
                "delete_unneeded(step.paths, context)",
                "delete_unneeded(step.paths[1:], context)",
            ),
        ),
    ),
    Mutation(
        name="memory-dropped",
        notebook="04",
        cell="restore-verify",
        changes=(
            _in(
                "engine/steps/restore.py",
                "context.snapshots.restore_memory(step.machine_id, step.memory, step.disks, paused=paused)\n"
                "        state = MachineState.PAUSED",
                "domains.start(step.machine_id, subject='')\n        return",
            ),
        ),
    ),
    Mutation(
        name="take-does-not-freeze",
        notebook="04",
        cell="take-do",
        changes=(
            _in(
                "engine/steps/snapshot.py",
                "    if step.live:\n        mapped.keep",
                "    context.domains.repoint(step.machine_id, *step.frozen)\n    if step.live:\n        mapped.keep",
            ),
        ),
    ),
    Mutation(
        name="fixed-not-filled",
        notebook="03",
        cell="formats-see",
        changes=(_in("storage/qemu_img.py", "            _fill(place, format, on_bytes, limit)", "            pass"),),
    ),
    Mutation(
        name="throttle-only-in-the-definition",
        notebook="02",
        cell="qos-limits",
        changes=(
            _in(
                "hypervisor/disks.py",
                "_views(domains, machine_id):\n        domains.on(machine_id, partial(_tune",
                "_views(domains, machine_id)[-1:]:\n        domains.on(machine_id, partial(_tune",
            ),
        ),
    ),
    Mutation(
        name="clone-writes-into-its-base",
        notebook="05",
        cell="race-do",
        changes=(
            _in(
                "engine/steps/clone.py",
                "inherit=context.inherit)\n        case BackUp",
                "inherit=context.inherit)\n"
                "            base = Path(step.backing)\n"
                "            base.chmod(0o644)\n"
                "            with base.open('r+b') as file:\n"
                "                file.seek(-4096, 2)\n"
                "                file.write(bytes(range(256)) * 16)\n"
                "        case BackUp",
            ),
        ),
    ),
    Mutation(
        name="delete-drops-a-block",
        notebook="04",
        cell="inner-reveal",
        changes=(
            _in(
                "engine/steps/layer.py",
                "        _move_up(step, context)\n",
                "        _move_up(step, context)\n"
                "        Path(step.child).chmod(0o644)\n"
                "        with Path(step.child).open('r+b') as file:\n"
                "            file.seek(-65536, 2)\n"
                "            file.write(bytes(65536))\n",
            ),
        ),
    ),
    Mutation(
        name="a-pause-in-migrate",
        notebook="01",
        cell="move-see",
        changes=(
            _in(
                "hypervisor/migration.py",
                "        domain.migrateToURI3(to_uri",
                "        import time\n\n        domain.suspend()\n        time.sleep(3)\n        domain.resume()\n"
                "        domain.migrateToURI3(to_uri",
            ),
        ),
    ),
    Mutation(
        name="a-panic-stops-the-neighbour",
        notebook="01",
        cell="neighbour-reveal",
        changes=(
            _in(
                "guest/console.py",
                "        before = self.position\n        self._send(typed)\n        return before\n",
                "        before = self.position\n        self._send(typed)\n"
                "        if 'sysrq' in text:\n"
                "            import os, signal, threading, libvirt\n"
                "            from labkit.hypervisor.process import find_pid\n\n"
                "            pid = find_pid(libvirt.open('qemu:///session').lookupByName('b').UUIDString())\n"
                "            os.kill(pid, signal.SIGSTOP)\n"
                "            threading.Timer(3, os.kill, (pid, signal.SIGCONT)).start()\n"
                "        return before\n",
            ),
        ),
    ),
    Mutation(
        name="discard-ignored",
        notebook="03",
        cell="delete-freed",
        changes=(
            _in(
                "hypervisor/domain_xml/building.py",
                'type=disk.format.driver, discard="unmap")',
                'type=disk.format.driver, discard="ignore")',
            ),
        ),
    ),
    Mutation(
        name="locate-off-by-a-cluster",
        notebook="03",
        cell="block-read",
        changes=(
            _in(
                "model/regions.py",
                "return region.path, region.offset + offset - region.start",
                "return region.path, region.offset + offset - region.start + 65536",
            ),
        ),
    ),
    Mutation(
        name="identity-kept",
        notebook="05",
        cell="twins-see",
        changes=(_in("plans/clone_request.py", "keeping_identity(keep=keep)", "keeping_identity(keep=True)"),),
    ),
    Mutation(
        name="linked-clone-copies",
        notebook="05",
        cell="race-see",
        changes=(
            _in(
                "engine/steps/clone.py",
                "inherit=context.inherit)\n        case BackUp",
                "inherit=context.inherit)\n"
                "            for path in paths:\n"
                "                qemu_img.rebase(path, None, None, **context.copying)\n"
                "        case BackUp",
            ),
        ),
    ),
)


def core_of(notebook: NotebookNode, cell: str) -> NotebookNode:
    """Return the notebook up to a cell, which must lie in its core.

    Raises:
        ValueError: there is no such cell in the core.
    """
    ids = [each.id for each in notebook.cells]
    end = ids.index(DEEPER) if DEEPER in ids else ids.index("learned")
    core: NotebookNode = nbformat.from_dict({**notebook, "cells": notebook.cells[: ids.index(cell, 0, end) + 1]})
    return core


def find_notebook(mutation: Mutation) -> Path:
    """Return the English edition of the notebook that must notice a mutation."""
    return next((ROOT / "notebooks/en").glob(f"{mutation.notebook}-*.ipynb"))


def mutate(mutation: Mutation, folder: Path) -> None:
    """Change the source below a folder.

    Raises:
        ValueError: a text does not stand there exactly once; the mutation must follow the source.
    """
    for change in mutation.changes:
        file = folder / change.file
        text = file.read_text(encoding="utf-8")
        if text.count(change.old) != 1:
            raise ValueError(f"{mutation.name}: {change.file} says {text.count(change.old)} times: {change.old!r}")
        file.write_text(text.replace(change.old, change.new), encoding="utf-8")


@contextmanager
def mutant(mutation: Mutation) -> Iterator[Path]:
    """A folder with a copy of labkit that has the mutation, and the core of the notebook."""
    with tempfile.TemporaryDirectory(prefix="labkit-mutant-") as place:
        folder = Path(place)
        for name in _COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=_HIDDEN)
            else:
                shutil.copy(ROOT / name, folder)
        mutate(mutation, folder)
        source = find_notebook(mutation)
        target = folder / source.relative_to(ROOT)
        target.parent.mkdir(parents=True)
        target.write_text(nbformat.writes(core_of(read_notebook(source), mutation.cell)), encoding="utf-8")
        yield folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """The first cell of a notebook that is red: its id, and whether it says something else (or else it has failed)."""

    cell: str
    by_comparison: bool


def run_mutant(mutation: Mutation) -> Noticed | None:
    """Run the notebook on the mutated labkit and return how it noticed, or None if no cell is red.

    Raises:
        RuntimeError: nothing was run: the copy does not work at all.
    """
    with mutant(mutation) as folder:
        notebook = find_notebook(mutation).relative_to(ROOT)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-x", "--timeout", str(_LIMIT)),
                *("--junitxml", "result.xml", str(notebook)),
            ],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        report = folder / "result.xml"
        cases = list(ET.parse(report).iter("testcase")) if report.exists() else []  # noqa: S314  pytest has just written it
        if not cases:
            raise RuntimeError(f"{mutation.name}: nothing was run.\n{done.stdout}\n{done.stderr}")
        code = [cell.id for cell in read_notebook(folder / notebook).cells if cell.cell_type == "code"]
        for cell, case in zip(code, cases, strict=False):
            if (failure := case.find("failure")) is not None:
                return Noticed(cell=cell, by_comparison=_DIFFERS in (failure.text or ""))
        return None


def main(names: Sequence[str]) -> int:
    """Try the mutations named on the command line."""
    chosen = [mutation for mutation in MUTATIONS if not names or mutation.name in names]
    missed = []
    say("| mutation | notebook | red in | must be by | seconds |")
    say("|---|---|---|---|---|")
    for mutation in chosen:
        began = time.monotonic()
        red = run_mutant(mutation)
        missed += [] if red and red.by_comparison else [mutation.name]
        how = "**not noticed**" if not red else f"`{red.cell}`" if red.by_comparison else f"`{red.cell}` **fails**"
        row = (mutation.name, mutation.notebook, how, f"`{mutation.cell}`")
        say(f"| {' | '.join(row)} | {time.monotonic() - began:.0f} |", flush=True)
    return 1 if missed or not chosen else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
