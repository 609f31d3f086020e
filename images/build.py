#!/usr/bin/env python3
"""Builds the guest images of the course from Debian's packages: the same images on every host.

    python3 images/build.py --into FOLDER [--force | --check] [tiny] [sector]

Needs no root and no network beyond Debian's package archive. An image that its recipe would make just the same is left
as it is. `README.md` beside this file says what is in the images and how to add one.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import platform
import signal
import sys
import time
from pathlib import Path

from builder import architecture, taking
from builder.store import Manifest, Store, recipe_hash
from builder.tools import BuildError, say
from builder.words import _
from sector import recipe as sector
from tiny import recipe as tiny

RECIPES = {"tiny": tiny.build, "sector": sector.build}
HERE = Path(__file__).resolve().parent


def main(arguments: list[str]) -> int:
    """Build what is asked for; return the exit code of the program."""
    parser = argparse.ArgumentParser(prog="build.py", description="Build the guest images of the course.")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="where the images go")
    parser.add_argument("--force", action="store_true", help="build again what is there already")
    parser.add_argument("--check", action="store_true", help="build nothing; exit code 3 if an image is not up to date")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"{', '.join(RECIPES)} (all, if none is named)")
    asked = parser.parse_args(arguments)
    unknown = [name for name in asked.images if name not in RECIPES]
    if unknown:
        parser.error(f"There is no recipe {unknown[0]}; the recipes are {', '.join(RECIPES)}.")
    store = Store(folder=asked.into.resolve())
    names = asked.images or list(RECIPES)
    if asked.check:
        current = [name for name in names if store.is_current(name, recipe_of(name))]
        for name in current:
            tell_other_versions(name, json.loads((store.folder / f"{name}.json").read_text()))
        return 0 if current == names else 3
    try:
        for name in names:
            build(name, store, force=asked.force)
        store.list_course(list(RECIPES))
    except BuildError as error:
        return fail(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return fail(_("There is no space left on the disk for the guest images."))
        return fail(_("The images cannot be written: {error}.").format(error=error))
    except KeyboardInterrupt:
        return fail(_("Stopped before the images were ready; start again to go on."))
    return 0


def build(name: str, store: Store, *, force: bool) -> None:
    """Build one image into the store, unless the same one is there.

    Raises:
        BuildError: it cannot be built; the store is as it was, except for blobs that nothing names yet.
    """
    if platform.machine() != architecture.NAME:
        raise BuildError(
            "The guest images are for {wanted}; this computer is {here}.",
            wanted=architecture.NAME,
            here=platform.machine(),
        )
    recipe = recipe_of(name)
    if not force and store.is_current(name, recipe):
        say("{name}: up to date", name=name)
        return
    began = time.monotonic()
    say("{name}: building", name=name)
    with store.scratch() as scratch:
        if not force and store.is_current(name, recipe):  # another build was first
            return
        if given := os.environ.get(taking.SETTING):
            manifest = taking.take(name, recipe, store, scratch, folder=Path(given).expanduser())
        else:
            manifest = {"name": name, "recipe": recipe, "architecture": architecture.NAME}
            manifest |= RECIPES[name](store, scratch)
            manifest["files"] = store.describe(manifest)
        store.publish(manifest)
    tell_other_versions(name, manifest)
    say("{name}: ready after {seconds:.0f} s", name=name, seconds=time.monotonic() - began)


def tell_other_versions(name: str, manifest: Manifest) -> None:
    """Name the packages whose versions in an image differ from those that the course was tried with."""
    tried = json.loads((HERE / "versions.json").read_text()).get(name, {})
    here = manifest.get("packages", {})
    others = [_("{package} {version} (tried: {tried})").format(
            package=package, version=here.get(package, "-"), tried=tried.get(package, "-")
        )
              for package in sorted({*here, *tried}) if here.get(package) != tried.get(package)]  # fmt: skip
    if others:
        say(
            "{name}: of another point release than the course was tried with, so its files are not the same as "
            "everybody's: {packages}",
            name=name,
            packages=", ".join(others),
        )


def recipe_of(name: str) -> str:
    """Return the hash of everything that decides what an image will be, except the packages' versions."""
    return recipe_hash([HERE / "builder", HERE / name])


def fail(sentence: str) -> int:
    """Print why there is no image; return the exit code."""
    print(f"build.py: {sentence}", file=sys.stderr)
    return 1


def interrupt(*_: object) -> None:
    """Make a signal to end clean up as Ctrl-C does."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    os.umask(0o022)
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    sys.exit(main(sys.argv[1:]))
