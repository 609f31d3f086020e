"""The student's own copies of the notebooks: made once, without outputs, never written over.

    work/en/03-disks.ipynb        the copy that is worked in
    work/en/03-disks.new.ipynb    a newer original, offered beside a copy in which somebody has worked
    work/en/earlier/              copies whose place another one has taken: nothing is ever deleted
    work/.labkit/copies.json      what each copy was made from

A copy holds no outputs when it is made, so the first run of each cell is the student's own, and JupyterLab trusts
what it has run itself. labkit writes no output into a copy and changes none that has some: there is nothing to sign.

Knows: folders, notebooks as files. Must not know: what is asked in them, Jupyter.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import labkit
from labkit.course.copy_news import Change, News
from labkit.course.notebook_file import NotebookFile, read_notebook
from labkit.engine.folders import data_folder
from labkit.errors import HostTrouble, NotFound, WrongState
from labkit.language import _
from labkit.storage.bounded import Damaged, read_json
from labkit.storage.files import host_errors, make_private_folder
from labkit.storage.plain import hash_plain
from labkit.storage.whole_files import write_whole
from labkit.units import MIB

OFFERED = ".new"
"""What stands between the name and the ending of a newer original that is offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """What a copy was made from.

    Attributes:
        made_from: the original's fingerprint. written: hash of the file as labkit wrote it, "" when it was somebody
            else's. offered: fingerprint of the newer original beside it, or "". carried: that of an original that
            somebody had changed in its place, or "".
    """

    made_from: str
    written: str = ""
    offered: str = ""
    carried: str = ""


class WorkingCopies:
    """The copies in a folder.

    Args:
        originals: the folder with a folder for each language; None: LABKIT_COURSE, else beside labkit.
        work: where the copies are; None: `work` in the data folder.
    """

    def __init__(self, originals: Path | None = None, work: Path | None = None) -> None:
        beside = os.environ.get("LABKIT_COURSE") or Path(labkit.__file__).parents[1] / "notebooks"
        self.originals = originals or Path(beside)
        self.work = work or data_folder() / "work"

    # --- what there is ------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the names of the originals, such as `en/03-disks`, sorted.

        Raises:
            HostTrouble: there are none.
        """
        found = sorted(f"{path.parent.name}/{path.stem}" for path in self.originals.glob("*/*.ipynb"))
        if not found:
            raise HostTrouble(
                _("There are no notebooks in {folder}.").format(folder=self.originals),
                _("Start the lab from the folder of the course: ./lab up."),
            )
        return found

    def find(self, name: str, language: str) -> str:
        """Return the full name of a notebook that was called by its number, its name, or both with its language.

        Raises:
            NotFound: there is none.
        """
        names = self.names()
        wanted = name.removesuffix(".ipynb")
        for beginning in (wanted, f"{language}/{wanted}", f"en/{wanted}"):
            if fitting := [each for each in names if each.startswith(beginning) and "/" in beginning]:
                return fitting[0]
        raise NotFound(
            _("There is no notebook {name}.").format(name=name),
            _("There are: {names}.").format(names=", ".join(names)),
        )

    def original(self, name: str) -> NotebookFile:
        """Return an original."""
        return self._read(self.originals / f"{name}.ipynb")

    def path(self, name: str) -> Path:
        """Return where the copy is."""
        return self.work / f"{name}.ipynb"

    def offer(self, name: str) -> Path:
        """Return where a newer original lies, if one is offered."""
        return self.work / f"{name}{OFFERED}.ipynb"

    def offers(self) -> list[str]:
        """Return the names of the copies beside which a newer original is offered."""
        return [name for name, copy in self._load().items() if copy.offered and self.offer(name).exists()]

    # --- what is done ------------------------------------------------------------------------------------

    def update(self, edited: Path | None = None) -> list[News]:
        """Make what is missing, and offer what is newer.

        Args:
            edited: a folder as `originals` in which somebody may have worked; what differs there becomes the copy
                of a notebook that has none yet.
        """
        changes: dict[Change, list[str]] = {}
        with self._writing() as table:
            for name in self.names():
                change = self._update_one(name, table, edited)
                if change:
                    changes.setdefault(change, []).append(name)
        return [News(change=change, names=tuple(changes[change])) for change in Change if change in changes]

    def keep_mine(self, name: str) -> None:
        """Go on with the copy; the newer original that is offered goes, until there is another."""
        with self._offered(name) as (table, copy):
            self._put_aside(name, self.offer(name))
            table[name] = replace(copy, made_from=copy.offered, offered="")

    def take_new(self, name: str) -> Path:
        """Let the newer original be the copy; returns where the one before it lies from now on."""
        with self._offered(name) as (table, copy):
            aside = self._put_aside(name, self.path(name))
            self._take_offer(name, table, copy)
        return aside

    def keep_both(self, name: str) -> Path:
        """Let the newer original be the copy; the one before it stays beside it, under the name that is returned."""
        with self._offered(name) as (table, copy):
            beside = _free(self.path(name).with_name(f"{self.path(name).stem}-mine.ipynb"))
            if self.path(name).exists():
                self.path(name).rename(beside)
            self._take_offer(name, table, copy)
        return beside

    def reset(self, name: str) -> Path:
        """Make the copy anew; returns where the one before it lies from now on."""
        with self._writing() as table:
            aside = self._put_aside(name, self.path(name))
            if self.offer(name).exists():  # it is what the new copy is made from
                self._put_aside(name, self.offer(name))
            self._make(name, self.original(name), table)
        return aside

    def write_beside(self, name: str, text: str) -> Path:
        """Write a file of labkit's own into the folder of the copies, over an earlier one; return where it is."""
        with host_errors(self.work):
            _write(self.work / name, text)
        return self.work / name

    # --- how ---------------------------------------------------------------------------------------------

    def _update_one(self, name: str, table: dict[str, _Copy], edited: Path | None) -> Change | None:
        original, copy, path = self.original(name), table.get(name), self.path(name)
        theirs = _try_read(edited / f"{name}.ipynb") if edited else None
        if not path.exists() and not copy and theirs and theirs.fingerprint != original.fingerprint:
            _write(path, theirs.text)
            table[name] = _Copy(made_from=original.fingerprint, carried=theirs.fingerprint)
            return Change.CARRIED
        if not path.exists():
            self._make(name, original, table)
            return Change.MADE
        if copy and original.fingerprint in (copy.made_from, copy.carried):
            return None
        mine = _try_read(path)
        if mine and mine.fingerprint == original.fingerprint:
            table[name] = replace(copy or _Copy(made_from=""), made_from=original.fingerprint, offered="")
            return None
        if copy and hash_plain(path, follow=True) == copy.written:
            self._make(name, original, table)
            return Change.RENEWED
        offer = self.offer(name)
        if not (copy and copy.offered == original.fingerprint and offer.exists()):
            self._put_aside(name, offer)
            _write(offer, original.text)
            table[name] = replace(copy or _Copy(made_from=""), offered=original.fingerprint)
        return Change.OFFERED

    def _make(self, name: str, original: NotebookFile, table: dict[str, _Copy]) -> None:
        path, before = self.path(name), table.get(name)
        _write(path, original.text)
        carried = before.carried if before else ""
        table[name] = _Copy(made_from=original.fingerprint, written=hash_plain(path, follow=True), carried=carried)

    def _take_offer(self, name: str, table: dict[str, _Copy], copy: _Copy) -> None:
        self.offer(name).replace(self.path(name))
        table[name] = replace(
            copy, made_from=copy.offered, written=hash_plain(self.path(name), follow=True), offered=""
        )

    def _put_aside(self, name: str, path: Path) -> Path:
        """Move a file into the folder of earlier ones, under a name that is free there."""
        folder = self.path(name).parent / "earlier"
        make_private_folder(folder)
        aside = _free(folder / path.name)
        if path.exists():
            path.rename(aside)
        return aside

    def _read(self, path: Path) -> NotebookFile:
        with host_errors(path):
            try:
                return read_notebook(path)
            except Damaged as error:
                raise HostTrouble(
                    _("{path} is no notebook: {why}").format(path=path, why=error),
                    _("Get the course's files again."),
                ) from error

    @contextmanager
    def _offered(self, name: str) -> Iterator[tuple[dict[str, _Copy], _Copy]]:
        with self._writing() as table:
            copy = table.get(name)
            if copy is None or not copy.offered or not self.offer(name).exists():
                raise WrongState(
                    _("There is no newer version of {name} beside your copy.").format(name=name),
                    _("`./lab run labkit course update` looks for newer ones."),
                )
            yield table, copy

    @contextmanager
    def _writing(self) -> Iterator[dict[str, _Copy]]:
        """Hold the folder, and write down what has become of the copies."""
        ours = self.work / ".labkit"
        for folder in (data_folder(), self.work, ours):
            make_private_folder(folder)
        with host_errors(ours), (ours / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            table = self._load()
            try:
                yield table
            finally:
                text = json.dumps({name: asdict(copy) for name, copy in table.items()}, indent=1)
                write_whole(ours / "copies.json", text)

    def _load(self) -> dict[str, _Copy]:
        """Return what each copy was made from; what cannot be read is not known, and then nothing is replaced."""
        try:
            return read_json(self.work / ".labkit" / "copies.json", dict[str, _Copy], most=MIB)
        except (OSError, Damaged):
            return {}


def _try_read(path: Path) -> NotebookFile | None:
    """Return a notebook that a student may have written, or None: it is not there, or is none."""
    try:
        return read_notebook(path)
    except (OSError, Damaged):
        return None


def _write(path: Path, text: str) -> None:
    make_private_folder(path.parent)
    write_whole(path, text)


def _free(path: Path) -> Path:
    """Return the path, or one with a number, that no file has."""
    number = 1
    while path.exists() if number == 1 else path.with_stem(f"{path.stem}-{number}").exists():
        number += 1
    return path if number == 1 else path.with_stem(f"{path.stem}-{number}")
