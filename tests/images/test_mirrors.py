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
deb [arch=amd64 signed-by=/usr/share/keyrings/debian.gpg] http://plain.example/debian/ trixie main contrib # here
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
def host(tmp_path: Path) -> Path:
    """The root of a system with apt's folders."""
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def apt(host: Path) -> Path:
    """Its apt's folder."""
    return host / "etc/apt"


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


@pytest.fixture(autouse=True)
def no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(mirrors.SETTING, raising=False)


def write(host: Path, path: str, text: str) -> None:
    """Put a file into a system."""
    (host / path).parent.mkdir(parents=True, exist_ok=True)
    (host / path).write_text(text)


PERL = "    my $mirror    = 'http://carried.example/debian';\n"
SHELL = 'DEF_MIRROR="https://shell.example/debian"\n'


def test_debian_asks_its_own_sources_first_those_of_the_release_before_others(host: Path, apt: Path) -> None:
    write(host, "etc/os-release", 'NAME="Debian GNU/Linux"\nID=debian\n')
    write(host, "usr/bin/mmdebstrap", PERL)
    (apt / "sources.list").write_text(ONE_LINE)
    (apt / "sources.list.d" / "debian.sources").write_text(DEB822)
    assert mirrors.find_mirrors("bookworm", host=host) == [
        "http://first.example/debian",
        "http://second.example/debian",
        "mirror+file:/etc/apt/mirrors/debian.list",
        "http://plain.example/debian",
        "http://carried.example/debian",
    ]


def test_another_system_asks_the_mirror_that_a_program_brings_along(host: Path, apt: Path) -> None:
    write(host, "etc/os-release", "ID=ubuntu\nID_LIKE=debian\n")
    (apt / "sources.list").write_text("deb http://archive.example/ubuntu stable main\n")
    write(host, "usr/sbin/debootstrap", SHELL)
    assert mirrors.find_mirrors("bookworm", host=host) == ["https://shell.example/debian"]
    write(host, "usr/bin/mmdebstrap", PERL)
    assert mirrors.find_mirrors("bookworm", host=host)[0] == "http://carried.example/debian"


def test_system_that_knows_no_mirror_is_told_what_to_do(host: Path) -> None:
    write(host, "usr/bin/mmdebstrap", "no address here")
    with pytest.raises(BuildError, match=r"apt-get install mmdebstrap.*LABKIT_DEBIAN_MIRROR"):
        mirrors.find_mirrors("bookworm", host=host)


def test_the_setting_stands_above_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mirrors.SETTING, " http://asked.example/debian/ ")
    assert mirrors.find_mirrors("bookworm") == ["http://asked.example/debian"]


@pytest.mark.parametrize("word", ["debian", "/srv", "http://a b", "http://host/debian [trusted=yes]", "ssh://host/x"])
def test_setting_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv(mirrors.SETTING, word)
    with pytest.raises(BuildError, match="must be the address of a Debian mirror"):
        mirrors.find_mirrors("bookworm")
