"""What a hint calls by its Python name, by the panels' name for it: `stop()` is the button “Shut down”.

Errors and refusals are written once, for those who type. A panel says them with its own controls where it has one for
the call; a call that no panel has a control for stays, since only who types can do it.

Knows: which control does what a call does. Must not know: who says what.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from labkit.language import _, say_again

Label = Callable[[re.Match[str]], str]

_MACHINE = r"(?:vm\.|clone\.|lab\.machines\[[^]]*\]\.)?"
_DISK = r"(?:disk\.|lab\.disks\[[^]]*\]\.)"
_ORPHAN = r"(?:lab\.orphans\[[^]]*\]\.)?"

_CONTROLS: Sequence[tuple[str, Label]] = (
    (_MACHINE + r"stop\(\)", lambda _call: _("Shut down")),
    (_MACHINE + r"kill\(\)", lambda _call: _("Cut the power")),
    (_MACHINE + r"start\(\)", lambda _call: _("Start")),
    (_MACHINE + r"resume\(\)", lambda _call: _("Resume")),
    (_MACHINE + r"pause\(\)", lambda _call: _("Pause")),
    (_MACHINE + r"console\.tail\(\)", lambda _call: _("Console")),
    (_MACHINE + r"attach\([^()]*\)", lambda _call: _("Attach…")),
    (_MACHINE + r"detach\([^()]*\)", lambda _call: _("Detach…")),
    (_MACHINE + r"relink\([^()]*\)", lambda _call: _("Relink…")),
    (_MACHINE + r"clone\([^()]*\)", lambda _call: _("Clone…")),
    (_MACHINE + r"flatten\(\)", lambda _call: _("Flatten…")),
    (_MACHINE + r"(?:snapshots\.)?delete\([^()]*\)", lambda _call: _("Delete…")),
    (_DISK + r'convert\("…", as_is=True\)', lambda _call: _("Save what can be read as a new disk…")),
    (_DISK + r"convert\([^()]*\)", lambda _call: _("Convert…")),
    (rf"(?:{_MACHINE}snapshots\.|{_DISK})accept_changes\(\)", lambda _call: _("Take it as it is now…")),
    (_ORPHAN + r"adopt_as_snapshot\([^()]*\)", lambda _call: _("Adopt as a snapshot…")),
    (_ORPHAN + r"adopt\(\)", lambda _call: _("Adopt…")),
    (r"lab\.orphans\.discard\(\)", lambda _call: _("Discard all…")),
    (r"lab\.orphans\.bring_back\(\)", lambda _call: _("Bring back")),
    (r'kind="full"', lambda _call: _("full: a copy")),
    (r'kind="linked"', lambda _call: _("linked: on a snapshot")),
    (r"snapshots=True", lambda _call: _("with all its snapshots (full)")),
    (r"instant=True", lambda _call: _("run at once, from the snapshot's memory (linked)")),
    (r'snapshot="…"', lambda _call: _("Snapshot")),
    (r'allocation="dynamic"', lambda _call: _("dynamic")),
    (r'(?:format|image)="(\w+)"', lambda call: call[1]),
)
"""Patterns of calls and arguments, and what the control for each is called; the first that fits counts."""

_ANY = re.compile("|".join(rf"(?<![\w.])(?:{call})" for call, _label in _CONTROLS))


def in_a_panel(text: str) -> str:
    """Return a hint as a panel says it, in the language in force: with the names of its controls."""
    return _ANY.sub(_name, str(say_again(text)))


def _name(found: re.Match[str]) -> str:
    for call, label in _CONTROLS:
        if match := re.fullmatch(call, found[0]):
            return _("“{control}”").format(control=label(match))
    raise AssertionError(found[0])
