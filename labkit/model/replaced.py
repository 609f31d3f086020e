"""What stands in the place of an image that cannot be read, in words: a file written over, a link, a folder.

Knows: words. Must not know: how it is found out.
"""

from __future__ import annotations

from enum import StrEnum

from labkit.language import _


class Replaced(StrEnum):
    """What has an image's name and is no file."""

    LINK = "link"
    FOLDER = "folder"
    OTHER = "other"
    """A pipe, a device, a socket."""


def say_what_stands(replaced: Replaced | None) -> str:
    """Return why an image cannot be read, to stand in a sentence; None: there is a file."""
    return {
        None: _("another program has written over its beginning"),
        Replaced.LINK: _("a link has been put in its place, and labkit follows none"),
        Replaced.FOLDER: _("a folder has been put in its place"),
        Replaced.OTHER: _("a pipe, a device or a socket has been put in its place"),
    }[replaced]
