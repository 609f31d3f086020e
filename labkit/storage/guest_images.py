"""The guest images built by `images/build.py`, read from their manifests.

Knows: the form of manifests (images/README.md). Must not know: what the images are used for.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from labkit.model.image import Format, Greeting, GuestImage
from labkit.storage.bounded import Damaged, read_json
from labkit.storage.plain import hash_plain, read_plain
from labkit.units import KIB, MIB, TIB, check_name

_DIGITS = 16
"""How many digits of the SHA-256 of its content a file's name begins with."""

_LIST = "course.list"
_MOST_LIST = 64 * KIB
_MOST_MANIFEST = MIB
_MOST_TEXT = 2000
_MOST_BYTES = 2 * TIB


def read_guest_images(folder: Path) -> dict[str, GuestImage]:
    """Return the guest images in a folder by name; those whose files are missing are left out."""
    images = (_read(manifest) for manifest in sorted(folder.glob("*.json")))
    return {image.name: image for image in images if image is not None}


def find_other_versions(folder: Path, tried: Path) -> list[str]:
    """Return the packages that images were made of in a version other than the tried one: "name version", sorted.

    Args:
        tried: the file with the tried versions; if there is none, nothing is compared.
    """
    try:
        known = _Table(read_json(tried, object, most=_MOST_MANIFEST))
        found = set()
        for name in filter(known.get, read_course_list(folder)):
            manifest = _Table(read_json(folder / f"{name}.json", object, most=_MOST_MANIFEST, follow=True))
            here, there = manifest.table("packages"), known.table(name)
            found |= {f"{package} {here.text(package)}" for package in here if here.get(package) != there.get(package)}
    except (OSError, ValueError):
        return []
    return sorted(found)


def read_course_list(folder: Path) -> tuple[str, ...]:
    """Return the names of the guest images that the course needs, sorted; none if nothing has been built yet."""
    try:
        text = read_plain(folder / _LIST, _MOST_LIST, follow=True).decode()
    except (OSError, ValueError):
        return ()
    return tuple(sorted(filter(None, text.splitlines())))


def find_damaged(image: GuestImage) -> list[str]:
    """Return the files of a guest image whose content is not what their names say, or that cannot be read.

    A file's name begins with the first digits of the SHA-256 of its content.
    """
    files = [path for path in (image.kernel, image.initramfs, image.disk) if path is not None]
    return [path for path in files if not is_as_named(Path(path))]


def is_as_named(path: Path) -> bool:
    """Return whether a file's content is what its name says."""
    try:
        digest = hash_plain(path, follow=True)
    except OSError:
        return False
    return len(start := path.name.partition("-")[0]) == _DIGITS and digest.startswith(start)


def _read(manifest: Path) -> GuestImage | None:
    """Return the guest image that a manifest describes, or None if no machine can be made of it."""
    try:
        data = _Table(read_json(manifest, object, most=_MOST_MANIFEST, follow=True))
        disk, message = data.table("disk"), data.get("message")
        image = GuestImage(
            name=data.text("name"),
            kernel=data.file("kernel", manifest.parent),
            initramfs=data.file("initramfs", manifest.parent),
            command_line=data.text("command_line"),
            disk=disk.file("file", manifest.parent) or "",
            format=Format(disk.text("format")),
            capacity=disk.number("capacity"),
            disk_bytes=os.stat(disk.file("file", manifest.parent) or "").st_blocks * 512,
            minimum_memory=data.number("minimum_memory"),
            agent=data.get("agent") is True,
            prompt=data.text("prompt") if data.get("prompt") is not None else None,
            message=_message(_Table(message)) if message else None,
        )
        check_name(image.name, what="")
    except (OSError, ValueError):  # includes Damaged, and names that no file can have
        return None
    parts = (image.kernel, image.initramfs, image.disk)
    greets = image.message is None or image.message.offset + image.message.length <= image.capacity
    whole = all(part is None or _is_plain(part) for part in parts)
    return image if image.capacity and greets and whole else None


def _message(table: _Table) -> Greeting:
    return Greeting(offset=table.number("offset"), length=table.number("length"))


def _is_plain(path: str) -> bool:
    return stat.S_ISREG(os.stat(path).st_mode) if os.path.exists(path) else False


class _Table:
    """A table of a manifest that checks the type of each value; by hand, since every reading of a lab uses it.

    All its methods raise Damaged if the value is of another type.
    """

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise Damaged("no table")
        self._values = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, key: str) -> object:
        """Return the value of a key, or None."""
        value: object = self._values.get(key)
        return value

    def table(self, key: str) -> _Table:
        """Return a table."""
        return _Table(self.get(key))

    def text(self, key: str) -> str:
        """Return one line of text."""
        value = self.get(key)
        if not isinstance(value, str) or not value.isprintable() or len(value) > _MOST_TEXT:
            raise Damaged(f"no {key}")
        return value

    def number(self, key: str) -> int:
        """Return a whole number of bytes."""
        value = self.get(key)
        if type(value) is not int or not 0 <= value <= _MOST_BYTES:
            raise Damaged(f"no {key}")
        return value

    def file(self, key: str, folder: Path) -> str | None:
        """Return the absolute path of a file in the manifest's own folder, or None if none is named."""
        if self.get(key) is None:
            return None
        path = PurePosixPath(self.text(key))
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise Damaged(f"no {key}")
        return str(folder / path)
