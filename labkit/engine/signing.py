"""Recognizing texts in a lab's folder that this computer's labkit wrote itself, by a code that only it can make.

A lab's folder may come from anybody: from a friend's stick, from another computer, out of an archive. Its content is
data, except for the journal, which orders labkit to delete and to define. So each line of the journal has a code
(HMAC-SHA256), made with a key that is in the data folder and never in a lab.

Knows: the data folder. Must not know: what the texts mean.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from pathlib import Path

from labkit.engine.folders import data_folder
from labkit.storage.files import host_errors
from labkit.storage.plain import read_plain
from labkit.storage.whole_files import write_new

_BYTES = 32


def sign(words: str) -> str:
    """Return the code of a text, 64 hexadecimal digits.

    Raises:
        HostTrouble: the key cannot be made or read.
    """
    return _code(_make_key(), words)


def is_signed(words: str, code: str) -> bool:
    """Return whether this computer's labkit made a code for this text; if there is no key, none is made."""
    key = _read_key(_key_file())
    return key is not None and hmac.compare_digest(_code(key, words).encode(), code.encode())


def _code(key: bytes, words: str) -> str:
    return hmac.new(key, words.encode(), hashlib.sha256).hexdigest()


def _key_file() -> Path:
    return data_folder() / "journal.key"


def _read_key(path: Path) -> bytes | None:
    with host_errors(path), contextlib.suppress(FileNotFoundError):
        key = read_plain(path, _BYTES + 1, follow=True)
        return key if len(key) == _BYTES else None
    return None


def _make_key() -> bytes:
    """Return the key, made when first needed; two processes get the same. One cut short by a full disk is replaced."""
    path = _key_file()
    key = _read_key(path)
    if key is not None:
        return key
    with host_errors(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size != _BYTES:
                path.unlink()
        with contextlib.suppress(FileExistsError):  # another kernel was first: its key counts
            write_new(path, secrets.token_bytes(_BYTES))
        return path.read_bytes()
