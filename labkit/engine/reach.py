"""A lab and its machines reached by names alone, without opening it: nothing is made, recovered or changed.

Knows: the lab's folder, the hypervisor's domains. Must not know: plans, the façade.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.engine.executor import Executor
from labkit.engine.handle import Handle
from labkit.engine.workspace import check_lab, open_workspace
from labkit.errors import NotFound
from labkit.hypervisor.connection import DEFAULT_URI, connect
from labkit.hypervisor.domains import Domains
from labkit.language import _
from labkit.model.state import LabState


def read_lab(lab: str, *, home: str | Path | None = None, uri: str | None = None) -> LabState:
    """Return a lab as it is.

    Raises:
        NotFound: there is no such lab. HostTrouble: its folder cannot be read, or no hypervisor answers.
    """
    workspace = open_workspace(check_lab(lab, home), home)
    connection = connect(uri or DEFAULT_URI)
    executor = Executor(workspace, Domains(connection))
    try:
        return executor.read()
    finally:
        executor.instances.release()
        connection.release()


@contextmanager
def reach_machine(
    lab: str, machine: str, *, home: str | Path | None = None, uri: str | None = None
) -> Iterator[Handle]:
    """Give the handle of a machine that a lab owns.

    Args:
        lab: its name. machine: a name there, or an id. home, uri: as `Lab.open` takes them.

    Raises:
        NotFound: there is no such lab, or it has no such machine. HostTrouble: no hypervisor answers.
    """
    workspace = open_workspace(check_lab(lab, home), home)
    connection = connect(uri or DEFAULT_URI)
    try:
        domains = Domains(connection)
        machines, _others = domains.read_all(workspace.id)
        found = next((facts for facts in machines.values() if machine in (facts.name, facts.id)), None)
        if found is None:
            raise NotFound(
                _("There is no machine {name!r} in this lab.").format(name=machine),
                _("There are: {names}.").format(names=", ".join(machines) or _("none yet")),
            )
        yield Handle(workspace, domains, found.id, found.name, lambda: None)
    finally:
        connection.release()
