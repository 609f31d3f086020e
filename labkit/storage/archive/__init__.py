"""Archives of machines: a tar file that any tar can unpack, and that labkit reads as if an enemy had made it.

    disks/…  memory/…  boot/…     the files, holes left out (GNU's sparse form 1.0, in pax headers)
    labkit.json                   the manifest, last, so an archive that was cut short has none

Source: GNU tar manual, "Storing Sparse Files"; POSIX pax. Knows: tar, hashes. Must not know: images, machines.
"""

from __future__ import annotations

from labkit.storage.archive.reading import MOST_MANIFEST, Member, read_bytes, read_members, refused, unpack
from labkit.storage.archive.writing import MANIFEST, Source, Written, write_archive

__all__ = [
    "MANIFEST",
    "MOST_MANIFEST",
    "Member",
    "Source",
    "Written",
    "read_bytes",
    "read_members",
    "refused",
    "unpack",
    "write_archive",
]
