"""Every file of a lab's folder, each by its name, with something else in its place. Run as a child."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import TypeVar

from labkit import Lab
from labkit.cli import main as labkit
from labkit.engine import journal
from labkit.errors import LabError
from tests.corpus.cage import try_all
from tests.corpus.mutants import drawing, mutate_bytes, mutate_json, write_json
from tests.storage.test_plain import a_device, a_link_to_nothing, a_pipe, a_ring

_NAME = "kept"
_SPARSE = 1 << 40

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"

Put = Callable[[Path], object]

_T = TypeVar("_T")


def main(folder: Path, count: int) -> None:
    """Try each kind of thing in the place of each file, and so many mutants of what is in it."""
    os.environ["LABKIT_HOME"] = str(folder / "labs")
    home, sound = folder / "labs" / _NAME, folder / "sound"
    with Lab.open(_NAME) as lab:
        try:
            contents = _furnish(lab)
            lab.close()
            shutil.copytree(home, sound)
            for turn, (name, content) in enumerate(sorted({**_read_all(sound), **contents}.items())):
                try_all(name, _tries(home / name, home, sound, content, turn, count))
        finally:
            with Lab.open(_NAME) as again:
                again.clean()


def _furnish(lab: Lab) -> dict[str, bytes]:
    """Let a lab have every kind of file: images, memory, kernels, a record and older ones, an act.

    Returns:
        What other computers would have written into it: while that is there, the lab is not ours.
    """
    vm = lab.create("web", image="sector", memory="16 MiB", disk_format="qcow2").start()
    vm.snapshots.take("one")
    vm.save()
    lab.create("boots", image="tiny")
    for ending in ("older", "here"):
        shutil.copy(lab.home / "record.json", lab.home / f"record.json.1.{ending}")
    plan = journal.dump_plan(lab.disks.create.plan("never", capacity="1 MiB"))
    (lab.home / "journal" / "0123456789abcdef0123456789abcdef.jsonl").write_text(f"{'0' * 64} {plan}\n")
    computer = {"boot": "another", "id": "another", "name": "another"}
    guests = {**computer, "guests": [{"id": vm.id, "name": "web", "pid": 1}]}
    kernel = {**computer, "pid": 1, "started": 1.0, "counter": 1}
    told = {"another.guests": guests, "another.1.kernel": kernel, "lease.holder": computer}
    return {f"locks/{name}": json.dumps(document).encode() for name, document in told.items()}


def _read_all(sound: Path) -> dict[str, bytes]:
    """What is in each file, of each kind one; of those that are no text only that there are any."""
    files = [path for path in sorted(sound.rglob("*")) if path.is_file()]
    kinds = {(path.parent, path.suffix): path for path in files}
    texts = (".json", ".jsonl", ".older", ".here")
    return {str(path.relative_to(sound)): path.read_bytes() if path.suffix in texts else b"" for path in kinds.values()}


def _tries(
    path: Path, home: Path, sound: Path, content: bytes, turn: int, count: int
) -> Iterator[tuple[str, Callable[[], object]]]:
    puts: dict[str, Put] = {each.__name__: each for each in (*_PUT, *_in_turn(_PUT_IN_TURN, turn))}
    puts |= {"a tebibyte of nothing": lambda file: os.truncate(_touch(file), _SPARSE), "nothing": _touch}
    if content:
        texts = _TEXTS | {word: _TEXTS_IN_TURN[word] for word in _in_turn(tuple(_TEXTS_IN_TURN), turn)}
        puts |= {word: _writing(text) for word, text in texts.items()}
        puts |= {f"bytes {n}": _writing(mutate_bytes(content, drawing(n), head=len(content))) for n in range(count)}
        with suppress(ValueError):
            value = json.loads(content)
            puts |= {
                f"mutant {n}": _writing(write_json(mutate_json(value, drawing(n)), drawing(n))) for n in range(count)
            }
    for word, put in puts.items():
        yield f"{path.name}: {word}", lambda put=put: _try(path, put, home, sound)  # type: ignore[misc]


_PUT: tuple[Put, ...] = (Path.mkdir, a_pipe)
_PUT_IN_TURN: tuple[Put, ...] = (a_link_to_nothing, a_ring, a_device)
"""What is no plain file: one function opens all files, so who does it in another way shows it with the first two."""

_TEXTS = {
    "deep": b"[" * 100_000,
    "no number": b'{"id": NaN, "version": NaN, "size": Infinity}',
    "a list": b"[1, 2]",
    "null": b"null",
}
_TEXTS_IN_TURN = {
    "deep and closed": b'{"id":' * 500 + b"0" + b"}" * 500,
    "no text": b"\xff\xfe\x00" * 100,
    "many": b"[" + b"{}," * 400_000 + b"{}]",
}
"""What is no text of ours: one function parses all files; the form of what it gives each reader looks at itself."""


def _in_turn(choice: Sequence[_T], turn: int) -> Sequence[_T]:
    """In a short run one of them, another one for the next file, so that each comes to many; in the long form all."""
    return choice if THOROUGH else choice[turn % len(choice) :][:1]


def _touch(path: Path) -> Path:
    path.touch()
    return path


def _writing(text: bytes) -> Put:
    return lambda path: path.write_bytes(text)


def _try(path: Path, put: Put, home: Path, sound: Path) -> None:
    _remove(path)
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        put(Path(path.name))
    finally:
        os.chdir(here)
    try:
        _look()
    finally:
        _bring_back(home, sound)


def _look() -> None:
    """Do all that reads a lab's folder; whatever goes wrong is an error of ours, and the next is tried all the same."""
    with suppress(LabError), redirect_stdout(StringIO()):
        labkit(["lab", "list"])
    with suppress(LabError), Lab.open(_NAME) as lab:
        for read in (
            lambda: [(vm.state, list(vm.snapshots), vm.console.since(0)) for vm in lab.machines.values()],
            lambda: [disk.map() for disk in lab.disks.values()],
            lambda: [lab.lineage.graph()],
            lambda: list(lab.orphans),
            lambda: [lab.verify()],
            lambda: lab.machines["web"].snapshots.restore.plan("one"),
            lambda: lab.disks.create("other", capacity="1 MiB"),
            lambda: [lab.disks["other"].delete()],
        ):
            with suppress(LabError):
                read()


def _bring_back(home: Path, sound: Path) -> None:
    """Let the folder be as it was."""
    for path in sorted(home.rglob("*"), reverse=True):
        old = sound / path.relative_to(home)
        if not os.path.lexists(old) or path.is_symlink() or path.is_dir() != old.is_dir():
            _remove(path)
    for old in sorted(sound.rglob("*")):
        path = home / old.relative_to(sound)
        if old.is_dir():
            path.mkdir(exist_ok=True)
        elif not path.exists() or _mark(path) != _mark(old):
            _remove(path)
            shutil.copy2(old, path)


def _mark(path: Path) -> tuple[int, int]:
    info = path.stat()
    return info.st_size, info.st_mtime_ns


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
