"""A file system that can be full: a small one, in a namespace of its own, for a script that is run there.

The script has `home`, where it is, `words`, what it was given, and these: `fill(left)` leaves so many bytes, `free()`
gives the rest back, `Lab` and `LabError`. It prints its answer as JSON in its last line.
Knows: namespaces, the file system. Must not know: what the script does there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tests.instance import ROOT, Instance

NAMESPACE = ("unshare", "--user", "--map-current-user", "--mount", "--keep-caps", "--")

_BEFORE = """
import json, os, subprocess, sys
from pathlib import Path
from labkit import Lab
from labkit.errors import LabError

home, size, *words = sys.argv[1:]
home = Path(home)
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", home], check=True)

def fill(left):
    (home / "ballast").write_bytes(b"")
    info = os.statvfs(home)
    (home / "ballast").write_bytes(bytes(info.f_bavail * info.f_frsize - left))

def free():
    (home / "ballast").unlink()
"""


def run_on_small_disk(
    script: str, home: Path, size: str, *words: str, own: Instance | None = None, timeout: float = 570
) -> Any:
    """Run a script where a small file system is mounted at `home`; returns its answer.

    Args:
        size: of the file system, e.g. "96m". words: what the script is given.
        own: a hypervisor instance for it alone, whose daemon starts in the namespace and so meets the full disk too; it
            is ended.
        timeout: seconds.
    """
    said = home.parent / f"{home.name}.said"
    try:
        with (
            own.in_force() if own else nullcontext(),
            said.open("w") as output,
        ):  # no pipe: guests would hold it open after a failure
            done = subprocess.run(
                [*NAMESPACE, sys.executable, "-c", _BEFORE + script, str(home), size, *words],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=timeout,
            )
        text = said.read_text()  # it may lie in the instance's folder, which goes with it
    finally:
        if own:
            own.end()
    assert done.returncode == 0, text
    return json.loads(text.splitlines()[-1])
