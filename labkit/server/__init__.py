"""An extension of Jupyter's server: a machine's console, through the server's own terminals; hints at addresses.

    POST labkit/console       {lab, machine, home, uri, language} -> {name}: of a terminal with the machine's console
    GET  labkit/static/FILE   the console's front end
    GET  labkit/address       what may be meant by the address of a notebook that is not there

Knows: Jupyter's server and its terminals, how a machine is reached. Must not know: how its serial line is read,
kernels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import FileFindHandler

from labkit.server.addresses import AddressHandler
from labkit.server.consoles import ConsoleHandler

FRONT = Path(__file__).parent / "static"


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "labkit.server"}]


def _load_jupyter_server_extension(server: Any) -> None:
    """Add the addresses above to a Jupyter server."""
    base = server.web_app.settings["base_url"].rstrip("/")
    server.web_app.add_handlers(
        ".*$",
        [
            (f"{base}/labkit/console", ConsoleHandler),
            (f"{base}/labkit/address", AddressHandler),
            (f"{base}/labkit/static/(.+)", FileFindHandler, {"path": [str(FRONT)]}),
        ],
    )
