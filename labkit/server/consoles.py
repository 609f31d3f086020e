"""A machine's console as a named terminal of Jupyter's: made when it is first asked for, shared by all viewers.

Jupyter's terminals send it over a websocket of the server, so a busy kernel does not hold it up. Each keeps what was
printed for later viewers, and ends with its process. That process is `labkit console`, never a shell.

Knows: Jupyter's terminal manager, how a machine is reached. Must not know: how its serial line is read, kernels.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server_terminals.terminalmanager import TerminalManager
from tornado import web

from labkit.engine.handle import reach_machine
from labkit.errors import BadInput, HostTrouble, LabError, NotFound, WrongState
from labkit.language import _

PREFIX = "labkit_"
"""How the names of labkit's terminals begin."""

_STATUS: list[tuple[type[LabError], int]] = [(NotFound, 404), (WrongState, 409), (BadInput, 400)]


class ConsoleHandler(APIHandler):
    """The handler of `POST labkit/console`."""

    auth_resource = "terminals"

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Make sure that a running machine has a terminal, and answer with its name.

        Answers 404 if the lab has no such machine, 409 if it is not running, each with `message` and `hint`.
        """
        try:
            words = _read_words(self.get_json_body())
            machine_id = await asyncio.get_running_loop().run_in_executor(None, _find_running, words)
            name = _join(self._terminals(), machine_id, words)
        except LabError as error:
            status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
            self.set_status(status)
            self.finish(json.dumps({"message": error.message, "hint": error.hint}))
            return
        self.finish(json.dumps({"name": name}))

    def _terminals(self) -> TerminalManager:
        terminals: TerminalManager | None = self.settings.get("terminal_manager")
        if terminals is None:
            raise HostTrouble(
                _("Jupyter's terminals are switched off here, and the console goes over them."),
                _("Switch them on: ServerApp.terminals_enabled."),
            )
        return terminals


class Terminals(TerminalManager):
    """Jupyter's terminals, where a shell never gets a console's name.

    JupyterLab asks for the terminals of its last session by name. If a console has ended meanwhile, it would get a
    shell on the host instead of the guest's.
    """

    def create(self, **options: Any) -> dict[str, Any]:
        """Make a terminal; a console's name is only given together with a console's command."""
        if str(options.get("name", "")).startswith(PREFIX) and "shell_command" not in options:
            raise web.HTTPError(404, _("This console has ended. Open it again from its panel."))
        return dict(super().create(**options))


def _read_words(body: object) -> dict[str, str]:
    given = body if isinstance(body, dict) else {}
    words = {key: given.get(key) for key in ("lab", "machine", "home", "uri", "language") if given.get(key) is not None}
    if not {"lab", "machine"} <= words.keys() or not all(isinstance(word, str) for word in words.values()):
        raise BadInput(_("Name a lab and a machine."))
    return {key: str(word) for key, word in words.items()}


def _find_running(words: dict[str, str]) -> str:
    with reach_machine(words["lab"], words["machine"], home=words.get("home"), uri=words.get("uri")) as machine:
        facts = machine.facts
        if not facts.is_active:
            raise WrongState(_("{name} does not run.").format(name=facts.name), _("Start it first."))
        return facts.id


def _join(terminals: TerminalManager, machine_id: str, words: dict[str, str]) -> str:
    """Return the name of the machine's terminal, which is made if there is none."""
    name = PREFIX + machine_id.replace("-", "")
    if name not in terminals.terminals:
        options = [f"--{key}={words[key]}" for key in ("lab", "home", "uri") if key in words]
        command = [sys.executable, "-m", "labkit.cli", "console", "--stay", *options, "--", machine_id]
        language = {"LABKIT_LANGUAGE": words["language"]} if "language" in words else {}
        terminals.create(name=name, shell_command=command, extra_env=language)
    return name
