"""Debian's archive: the same packages whatever the host's apt is set to, and plain words when there are none."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from builder import archive
from builder.mirrors import SETTING
from builder.tools import BuildError
from tests.images.conftest import build

NOWHERE = "http://127.0.0.1:9/debian"
"""Nobody listens there."""


@pytest.fixture
def built(fresh: Path, tmp_path: Path) -> Path:
    """A copy of the folder of freshly built images, with the packages they were made of."""
    folder = tmp_path / "images"
    shutil.copytree(fresh, folder)
    return folder


def read(folder: Path) -> str:
    return (folder / "tiny.json").read_text()


# ------------------------------------------------------------------------------------------- the same on every host
def test_the_hosts_settings_of_apt_play_no_part(built: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    config = tmp_path / "apt.conf"
    config.write_text(
        f'Dir::State::lists "{tmp_path}/empty"; Dir::Etc::sourcelist "/dev/null"; APT::Default-Release "sid";'
        'APT::Architecture "s390x"; APT::Update::Pre-Invoke {"false";}; APT::Update::Post-Invoke {"false";};'
    )
    before = read(built)
    done = build(built, "--force", "tiny", APT_CONFIG=str(config))
    assert done.returncode == 0, done.stderr
    assert read(built) == before


def test_the_hosts_proxy_is_used(built: Path, tmp_path: Path) -> None:
    shutil.rmtree(built / "packages")
    config = tmp_path / "apt.conf"
    config.write_text('Acquire::http::Proxy "http://127.0.0.1:9"; Acquire::https::Proxy "http://127.0.0.1:9";')
    done = build(built, "--force", "tiny", APT_CONFIG=str(config))
    assert done.returncode == 1
    assert "it cannot be reached. Check the network and the proxy" in done.stderr


def test_the_hosts_tools_for_file_systems_play_no_part(built: Path, tmp_path: Path) -> None:
    for name in ("mke2fs", "debugfs"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    before = read(built)
    done = build(built, "--force", "tiny", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert read(built) == before


def test_of_the_release_only_the_main_archive_is_read(fresh: Path) -> None:
    source = (fresh / "packages/sources.list").read_text().split()
    assert source[-2:] == ["bookworm", "main"]
    assert source[2].startswith("signed-by=/usr/share/keyrings/debian-archive-keyring.")


# -------------------------------------------------------------------------------------------- with a poor network
def test_without_a_network_the_packages_of_the_last_time_serve(built: Path) -> None:
    before = read(built)
    done = build(built, "--force", "tiny", **{SETTING: NOWHERE})
    assert done.returncode == 0, done.stderr
    assert f"the lists of the last time serve ({NOWHERE}: it cannot be reached" in done.stderr
    assert read(built) == before
    assert NOWHERE not in (built / "packages/sources.list").read_text()  # so they serve again the next time


def test_what_is_missing_cut_off_or_changed_is_fetched_again_and_what_is_old_goes(built: Path) -> None:
    before = read(built)
    packages = sorted((built / "packages/archives").glob("*.deb"))
    whole = {file: file.read_bytes() for file in packages}
    lost, short, changed = packages[:3]
    lost.unlink()
    short.write_bytes(whole[short][: len(whole[short]) // 2])
    changed.write_bytes(whole[changed][:-1] + bytes([whole[changed][-1] ^ 1]))  # apt looks at the size alone
    (built / "packages/archives/old_1.0_amd64.deb").write_bytes(b"of an earlier point release")
    done = build(built, "--force", "tiny")
    assert done.returncode == 0, done.stderr
    assert "packages, 3 to download" in done.stderr
    assert read(built) == before
    assert {file: file.read_bytes() for file in (built / "packages/archives").glob("*.deb")} == whole


# ------------------------------------------------------------------------------------------------- what goes wrong
def release_file(fresh: Path) -> bytes:
    """The list that Debian signed, as it was downloaded."""
    return next((fresh / "packages/lists").glob("*_InRelease")).read_bytes()


def fail(folder: Path, mirror: str) -> str:
    """What a build says that finds no packages at a mirror."""
    done = build(folder, "tiny", **{SETTING: mirror})
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "tiny.json").exists()
    assert not list(folder.glob(".build-*"))
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith("build.py: ")
    assert "LABKIT_IMAGES_FROM" in sentence
    return sentence


def test_mirror_that_cannot_be_reached(tmp_path: Path) -> None:
    assert f"{NOWHERE}: it cannot be reached. Check the network and the proxy" in fail(tmp_path / "images", NOWHERE)


def test_mirror_that_is_none(tmp_path: Path) -> None:
    assert "it does not hold Debian's release bookworm" in fail(tmp_path / "images", f"file:{tmp_path}")


def mirror(tmp_path: Path, release: bytes) -> str:
    """A mirror in a folder, with this list and packages of nothing."""
    folder = tmp_path / "debian/dists/bookworm"
    (folder / "main/binary-amd64").mkdir(parents=True)
    (folder / "InRelease").write_bytes(release)
    (folder / "main/binary-amd64/Packages").write_text("Package: nothing\n")
    return f"file:{tmp_path}/debian"


def test_page_of_a_network_that_asks_for_a_login(tmp_path: Path) -> None:
    assert "Log in there" in fail(tmp_path / "images", mirror(tmp_path, b"<html>Welcome!</html>"))


def test_list_that_was_changed_on_the_way_is_refused(fresh: Path, tmp_path: Path) -> None:
    changed = release_file(fresh).replace(b"Components: main", b"Components: mean", 1)
    assert "not as Debian signed it" in fail(tmp_path / "images", mirror(tmp_path, changed))


def test_packages_that_the_list_does_not_name_are_refused(fresh: Path, tmp_path: Path) -> None:
    assert "not what the archive signed" in fail(tmp_path / "images", mirror(tmp_path, release_file(fresh)))


NO_KEY = """\
W: GPG error: http://m.example/debian bookworm InRelease: The following signatures couldn't be verified because the \
public key is not available: NO_PUBKEY 6ED0E7B82643E131
E: The repository 'http://m.example/debian bookworm InRelease' is not signed."""
NO_KEY_OF_NEWER_APT = """\
W: OpenPGP signature verification failed: http://m.example/debian bookworm InRelease: Sub-process /usr/bin/sqv \
returned an error code (1), error message is: Missing key 4CB50190207B4758A3F73A796ED0E7B82643E131, which is needed \
to verify signature.
E: The repository 'http://m.example/debian bookworm InRelease' is not signed."""
CHANGED_BY_NEWER_APT = """\
W: OpenPGP signature verification failed: http://m.example/debian bookworm InRelease: Sub-process /usr/bin/sqv \
returned an error code (1), error message is: Verifying signature:            Message has been manipulated
E: The repository 'http://m.example/debian bookworm InRelease' is not signed."""
EARLY = """\
E: Release file for http://m.example/debian/dists/bookworm/InRelease is not valid yet (invalid for another 2383d 10h \
16min 27s). Updates for this repository will not be applied."""
NO_TRUST = """\
E: Failed to fetch https://m.example/debian/dists/bookworm/InRelease  Certificate verification failed: The certificate \
is NOT trusted."""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (EARLY, "clock"),
        (NO_KEY, "newer debian-archive-keyring"),
        (NO_KEY_OF_NEWER_APT, "newer debian-archive-keyring"),
        (CHANGED_BY_NEWER_APT, "not as Debian signed it"),
        (NO_TRUST, "certificate is not accepted"),
        (
            "E: Failed to fetch http://m.example/debian/dists/bookworm/InRelease  Could not resolve 'm.example'",
            "reached",
        ),
        ("E: You don't have enough free space in /x/archives/.", "no space left"),
        ("E: something that nobody foresaw", "apt says: something that nobody foresaw"),
    ],
)
def test_what_apt_says_is_told_in_plain_words(words: str, sentence: str) -> None:
    assert sentence in archive.explain(words)


def test_missing_keys_are_named_with_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "KEYRINGS", ())
    with pytest.raises(BuildError, match="apt-get install debian-archive-keyring"):
        archive.find_keyring()


def test_a_folder_whose_name_apt_cannot_take_is_refused(tmp_path: Path) -> None:
    done = build(tmp_path / 'my "images"', "tiny")
    assert done.returncode == 1
    assert "without quotation marks" in done.stderr.splitlines()[-1]


# --------------------------------------------------------------------------------------- following what depends
DEPENDS = """\
linux-image-cloud-amd64
  Depends: linux-base-cloud-amd64
  Depends: linux-image-7.2-cloud-amd64
linux-image-7.2-cloud-amd64
  PreDepends: linux-base
 |Depends: dracut
  Depends: linux-binary-7.2-cloud-amd64
  Breaks: <fwupdate>
"""


def test_dependencies_are_read_as_apt_prints_them() -> None:
    assert archive.parse_depends(DEPENDS) == {
        "linux-image-cloud-amd64": ["linux-base-cloud-amd64", "linux-image-7.2-cloud-amd64"],
        "linux-image-7.2-cloud-amd64": ["linux-base", "linux-binary-7.2-cloud-amd64"],
    }


def test_the_manifest_names_every_package_with_its_version(fresh: Path) -> None:
    packages = json.loads(read(fresh))["packages"]
    kernel = [name for name in packages if name.startswith("linux-image-6.1.")]
    assert len(kernel) == 1
    assert packages[kernel[0]].startswith("6.1.")
    archives = {file.name.partition("_")[0] for file in (fresh / "packages/archives").glob("*.deb")}
    assert archives == packages.keys()
