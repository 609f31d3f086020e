"""What there is in the place of an image that cannot be read, in words: a file written over, a link, a folder.

Knows: the words. Must not know: how it is found out.
"""

from __future__ import annotations

from enum import StrEnum

from labkit.language import _


class Replaced(StrEnum):
    """What is there under an image's name instead of a file that can be read."""

    LINK = "link"
    FOLDER = "folder"
    OTHER = "other"
    """A pipe, a device, a socket."""
    LOCKED = "locked"
    """The file, but this user may not read it."""
    FOREIGN = "foreign"
    """An image, but one that keeps its data elsewhere: on a server, say, or in a file of another program's choice."""


def say_what_stands(replaced: Replaced | None) -> str:
    """Return why an image cannot be read, as a part of a sentence. None as the argument: there is a file."""
    return {
        None: _("another program has written over its beginning"),
        Replaced.LINK: _("a link has been put in its place, and labkit follows none"),
        Replaced.FOLDER: _("a folder has been put in its place"),
        Replaced.OTHER: _("a pipe, a device or a socket has been put in its place"),
        Replaced.LOCKED: _("this user has no right to read it"),
        Replaced.FOREIGN: _(
            "another program has let it stand on something that is no file, which labkit does not follow"
        ),
    }[replaced]
