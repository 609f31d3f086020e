"""A quick start of pytest: what it would load for most of a second, and nobody needs, counts as not installed.

Loaded first, as `-p tests.lean` (pyproject.toml). Knows: what is slow to load. Must not know: any test.
"""

from __future__ import annotations

import sys

sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment] # nbformat's schema has no IRI to be checked by it
