"""A terminal on a machine's serial console: virsh does it well, so it does it here.

Knows: virsh's command line. Must not know: labs.
"""

from __future__ import annotations

import subprocess

from labkit.hypervisor.connection import DEFAULT_URI


def run_terminal(domain: str) -> int:
    """Join this terminal to a domain's console until Ctrl-] is typed; returns virsh's exit code."""
    return subprocess.run(["virsh", "--quiet", "-c", DEFAULT_URI, "console", "--force", domain], check=False).returncode
