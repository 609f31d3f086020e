"""Prints what of pip's configuration files leads to the packages, as pip's variables: pip_settings.py CONFIG.

CONFIG is the file that PIP_CONFIG_FILE named, or "". What the files say beside the network (user installs, targets,
constraints …) is not for `./lab`, which pins everything. The output is NAME=VALUE, each ended by a zero byte.

Knows: where pip's files are, which of their keys are the network's. Must not know: pip itself, which may be missing.
"""

from __future__ import annotations

import configparser
import os
import sys
from pathlib import Path

KEPT = (
    "index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert", "client-cert", "proxy", "timeout",
    "default-timeout", "retries", "resume-retries", "keyring-provider", "cache-dir", "no-cache-dir",
)  # fmt: skip


def find_files(config: str) -> list[Path]:
    """Return the files pip would read, the one that has the last word last."""
    if config == os.devnull:
        return []
    places = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    files = [Path(folder, "pip/pip.conf") for folder in places.split(":") if folder]
    files.append(Path("/etc/pip.conf"))
    if config and Path(config).exists():
        return [*files, Path(config)]
    home = Path(os.environ["HOME"])
    return [*files, home / ".pip/pip.conf", Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config", "pip/pip.conf")]


def read_settings(files: list[Path]) -> dict[str, str]:
    """Return the kept keys with what the files say; a section for installing goes before the one for all."""
    said: dict[tuple[str, str], str] = {}
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8-sig")
        except (configparser.Error, OSError, UnicodeError) as error:
            reason = " ".join(str(error).split())
            sys.stderr.write(f"pip's settings in {file} are passed over, since they cannot be read: {reason}\n")
            continue
        for section in ("global", "install"):
            for key, value in parser.items(section) if parser.has_section(section) else ():
                said[section, key.replace("_", "-").removeprefix("--")] = value
    found = {key: said.get(("install", key)) or said.get(("global", key)) for key in KEPT}
    return {key: value for key, value in found.items() if value}


if __name__ == "__main__":
    for key, value in read_settings(find_files(sys.argv[1])).items():
        sys.stdout.write(f"PIP_{key.upper().replace('-', '_')}={value}\0")
