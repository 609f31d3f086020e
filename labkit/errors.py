"""The errors of labkit: what went wrong, in words for a student, and how to go on.

Every error that leaves labkit is one of these. Each carries a `message` (what, in which state, needed
which state) and a `hint` (the next step). Classes are named by what the caller can do about them:

    LabError
    ├── BadInput            what was asked cannot be understood: write it differently
    ├── NotFound            no such machine, disk, image: look at the names listed   (also a KeyError)
    ├── AlreadyExists       the name is taken: choose another, keep or replace
    ├── WrongState          the thing is in another state: bring it there first
    ├── Refused             a plan was refused: `.plan.refusal` says why and the ways out
    │   └── Stale           what the plan had read has changed: plan again
    ├── Busy                another kernel is at work on it: wait, or cancel there
    ├── Cancelled           you cancelled it: nothing is left
    ├── TimedOut            the time limit passed: the state reached is in the message
    ├── HostTrouble         this computer lacks something: repair it, `./lab doctor` says how
    │   └── NoSpace         the disk is full: free space, then do it again
    ├── HypervisorError     libvirt or QEMU refused; `.code` is libvirt's number
    │   └── ConnectionLost  the hypervisor's daemon went away: do it again
    └── GuestError          the guest answered with an error
        └── GuestSilent     the guest did not answer in time

Knows: nothing but text. Must not know: libvirt, files, widgets.
"""

from __future__ import annotations

from typing import Any

from labkit.printing import harmless

_LONGEST = 1000
"""Characters that a message may have; longer ones are cut."""


class LabError(Exception):
    """Base of all errors of labkit.

    Args:
        message: what happened, naming the thing and its state.
        hint: the next step, one sentence; may be empty.
        details: raw text for the folded part of a panel (the tool's own words); may be empty.
    """

    def __init__(self, message: str, hint: str = "", *, details: str = "") -> None:
        message, hint, details = harmless(message), harmless(hint), harmless(details)
        message = message if len(message) <= _LONGEST else message[:_LONGEST] + "…"  # it may quote a long argument
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        return f"{self.message}\n→ {self.hint}" if self.hint else self.message

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: a student sees the message and the hint, not labkit's traceback."""
        return [f"{type(self).__name__}: {self}"]


class BadInput(LabError, ValueError):
    """What was asked cannot be understood."""


class NotFound(LabError, KeyError):
    """There is no such thing; the hint lists what there is."""

    __str__ = LabError.__str__


class AlreadyExists(LabError):
    """The name is taken."""


class WrongState(LabError):
    """The thing is in another state than the act needs."""


class Refused(LabError):
    """A plan was refused. `plan` is that plan, `plan.refusal` the reason; without a plan, `refusal` is the reason."""

    def __init__(
        self, message: str, hint: str = "", *, plan: Any = None, refusal: Any = None, details: str = ""
    ) -> None:
        super().__init__(message, hint, details=details)
        self.plan = plan
        self.refusal = refusal


class Stale(Refused):
    """What the plan had read has changed since."""


class Busy(LabError):
    """Another act holds the lock."""


class Cancelled(LabError):
    """The user cancelled; what was begun has been undone."""


class TimedOut(LabError):
    """The time limit passed."""


class HostTrouble(LabError):
    """This computer lacks something the lab needs."""


class NoSpace(HostTrouble):
    """No space left on the disk of the host."""


class HypervisorError(LabError):
    """libvirt or QEMU refused.

    Args:
        code: libvirt's error number (`virErrorNumber`), or 0.
    """

    def __init__(self, message: str, hint: str = "", *, code: int = 0, details: str = "") -> None:
        super().__init__(message, hint, details=details)
        self.code = code


class ConnectionLost(HypervisorError):
    """The hypervisor's daemon went away."""


class GuestError(LabError):
    """The guest answered with an error."""


class GuestSilent(GuestError):
    """The guest did not answer in time."""
