"""Where Debian's packages may be had from: the addresses to try, the best first.

Knows the setting `LABKIT_DEBIAN_MIRROR`, both forms of apt's lists of sources, and the two programs that carry
Debian's own address. Must not know what is fetched. No address stands here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from builder.tools import BuildError

SETTING = "LABKIT_DEBIAN_MIRROR"
#: Programs that make Debian systems anywhere; each holds the address that it takes by default.
CARRIERS = ("usr/bin/mmdebstrap", "usr/sbin/debootstrap")
#: An archive has many suites beside one another; these are the plain ones of Debian, also of other years.
SUITE = re.compile(r"(old)*stable|testing|unstable|sid|bullseye|bookworm|trixie|forky|duke")
OFF = ("no", "false", "0", "off", "disable", "without")  # apt's words for it
ADDRESS = re.compile(r"(https?|file|copy|ftp|tor|mirror|mirror\+\w+):\S+")


def find_mirrors(release: str, *, host: Path = Path("/")) -> list[str]:
    """Return the addresses of Debian's archive to try for a release, in this order.

    Args:
        release: the release's code name.
        host: where this computer's file system begins.

    Raises:
        BuildError: the setting is no address, or there is none at all.
    """
    if asked := os.environ.get(SETTING, "").strip():
        if not ADDRESS.fullmatch(asked) or set(asked) & set("[]\"'"):
            raise BuildError(
                "{setting} is {asked}; it must be the address of a Debian mirror, such as http://HOST/debian.",
                setting=SETTING,
                asked=asked,
            )
        return [asked.rstrip("/")]
    of_host = sources(host / "etc/apt") if is_debian(host) else []
    of_host.sort(key=lambda source: source[1] != release)  # those that have the release for certain come first
    found = [address.rstrip("/") for address, _ in of_host] + list(carried(host))
    if not found:
        raise BuildError(
            "No address of Debian's package archive is known here: apt-get install mmdebstrap, which brings one along, "
            "or name a mirror in {setting}.",
            setting=SETTING,
        )
    return list(dict.fromkeys(found))


def is_debian(host: Path) -> bool:
    """Say whether a system is Debian itself, so that its sources are Debian's."""
    try:
        return re.search(r"^ID=[\"']?debian[\"']?$", (host / "etc/os-release").read_text(), re.MULTILINE) is not None
    except OSError:
        return False


def sources(folder: Path) -> list[tuple[str, str]]:
    """Return address and suite of each archive in apt's folder that may be Debian's: of a plain suite, with `main`."""
    found: list[tuple[str, str]] = []
    for file in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        try:
            text = file.read_text(errors="replace") if file.suffix in (".list", ".sources") else ""
        except OSError:  # it is not there, or not for us to read
            continue
        entries = deb822(text) if file.suffix == ".sources" else one_line(text)
        for addresses, suites, components in entries:
            found += [
                (address, suite)
                for address in addresses
                for suite in suites
                if ADDRESS.fullmatch(address) and SUITE.fullmatch(suite) and "main" in components
            ]
    return found


Entry = tuple[list[str], list[str], list[str]]


def one_line(text: str) -> Iterator[Entry]:
    """Yield addresses, suites and components of each line such as `deb [signed-by=…] ADDRESS SUITE COMPONENT …`."""
    for line in text.splitlines():
        bare = re.sub(r"\[[^]]*\]", " ", line.partition("#")[0])
        words = bare.split()
        if len(words) > 3 and words[0] == "deb":
            yield words[1:2], words[2:3], words[3:]


def deb822(text: str) -> Iterator[Entry]:
    """Yield addresses, suites and components of each paragraph of fields that is for binary packages and in use."""
    for paragraph in re.split(r"\n\s*\n", "\n".join(line for line in text.splitlines() if not line.startswith("#"))):
        fields: dict[str, list[str]] = {}
        name = ""
        for line in paragraph.splitlines():
            named = re.match(r"([^\s:]+):", line)
            name = named[1].lower() if named else name
            fields.setdefault(name, []).extend(line[named.end() if named else 0 :].split())
        if "deb" in fields.get("types", []) and "".join(fields.get("enabled", [])).lower() not in OFF:
            yield fields.get("uris", []), fields.get("suites", []), fields.get("components", [])


def carried(host: Path) -> Iterator[str]:
    """Yield the address of Debian's archive that each of the programs brings along."""
    for program in CARRIERS:
        try:
            text = (host / program).read_text(errors="replace")
        except OSError:
            continue
        if found := re.search(r"""= *["'](https?://[^"'\s]+/debian)/?["']""", text):
            yield found[1]
