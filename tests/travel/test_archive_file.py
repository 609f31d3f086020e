"""The archive's file: what is written is read again, also by tar, and none makes labkit do what it should not."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import BadInput, Cancelled, NotFound
from labkit.limits import Limit
from labkit.storage.archive import MANIFEST, Member, Source, Written, read_members, unpack, write_archive, writing
from labkit.units import GIB, KIB, MIB


def unheard(_done: int, _total: int) -> None:
    """Hear nothing."""


def tell(written: Mapping[str, Written]) -> bytes:
    """A manifest that holds the hashes."""
    return json.dumps({name: each.sha256 for name, each in written.items()}).encode()


def hashes(archive: Path) -> dict[str, str]:
    """What the manifest holds."""
    member = read_members(archive)[-1]
    with archive.open("rb") as file:
        file.seek(member.start)
        return dict(json.loads(file.read(member.stored)))


def make_sparse(path: Path) -> Path:
    """A file of 1 GiB with some data in the middle and at the end."""
    with path.open("wb") as file:
        file.truncate(GIB)
        file.seek(300 * MIB)
        file.write(b"middle" * 1000)
        file.seek(GIB - 5)
        file.write(b"end!!")
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive of a small, an empty-ended and a sparse file."""
    (tmp_path / "small").write_bytes(b"hello")
    sources = [
        Source(name="boot/small", path=tmp_path / "small"),
        Source(name="disks/sparse", path=make_sparse(tmp_path / "sparse")),
    ]
    write_archive(tmp_path / "x.labkit", sources, tell, on_bytes=unheard)
    return tmp_path / "x.labkit"


def take(archive: Path, member: Member, target: Path) -> Path:
    """Unpack one file."""
    with target.open("xb") as file:
        unpack(archive, member, file, hashes(archive)[member.name], on_bytes=unheard)
    return target


def test_what_is_written_is_read_again_and_holes_stay_holes(archive: Path, tmp_path: Path) -> None:
    small, sparse, manifest = read_members(archive)
    assert (small.name, sparse.name, manifest.name) == ("boot/small", "disks/sparse", MANIFEST)
    assert take(archive, small, tmp_path / "small-2").read_bytes() == b"hello"
    assert archive.stat().st_size < 100 * KIB
    again = take(archive, sparse, tmp_path / "sparse-2")
    assert again.stat().st_blocks * 512 < 100 * KIB
    assert subprocess.run(["cmp", tmp_path / "sparse", again], check=False).returncode == 0


def test_any_tar_unpacks_it(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "by-tar").mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", tmp_path / "by-tar"], check=True)
    assert subprocess.run(["cmp", tmp_path / "sparse", tmp_path / "by-tar/disks/sparse"], check=False).returncode == 0
    with tarfile.open(archive) as opened:
        assert opened.getnames() == ["boot/small", "disks/sparse", MANIFEST]


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 5 * MIB + 1])
def test_every_length_comes_back(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(b"after")
    sources = [Source(name=name, path=tmp_path / name) for name in "ab"]
    write_archive(tmp_path / "x", sources, tell, on_bytes=unheard)
    first, second, _manifest = read_members(tmp_path / "x")
    assert take(tmp_path / "x", first, tmp_path / "a2").read_bytes() == content
    assert take(tmp_path / "x", second, tmp_path / "b2").read_bytes() == b"after"


def test_cancelled_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(9 * MIB))
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        write_archive(
            tmp_path / "x",
            [Source(name="a", path=tmp_path / "a", sparse=False)],
            tell,
            on_bytes=lambda _done, _total: cancel.set(),
            limit=Limit(cancel=cancel),
        )
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_another_byte_is_another_hash(archive: Path, tmp_path: Path) -> None:
    sparse = read_members(archive)[1]
    with archive.open("r+b") as file:
        file.seek(sparse.start + sparse.stored - 1)
        file.write(b"?")
    with pytest.raises(BadInput, match="hash"):
        take(archive, sparse, tmp_path / "sparse-2")


def test_it_may_be_cut_anywhere(archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    for length in range(0, read_members(archive)[-1].start, 487):
        cut = tmp_path / "cut"
        cut.write_bytes(whole[:length])
        try:
            members = read_members(cut)
        except BadInput:
            continue
        assert not members or members[-1].name != MANIFEST, length


def entry(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **values: object) -> bytes:
    """One entry of a tar, as another program may write it."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    for key, value in values.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


PAX = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n26 GNU.sparse.name=disks/x\n"

HOSTILE = {
    "a link": entry("disks/x", tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": entry("disks/x", tarfile.LNKTYPE, linkname="/etc/passwd"),
    "a device": entry("disks/x", tarfile.CHRTYPE, devmajor=1, devminor=5),
    "a pipe": entry("disks/x", tarfile.FIFOTYPE),
    "a folder": entry("disks/", tarfile.DIRTYPE),
    "an old sparse file": entry("disks/x", tarfile.GNUTYPE_SPARSE),
    "a long name": entry("././@LongLink", tarfile.GNUTYPE_LONGNAME, b"x" * 300),
    "a global header": entry("x", tarfile.XGLTYPE, b"11 path=/x\n"),
    "a path in a header": entry("x", tarfile.XHDTYPE, b"19 path=/etc/passwd\n") + entry("y"),
    "half a sparse header": entry("x", tarfile.XHDTYPE, PAX) + entry("y"),
    "two headers": entry("x", tarfile.XHDTYPE, PAX) * 2,
    "a huge header": entry("x", tarfile.XHDTYPE, b"9" * 8192),
    "no tar": b"just a text" * 100,
    "nothing": b"",
    "zeros": bytes(4096),
    "a broken sum": b"x" + entry("disks/x")[1:],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_labkit_does_not_write_it_does_not_read(tmp_path: Path, what: str) -> None:
    (tmp_path / "x").write_bytes(HOSTILE[what] + bytes(1024))
    with pytest.raises(BadInput, match="not brought in"):
        read_members(tmp_path / "x")


@pytest.mark.parametrize("size", [2**33, 2**62, -1, -512])
def test_a_size_beyond_the_file_is_not_believed(tmp_path: Path, size: int) -> None:
    info = tarfile.TarInfo("disks/x")
    info.size = size
    (tmp_path / "x").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(BadInput):
        read_members(tmp_path / "x")


MAPS = {
    "none": b"",
    "no number": b"x\n0\n0\n",
    "a huge count": b"999999999999\n",
    "a negative offset": b"1\n-5\n4\n",
    "overlapping": b"2\n0\n4\n2\n4\n",
    "beyond the end": b"1\n100\n512\n",
    "more than there is": b"1\n0\n5000\n",
    "a number without end": b"9" * 600,
}


@pytest.mark.parametrize("what", MAPS)
def test_a_damaged_map_writes_nothing_beyond_its_file(tmp_path: Path, what: str) -> None:
    data = MAPS[what].ljust(1024, b"\0") + b"data"
    (tmp_path / "x").write_bytes(data)
    member = Member(name="disks/x", start=0, stored=len(data), sparse=True, length=100)
    target = tmp_path / "y"
    with pytest.raises(BadInput), target.open("xb") as file:
        unpack(tmp_path / "x", member, file, "", on_bytes=unheard)
    assert target.stat().st_size <= 100


@settings(max_examples=40)
@given(data=st.data())
def test_no_damage_gives_another_error(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fuzz", numbered=True)
    (folder / "a").write_bytes(b"some content")
    with (folder / "b").open("wb") as file:
        file.truncate(MIB)
        file.seek(MIB // 2)
        file.write(b"data")
    sources = [Source(name=f"disks/{name}", path=folder / name) for name in "ab"]
    write_archive(folder / "x", sources, tell, on_bytes=unheard)
    text = bytearray((folder / "x").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    (folder / "x").write_bytes(text)
    try:
        members = read_members(folder / "x")
        for number, member in enumerate(members):
            with (folder / f"out-{number}").open("xb") as out:
                unpack(folder / "x", member, out, "0" * 64, on_bytes=unheard)
    except BadInput:
        pass
    assert all(path.name[0] in "abox" for path in folder.iterdir())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        read_members(tmp_path / "nowhere.labkit")


def test_a_folder_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="folder"):
        read_members(tmp_path)


def test_a_pipe_does_not_make_it_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput):
        read_members(tmp_path / "pipe")


def test_a_long_name_of_any_script_comes_back_whole(tmp_path: Path) -> None:
    long = "龍" * 60
    (tmp_path / "small").write_bytes(b"hello")
    sources = [
        Source(name=f"memory/{long}.0.mem", path=tmp_path / "small", sparse=False),
        Source(name=f"disks/{long}.vda.0.raw", path=make_sparse(tmp_path / "sparse")),
    ]
    target = tmp_path / "x.labkit"
    write_archive(target, sources, tell, on_bytes=unheard)
    assert [member.name for member in read_members(target)] == [*(source.name for source in sources), MANIFEST]
    listed = subprocess.run(
        ["tar", "-tf", str(target)],
        check=True,
        capture_output=True,
        text=True,
        env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]},
    )
    assert len(listed.stdout.splitlines()) == 3
    assert not listed.stderr


def test_a_file_in_very_many_pieces_is_written_so_that_it_can_be_read() -> None:
    segments = [(number * 8192, 4096) for number in range(1000)]
    joined = writing._join(segments, 100)
    assert len(joined) <= 100
    covered = {block for start, count in joined for block in range(start // 4096, (start + count) // 4096)}
    assert {start // 4096 for start, _count in segments} <= covered
