"""Acts: methods that can be called, or asked for their plan with the same arguments.

    vm.delete()            does it
    vm.delete.plan()       returns the plan and does nothing

The arguments are first checked against the signature. The modules beside this one hold the first half of each act, from
the arguments to the plan; the class that offers the act joins it with what follows:

    delete = act(_after_delete)(machine.delete)

Switching a machine needs no plan; a switch that can yet say what it would do has `plan`, too (`planned_by`).

Knows: plans. Must not know: which acts there are.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from labkit.arguments import Arguments
from labkit.engine.executor import Outcome
from labkit.engine.handle import Handle
from labkit.engine.papers import write_papers
from labkit.engine.session import Session
from labkit.errors import Stale
from labkit.plans.plan import Folder, Plan, Scribe
from labkit.printing import tell

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


class OfLab(Protocol):
    """What an act on a lab needs of it."""

    @property
    def session(self) -> Session:
        """The session it uses."""


class OfMachine(Protocol):
    """What an act on a machine needs of it."""

    @property
    def handle(self) -> Handle:
        """The handle it uses."""


class BoundAct(Generic[P, R]):
    """An act of one object: call it, or ask for its `plan`."""

    def __init__(
        self,
        plan: Callable[P, Plan],
        finish: Callable[[Plan, float | None], R],
        check: Callable[..., None],
        doc: str | None,
        write: Scribe,
    ) -> None:
        self._write = write
        self._plan = plan
        self._check = check
        self._finish = finish
        self.__doc__ = doc
        self.__name__ = getattr(plan, "__name__", "act")
        self.__signature__ = inspect.signature(plan)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Plan the act and carry it out."""
        self._check(args, kwargs)
        timeout: Any = kwargs.get("timeout")
        try:
            return self._finish(self._plan(*args, **kwargs), timeout)
        except Stale:
            # Another kernel was faster. Nobody has looked at this plan, so a fresh one may take its place.
            return self._finish(self._plan(*args, **kwargs), timeout)

    def plan(self, *args: P.args, **kwargs: P.kwargs) -> Plan:
        """Return what the act would do, without doing it."""
        self._check(args, kwargs)
        return self._plan(*args, **kwargs).written_by(self._write)

    def __repr__(self) -> str:
        return f"act {self.__name__}{self.__signature__}"


class Act(Generic[S, P, R]):
    """Descriptor of an act: the method that makes its plan, and the function that carries it out."""

    def __init__(
        self,
        plan: Callable[Concatenate[S, P], Plan],
        finish: Callable[[S, Plan, float | None], R],
    ) -> None:
        self._plan = plan
        self._finish = finish
        self._arguments = Arguments(plan)
        self.__doc__ = plan.__doc__

    @overload
    def __get__(self, instance: None, owner: type[S]) -> Act[S, P, R]: ...
    @overload
    def __get__(self, instance: S, owner: type[S]) -> BoundAct[P, R]: ...
    def __get__(self, instance: S | None, owner: type[S]) -> Act[S, P, R] | BoundAct[P, R]:
        if instance is None:
            return self
        plan: Any = self._plan.__get__(instance, owner)

        def check(args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
            self._arguments.check((instance, *args), kwargs)

        def finish(made: Plan, timeout: float | None) -> R:
            return self._finish(instance, made, timeout)

        def write(made: Plan, folder: str | Folder) -> tuple[str, ...]:
            return write_papers(_session_of(instance), made, folder)

        return BoundAct(plan, finish, check, self.__doc__, write)


class BoundSwitch(Generic[P, R]):
    """A method of one object that needs no plan, and yet can say beforehand what it would do: `plan`."""

    def __init__(self, do: Callable[P, R], plan: Callable[P, Plan], check: Callable[..., None], write: Scribe) -> None:
        self._do = do
        self._plan = plan
        self._check = check
        self._write = write
        self.__doc__ = do.__doc__
        self.__name__ = getattr(do, "__name__", "call")
        self.__signature__ = inspect.signature(do)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Do it."""
        self._check(args, kwargs)
        return self._do(*args, **kwargs)

    def plan(self, *args: P.args, **kwargs: P.kwargs) -> Plan:
        """Return what the call would do, without doing it."""
        self._check(args, kwargs)
        return self._plan(*args, **kwargs).written_by(self._write)

    def __repr__(self) -> str:
        return f"switch {self.__name__}{self.__signature__}"


class Switch(Generic[S, P, R]):
    """Descriptor of such a method."""

    def __init__(self, do: Callable[Concatenate[S, P], R], plan: Callable[Concatenate[S, P], Plan]) -> None:
        self._do = do
        self._plan = plan
        self._arguments = Arguments(do)
        self.__doc__ = do.__doc__

    @overload
    def __get__(self, instance: None, owner: type[S]) -> Switch[S, P, R]: ...
    @overload
    def __get__(self, instance: S, owner: type[S]) -> BoundSwitch[P, R]: ...
    def __get__(self, instance: S | None, owner: type[S]) -> Switch[S, P, R] | BoundSwitch[P, R]:
        if instance is None:
            return self
        do: Any = self._do
        plan: Any = self._plan

        def check(args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
            self._arguments.check((instance, *args), kwargs)

        def write(made: Plan, folder: str | Folder) -> tuple[str, ...]:
            return write_papers(_session_of(instance), made, folder)

        return BoundSwitch(do.__get__(instance, owner), plan.__get__(instance, owner), check, write)


def planned_by(
    plan: Callable[Concatenate[S, P], Plan],
) -> Callable[[Callable[Concatenate[S, P], R]], Switch[S, P, R]]:
    """Let a method, whose arguments are checked, be asked for its plan, which this function makes."""
    return lambda do: Switch(do, plan)


def _session_of(instance: Any) -> Session:
    """Return the session of the object that an act belongs to, be it a machine or something else of a lab."""
    session: Session = (instance.handle if hasattr(instance, "handle") else instance).session
    return session


def act(
    finish: Callable[[S, Plan, float | None], R],
) -> Callable[[Callable[Concatenate[S, P], Plan]], Act[S, P, R]]:
    """Make an act of a method that returns a plan; `finish(self, plan, timeout)` does the rest."""
    return lambda plan: Act(plan, finish)


def tell_remarks(outcome: Outcome) -> None:
    """Print what did not come out as planned, where the act was called."""
    for remark in outcome.remarks:
        tell(remark)  # the student should hear of it
