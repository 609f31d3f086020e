"""The tests' own hash of a large file: of its data and their places, whatever holes it has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hashes import hash_data, hash_file

LENGTH = 1 << 20


def write(path: Path, length: int, pieces: dict[int, bytes]) -> Path:
    """Write a file of holes, and pieces by their places."""
    with path.open("wb") as file:
        for place, piece in pieces.items():
            file.seek(place)
            file.write(piece)
    os.truncate(path, length)
    return path


PIECES = {0: b"a", 5000: b"b" * 9000, LENGTH - 1: b"c"}


def test_zeros_are_as_good_as_holes(tmp_path: Path) -> None:
    full = write(tmp_path / "full", LENGTH, {0: bytes(LENGTH), **PIECES})
    assert hash_data(full) == hash_data(write(tmp_path / "holes", LENGTH, PIECES))


@pytest.mark.parametrize(
    ("length", "pieces"),
    [
        (LENGTH + 4096, PIECES),
        (LENGTH, PIECES | {5000: b"b" * 8999}),
        (LENGTH, PIECES | {600_000: b"d"}),
        (LENGTH, {1: b"a", 5000: b"b" * 9000, LENGTH - 1: b"c"}),
        (LENGTH, {4096: b"a", 9096: b"b" * 9000, LENGTH - 1: b"c"}),
    ],
    ids=["longer", "a byte less", "a byte more", "a byte elsewhere", "a page further"],
)
def test_another_byte_length_or_place_is_another_hash(tmp_path: Path, length: int, pieces: dict[int, bytes]) -> None:
    assert hash_data(write(tmp_path / "one", LENGTH, PIECES)) != hash_data(write(tmp_path / "other", length, pieces))


def test_what_is_written_in_place_is_another_hash_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "file", LENGTH, PIECES)
    seen = {hash_file(path)}
    for number in range(100):
        with path.open("r+b") as file:
            file.seek(7)
            file.write(bytes([number + 1]))
        seen.add(hash_file(path))
    assert len(seen) == 101
