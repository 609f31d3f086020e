"""One door to other programs, and the one error that ends a build.

Knows how to start a program and how to say in a sentence why it failed. Must not know what the programs are for.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from builder.words import _, fill

#: Which Debian package holds each program that a build starts.
PACKAGE_OF = {
    "apt-cache": "apt",
    "apt-config": "apt",
    "apt-get": "apt",
    "as": "binutils",
    "dpkg-deb": "dpkg",
    "ld": "binutils",
    "lz4": "lz4",
    "qemu-img": "qemu-utils",
    "zstd": "zstd",
}


class BuildError(Exception):
    """The build cannot go on; the message is one sentence for the person who started it.

    Args:
        sentence: in English. values: its fields.
    """

    def __init__(self, sentence: str, **values: object) -> None:
        super().__init__(fill(sentence, values))


class ProgramError(BuildError):
    """A program failed; `words` is all that it printed on standard error."""

    def __init__(self, sentence: str, words: str) -> None:
        super().__init__(sentence)
        self.words = words


def say(stage: str, **values: object) -> None:
    """Print one line of progress on standard error, in the language of `./lab`; `values` are its fields."""
    print(fill(stage, values), file=sys.stderr, flush=True)


def run(
    argv: Sequence[str | Path],
    *,
    stdin: bytes = b"",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Run a program to its end and return its standard output.

    Args:
        argv: the program, by bare name, and its arguments.
        stdin: what it reads.
        folder: where it runs; the current folder if None.
        environment: variables set on top of a fixed, language-neutral environment.

    Raises:
        BuildError: the program is not installed.
        ProgramError: it failed.
    """
    words = [str(word) for word in argv]
    variables = os.environ | {
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin",
    }
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, cwd=folder, env=variables | dict(environment or {}), check=False
        )
    except FileNotFoundError as error:
        package = PACKAGE_OF.get(words[0], words[0])
        raise BuildError(
            "The program {program} is missing: apt-get install {package}.", program=words[0], package=package
        ) from error
    if done.returncode != 0:
        raise explain(words, done.stderr.decode(errors="replace"))
    return done.stdout


def explain(words: Sequence[str], stderr: str) -> ProgramError:
    """Turn what a failed program printed into one sentence."""
    if "No space left on device" in stderr or os.strerror(errno.ENOSPC) in stderr:
        return ProgramError(_("There is no space left on the disk for the guest images."), stderr)
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    reason = next((line for line in lines if line.startswith("E:")), lines[-1] if lines else _("it gave no reason"))
    sentence = _("{program} failed: {reason}").format(program=words[0], reason=reason.removeprefix("E: "))
    return ProgramError(sentence, stderr)
