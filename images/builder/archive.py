"""Debian's package archive through apt, with a configuration of our own: the same on every host.

Knows apt: its settings, its lists and what it says when something is wrong. Of the host's apt only how it reaches the
network is taken over (proxies, certificates); its sources, its pins, its state and its hooks play no part.
Nothing is installed and no root is needed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from builder import architecture
from builder.mirrors import SETTING, find_mirrors
from builder.tools import BuildError, ProgramError, run, say
from builder.words import _, later

#: The release of Debian whose packages all images are made of. Only its main archive is read, which changes with the
#: release's point releases and with nothing else, so that students who build on different days get the same.
RELEASE = "bookworm"
#: Debian's keys, as the package `debian-archive-keyring` brings them (also in other distributions).
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg")
OTHER_WAY = _("or take images that another computer built (LABKIT_IMAGES_FROM=FOLDER)")

#: What apt says in its errors, and what it means for whoever builds. The first that is found counts.
REASONS = {
    r"is not valid yet|created in the future": later(
        "this computer's clock is wrong: the archive's list is of a later date. Set the clock"
    ),
    r"NOSPLIT|require authentication": later(
        "something else than a package archive answered. Does this network ask for a login? Log in there"
    ),
    r"BADSIG|invalid signature|[Bb]ad signature|has been manipulated": later(
        "its list is not as Debian signed it: something on the way changes it. Take another network or another mirror"
    ),
    r"NO_PUBKEY|[Mm]issing key|public key is not available|EXPKEYSIG|couldn't be verified|keyring": later(
        "its signature cannot be checked, because the keys here are older than it. Install a newer "
        "debian-archive-keyring"
    ),
    r"No space left on device|enough free space": later(
        "there is no space left on the disk for the guest images. Make room"
    ),
    r"[Cc]ould not (resolve|connect)|[Tt]emporary failure|[Uu]nable to connect|[Uu]nreachable|[Tt]imeout|[Tt]imed out|"
    r"[Cc]onnection (failed|refused)|[Pp]roxy": later("it cannot be reached. Check the network and the proxy"),
    r"[Cc]ertificate|SSL|TLS": later("its certificate is not accepted here. Check it, or name a mirror with http"),
    r"Hash Sum mismatch|unexpected size|Hashes of": later(
        "what arrives is not what the archive signed: it is being updated, or something on the way changes it. "
        "Try again later"
    ),
    r"does not have a Release file|404|400|File not found|is not signed|Unable to locate package|No such file": later(
        "it does not hold Debian's release {release}. Name another mirror in {setting}"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The archive as apt sees it from a folder of ours, with lists whose signature was checked."""

    folder: Path

    def closure(self, names: Iterable[str], *, follow: re.Pattern[str]) -> list[str]:
        """Return the packages and, again and again, those of their dependencies whose name matches `follow`.

        Raises:
            BuildError: the archive does not know a package.
        """
        names = list(names)
        try:
            text = self._run(["apt-cache", "depends", "--recurse", "--important", *names]).decode()
        except ProgramError as error:
            raise BuildError(
                "Debian {release} does not hold all of {names} ({why})",
                release=RELEASE,
                names=", ".join(names),
                why=error,
            ) from error
        depends = parse_depends(text)
        found: set[str] = set()
        waiting = names
        while waiting:
            name = waiting.pop()
            if name not in depends:
                raise BuildError("Debian {release} does not hold the package {name}.", release=RELEASE, name=name)
            if name not in found:
                found.add(name)
                waiting += [other for other in depends[name] if follow.fullmatch(other)]
        return sorted(found)

    def fetch(self, names: Iterable[str]) -> list[Path]:
        """Return the archive files of packages, downloaded and checked; those that are here already stay.

        Raises:
            BuildError: no network, or no space; what is downloaded stays for the next time.
        """
        names = list(names)
        kept = self.folder / "archives"
        wanted = self._wanted(names)
        for file in kept.glob("*.deb"):  # apt would take a file of the right size for the right one
            if wanted.get(file.name) != sha256(file):
                file.unlink()
        missing = sum(not (kept / name).exists() for name in wanted)
        say("  {count} packages, {missing} to download", count=len(names), missing=missing)
        try:
            self._run(["apt-get", "--quiet", "download", *names], folder=kept)
        except ProgramError as error:
            reason = explain(error.words)
            raise BuildError(
                "The packages of Debian {release} could not be downloaded: {reason}, {other_way}.",
                release=RELEASE,
                reason=reason,
                other_way=OTHER_WAY,
            ) from error
        return [kept / name for name in sorted(wanted)]

    def _wanted(self, names: list[str]) -> dict[str, str]:
        """Return the SHA-256 of each package's file, by the file's name."""
        printed = self._run(["apt-get", "--quiet", "--print-uris", "download", *names]).decode()
        return dict(re.findall(r"^'[^']+' (\S+\.deb) \d+ SHA256:([0-9a-f]{64})", printed, re.MULTILINE))

    def _run(self, argv: list[str], *, folder: Path | None = None) -> bytes:
        return run(argv, folder=folder, environment={"APT_CONFIG": str(self.folder / "apt.conf")})


def open_archive(folder: Path) -> Archive:
    """Return the archive with lists as new as the network allows, kept in a folder of ours.

    The mirrors are tried in their order. Where none can be reached, the lists of the last time serve.

    Raises:
        BuildError: no mirror gave lists that Debian signed, and there are none of an earlier time.
    """
    archive = Archive(folder=folder)
    for part in ("lists/partial", "archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    mirrors = find_mirrors(RELEASE)
    keyring = find_keyring()
    (folder / "apt.conf").write_text(settings(folder) + host_transport())
    chosen = folder / "sources.list"
    reasons: list[str] = []
    for mirror in mirrors:
        say("  asking {mirror} for the packages of Debian {release}", mirror=mirror, release=RELEASE)
        before = chosen.read_bytes() if chosen.exists() else None
        chosen.write_text(f"deb [arch={architecture.DEBIAN} signed-by={keyring}] {mirror} {RELEASE} main\n")
        try:
            archive._run(["apt-get", "--quiet", "--error-on=any", "update"])  # noqa: SLF001 — of its own class
        except ProgramError as error:
            restore(chosen, before)
            reasons.append(f"{mirror}: {explain(error.words)}")
        else:
            return archive
    if chosen.exists():
        say("  the lists of the last time serve ({reasons})", reasons="; ".join(reasons))
        return archive
    raise BuildError(
        "The packages of Debian {release} cannot be had from {reasons}, {other_way}.",
        release=RELEASE,
        reasons="; ".join(reasons),
        other_way=OTHER_WAY,
    )


def sha256(file: Path) -> str:
    """Return the hash of a file's content."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def restore(file: Path, content: bytes | None) -> None:
    """Give a file the content it had, or none."""
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)


def find_keyring() -> str:
    """Return the file of Debian's keys.

    Raises:
        BuildError: there is none.
    """
    for keyring in KEYRINGS:
        if Path(keyring).is_file():
            return keyring
    raise BuildError(
        "Debian's keys are missing here: apt-get install debian-archive-keyring, {other_way}.", other_way=OTHER_WAY
    )


def settings(folder: Path) -> str:
    """Return the configuration that replaces the host's."""
    if set(str(folder)) & set('"\n'):
        raise BuildError(
            "apt cannot work in a folder of this name: {folder}. Take one without quotation marks.", folder=folder
        )
    empty = "/dev/null"
    values = {
        "Dir::Etc::main": empty,
        "Dir::Etc::parts": empty,
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": empty,
        "Dir::Etc::preferences": empty,
        "Dir::Etc::preferencesparts": empty,
        "Dir::Etc::trusted": empty,
        "Dir::Etc::trustedparts": empty,
        "Dir::State": folder,
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": empty,  # nothing is installed, as far as our apt knows
        "Dir::Cache": folder,
        "Dir::Cache::archives": folder / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Architecture": architecture.DEBIAN,
        "APT::Architectures": architecture.DEBIAN,
        "APT::Sandbox::User": "root",  # our folder is not open to another user
        "Acquire::Languages": "none",
        "Acquire::GzipIndexes": "true",
        "Acquire::Retries": "3",
        "Acquire::http::Timeout": "30",
        "Acquire::https::Timeout": "30",
    }
    return "".join(f'{name} "{value}";\n' for name, value in values.items())


def host_transport() -> str:
    """Return those lines of the host's configuration of apt that say how the network is reached."""
    return "".join(
        f"{line}\n"
        for line in run(["apt-config", "dump"]).decode().splitlines()
        if re.match(r'Acquire::(http|https|socks)::[^ ]+ ".+";$', line)
    )


def explain(words: str) -> str:
    """Return in plain words what is wrong, out of what apt said."""
    for pattern, reason in REASONS.items():
        if re.search(pattern, words):
            return _(reason).format(release=RELEASE, setting=SETTING)
    said = [line for line in words.splitlines() if line.startswith("E:")]
    if not said:
        return _("apt failed without a reason")
    return _("apt says: {error}").format(error=said[0].removeprefix("E: "))


def parse_depends(text: str) -> dict[str, list[str]]:
    """Return the direct dependencies of each package in the output of `apt-cache depends --recurse`."""
    depends: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line and not line[0].isspace():
            current = depends.setdefault(line.strip(), [])
        elif found := re.match(r"  (?:Pre)?Depends: ([^<\s]+)$", line):
            current.append(found[1])
    return depends
