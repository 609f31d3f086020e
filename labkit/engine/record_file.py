"""The file of a lab's record: read within limits, written whole or not at all, private.

    home/record.json    definitions, snapshots, instances, what each image was made for, who wrote it

Knows: its form. Must not know: libvirt, when it is written.
"""

from __future__ import annotations

import functools
import hashlib
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.engine.lease import lease_of
from labkit.errors import HostTrouble
from labkit.language import _
from labkit.model.record import RECORD_VERSION, LabRecord
from labkit.storage.bounded import make_strict_converter, parse_json, structure_with
from labkit.storage.files import host_errors
from labkit.storage.plain import read_plain
from labkit.storage.whole_files import free_name, write_whole
from labkit.units import MIB

if TYPE_CHECKING:
    from cattrs.preconf.json import JsonConverter

MOST_BYTES = 64 * MIB
"""The most bytes of a record: two thousand machines with a dozen snapshots each take less."""


_MOST_VALUES = 500_000  # in a record


def record_file(home: Path) -> Path:
    """Return the path of a lab's record."""
    return home / "record.json"


def read_version(home: Path) -> tuple[int, ...]:
    """Return what changes when a lab's record is written, or its folder exchanged; empty if there is no record."""
    try:
        info = record_file(home).stat()
    except OSError:
        return ()
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def read_writer(locks: Path, uri: str) -> str:
    """Return the id of the writer of a lab's record here: of this computer and the hypervisor's folder of definitions.

    Another writer's definitions may describe another state of the lab; the record's last writer shows whose is newer.

    Args:
        locks: the lab's folder of locks. uri: of the hypervisor.
    """
    from labkit.hypervisor.daemon_place import find_config_folder

    computer = lease_of(locks).computer
    text = f"{computer.id or computer.boot}\n{find_config_folder(uri).resolve()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_record(home: Path, name: str = "record.json") -> LabRecord | None:
    """Return the record in a lab's folder, or None. `name`: that of an older one that was put aside.

    Raises:
        HostTrouble: it cannot be read, or is not a record that this labkit understands.
    """
    path = home / name
    try:
        text = parse_json(read_plain(path, MOST_BYTES + 1), most=MOST_BYTES, values=_MOST_VALUES)
        record: LabRecord = structure_with(_converter(), text, LabRecord)
        return _checked(record)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise HostTrouble(
            _("{path} cannot be read: it is damaged, or a newer labkit wrote it.").format(path=path),
            _("Bring it back from a backup of the lab's folder, or move it away: it is then made again."),
            details=str(error),
        ) from error


def _checked(record: LabRecord) -> LabRecord:
    """The record, after checking the id and path in it, from which a lost `lab.json` is made again."""
    uuid.UUID(record.lab_id)
    if not os.path.isabs(record.home) or not record.home.isprintable():
        raise ValueError("no absolute path")
    return record


def write_record(home: Path, record: LabRecord, name: str = "record.json") -> None:
    """Replace the record in a lab's folder, durably; if the new one is empty, remove the file.

    Args:
        name: of the file, for a record that is put aside.
    """
    path = home / name
    with host_errors(path):
        if record.is_empty:
            path.unlink(missing_ok=True)
            return
        write_whole(path, _converter().dumps(record, indent=1))


def keep_aside(home: Path, record: LabRecord) -> Path:
    """Keep what a hypervisor knew, and is going to forget, beside a lab's record; returns the file."""
    path = free_name(record_file(home), "here")
    with host_errors(path):
        write_whole(path, _converter().dumps(record, indent=1))
    return path


@functools.cache
def _converter() -> JsonConverter:
    """The converter; made when first needed."""
    from cattrs.gen import make_dict_structure_fn

    converter = make_strict_converter(extra=False, halves=True)  # a folder's name may be any bytes
    structure = make_dict_structure_fn(LabRecord, converter, _cattrs_forbid_extra_keys=True)

    def of_this_form(value: object, kind: type[LabRecord]) -> LabRecord:
        if not isinstance(value, dict) or value.get("version") != RECORD_VERSION:
            raise ValueError("another form")
        return structure(value, kind)

    converter.register_structure_hook(LabRecord, of_this_form)
    return converter
