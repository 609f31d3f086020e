"""Programs that the tests run on images: what one says when it fails is part of the finding.

Knows: processes. Must not know: labs, images.
"""

from __future__ import annotations

import shlex
import subprocess


def run_tool(*words: str) -> bytes:
    """Run a program; returns what it printed. Where it fails, its own words and the line to paste are told."""
    run = subprocess.run(words, check=False, capture_output=True)
    said = run.stderr.decode(errors="replace").strip()
    assert run.returncode == 0, f"{shlex.join(words)} ended {run.returncode}: {said}"
    return run.stdout
