"""Where Debian's packages are looked for: the setting, the host's own sources, what a program brings along."""

from __future__ import annotations

from pathlib import Path

import pytest
from builder import mirrors
from builder.tools import BuildError

ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb cdrom:[Debian GNU/Linux 12 _Bookworm_ - Official amd64]/ bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://plain.example/debian/ trixie main contrib # here
deb http://plain.example/debian trixie-updates main
deb http://security.example/debian-security trixie-security main
deb http://other.example/linux bookworm stable
"""

DEB822 = """\
# of the installer
Types: deb deb-src
URIs: http://first.example/debian
 http://second.example/debian
Suites: bookworm bookworm-updates
# a remark between fields
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: mirror+file:/etc/apt/mirrors/debian.list
Suites: bookworm
Components: main
"""


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    """A folder as apt's."""
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_sources_in_lines(apt: Path) -> None:
    (apt / "sources.list").write_text(ONE_LINE)
    assert mirrors.sources(apt) == [("http://plain.example/debian/", "trixie")]


def test_sources_in_paragraphs(apt: Path) -> None:
    (apt / "sources.list.d" / "debian.sources").write_text(DEB822)
    (apt / "sources.list.d" / "debian.sources.bak").write_text(DEB822.replace("first", "old"))
    assert mirrors.sources(apt) == [
        ("http://first.example/debian", "bookworm"),
        ("http://second.example/debian", "bookworm"),
        ("mirror+file:/etc/apt/mirrors/debian.list", "bookworm"),
    ]


def test_sources_of_a_system_that_has_none(tmp_path: Path) -> None:
    assert mirrors.sources(tmp_path) == []


def find(monkeypatch: pytest.MonkeyPatch, apt: Path, *, system: str, carrier: str = "") -> list[str]:
    """The mirrors that a system with these files would ask."""
    program = apt / "mmdebstrap"
    program.write_text(carrier)
    monkeypatch.delenv(mirrors.SETTING, raising=False)
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"ID": system})
    monkeypatch.setattr(mirrors, "SOURCES", apt)
    monkeypatch.setattr(mirrors, "CARRIERS", (apt / "none", program))
    return mirrors.find_mirrors("bookworm")


CARRIER = "    my $mirror    = 'http://carried.example/debian';\n"


def test_debian_asks_its_own_sources_first_those_of_the_release_before_others(
    monkeypatch: pytest.MonkeyPatch, apt: Path
) -> None:
    (apt / "sources.list").write_text(ONE_LINE)
    (apt / "sources.list.d" / "debian.sources").write_text(DEB822)
    assert find(monkeypatch, apt, system="debian", carrier=CARRIER) == [
        "http://first.example/debian",
        "http://second.example/debian",
        "mirror+file:/etc/apt/mirrors/debian.list",
        "http://plain.example/debian",
        "http://carried.example/debian",
    ]


def test_another_system_asks_the_mirror_that_a_program_brings_along(monkeypatch: pytest.MonkeyPatch, apt: Path) -> None:
    (apt / "sources.list").write_text("deb http://archive.example/ubuntu stable main\n")
    assert find(monkeypatch, apt, system="ubuntu", carrier=CARRIER) == ["http://carried.example/debian"]
    assert find(monkeypatch, apt, system="ubuntu", carrier='DEF_MIRROR="https://shell.example/debian"\n') == [
        "https://shell.example/debian"
    ]


def test_system_that_knows_no_mirror_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, apt: Path) -> None:
    with pytest.raises(BuildError, match=r"apt-get install mmdebstrap.*LABKIT_DEBIAN_MIRROR"):
        find(monkeypatch, apt, system="ubuntu", carrier="no address here")


def test_the_setting_stands_above_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mirrors.SETTING, " http://asked.example/debian/ ")
    assert mirrors.find_mirrors("bookworm") == ["http://asked.example/debian"]


@pytest.mark.parametrize("word", ["debian", "/srv/debian", "http://a b", "http://host/debian [trusted=yes]", "ssh://host/x"])
def test_setting_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv(mirrors.SETTING, word)
    with pytest.raises(BuildError, match="must be the address of a Debian mirror"):
        mirrors.find_mirrors("bookworm")
