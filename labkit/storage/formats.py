"""The image formats that the host's qemu-img knows.

Knows: qemu-img's help. Must not know: what the formats are for.
"""

from __future__ import annotations

import re
import subprocess

from labkit.errors import HostTrouble
from labkit.language import _


def read_formats() -> frozenset[str]:
    """Return the formats, as qemu-img names them: "raw", "qcow2", "vpc", ….

    Raises:
        HostTrouble: qemu-img is missing or does not answer.
    """
    try:
        done = subprocess.run(["qemu-img", "--help"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise HostTrouble(
            _("qemu-img does not answer."), _("Type ./lab setup, which installs it."), details=str(error)
        ) from error
    # One line in old versions (7.2), indented lines below an empty one in new ones (10).
    match = re.search(r"^Supported (?:image )?formats:(.*(?:\n+[ \t].*)*)", done.stdout, re.MULTILINE)
    return frozenset(match[1].split()) if match else frozenset()
