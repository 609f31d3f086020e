"""Serves JupyterLab on a socket of our own, with secrets of this start alone: serve.py ROOT FIRST_PORT LIMIT.

Other users of this computer reach its loopback, too. So the port is bound and listened on before anything is told:
whoever reads the address on descriptor 3 reaches this process and no other. The token, the secret that signs cookies
and the path that all addresses begin with are drawn here, are kept in memory, and end with this process: a cookie or
token of an earlier start is worth nothing. A browser sends cookies to every port of an address, and only the path
keeps them from a server of someone else at another port. Kernels are reached through UNIX sockets in the runtime
folder, since anybody could listen to their TCP ports.

Sentences for the user go to descriptor 4; everything else is for the log. Exit code 2: the sentence has been said.

Knows: sockets, Jupyter's server. Must not know: labkit, what is served.
"""

from __future__ import annotations

import errno
import gettext
import ipaddress
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

TOLD, SAID = 3, 4
"""The descriptors to which the address and the sentences for the user are written."""

PORTS_TRIED = 20
LOOPBACK = "127.0.0.1"
SOCKET_LIMIT = 107  # bytes of a socket's path

KERNEL_SOCKET = "kernel-01234567-0123-0123-0123-0123456789ab-ipc-1"
"""What Jupyter calls a kernel's socket in the runtime folder."""

Address = tuple[socket.AddressFamily, str]


_ = gettext.translation(
    "lab",
    Path(__file__).parent.parent / "labkit" / "locale",
    languages=[os.environ.get("LABKIT_SPOKEN") or "en"],
    fallback=True,
).gettext
"""A sentence in the language that `./lab` speaks, from its catalogue."""


def say(sentence: str) -> None:
    """Tell the user."""
    os.write(SAID, f"{sentence}\n".encode())


def fail(sentence: str) -> NoReturn:
    """Tell the user and end."""
    say(f"lab: {sentence}")
    os._exit(2)  # nothing is to be cleaned up, and a signal's handler must not raise into the event loop


# ------------------------------------------------------------------------------------------------ address and port
def find_addresses(wanted: str) -> Sequence[Address]:
    """Return the addresses of this computer that LABKIT_BIND names, each with its family."""
    name = wanted.strip().removeprefix("[").removesuffix("]") or LOOPBACK
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        fail(
            _(
                "LABKIT_BIND is {wanted!r}, which is no address and no name that this computer knows. "
                "Leave it out for {loopback} (this computer alone), or set it to an address of this computer."
            ).format(wanted=wanted, loopback=LOOPBACK)
        )
    addresses = list(dict.fromkeys((family, str(place[0])) for family, *_rest, place in found))
    usable = [(family, address) for family, address in addresses if is_ours(family, address)]
    if not usable:
        told = ", ".join(dict.fromkeys(address for _, address in addresses))
        fail(
            _(
                "LABKIT_BIND is {wanted!r}, and this computer has no address {told} (`ip address` lists those it has). "
                "Leave it out for {loopback} (this computer alone), or name one of them."
            ).format(wanted=wanted, told=told, loopback=LOOPBACK)
        )
    return usable


def is_ours(family: socket.AddressFamily, address: str) -> bool:
    """Whether one can listen on the address here, and a browser can be told of it."""
    if "%" in address:  # only with the name of a network card, which no browser takes
        return False
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def listen(addresses: Sequence[Address], port: int) -> list[socket.socket]:
    """Return sockets that listen on all the addresses.

    Raises:
        OSError: on one of them the port is not to be had; none is left open.
    """
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            one = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of an earlier server may linger
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((address, port))
            one.listen(128)
            one.setblocking(False)
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets


def take_port(addresses: Sequence[Address], first: int) -> tuple[int, list[socket.socket]]:
    """Return the port of LABKIT_PORT, or the first free one from `first` on, with the sockets that listen there."""
    wanted = os.environ.get("LABKIT_PORT", "")
    if wanted:
        if not re.fullmatch(r"[0-9]{1,5}", wanted) or not 1024 <= int(wanted) <= 65535:
            fail(_("LABKIT_PORT is {wanted}; it must be a number from 1024 to 65535.").format(wanted=wanted))
        ports = range(int(wanted), int(wanted) + 1)
    else:
        ports = range(first, first + PORTS_TRIED)
    for port in ports:
        try:
            sockets = listen(addresses, port)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                words = _("Port {port} cannot be listened on: {why}. Name another one in LABKIT_PORT.")
                fail(words.format(port=port, why=error.strerror))
            continue
        if port != ports[0]:
            say(
                _(
                    "Port {taken} is taken, perhaps by a ./lab up in another terminal: that one goes on, at its own "
                    "address. This is one more, on port {port}; it sees the same labs and notebooks."
                ).format(taken=ports[0], port=port)
            )
        return port, sockets
    if wanted:
        words = _("Port {port} is busy. Name another one in LABKIT_PORT, or leave it out and a free one is taken.")
        fail(words.format(port=wanted))
    words = _("Ports {first} to {last} are all busy. Name a free one in LABKIT_PORT.")
    fail(words.format(first=ports[0], last=ports[-1]))


def host_of(addresses: Sequence[Address]) -> str:
    """Return what a browser on this computer writes for the host: a number, so that no name leads elsewhere."""
    family, address = min(addresses, key=lambda one: one[0] != socket.AF_INET)
    if ipaddress.ip_address(address).is_unspecified:
        address = LOOPBACK if family == socket.AF_INET else "::1"
    return f"[{address}]" if family == socket.AF_INET6 else address


def start_page(root: Path) -> str:
    """Return the notebook to begin with, in the language that was asked for."""
    languages = (os.environ.get("LABKIT_LANGUAGE") or "en", "en")
    pages = [f"{language}/{page}.ipynb" for language in languages for page in ("index", "00-your-lab")]
    return next((page for page in pages if (root / page).exists()), pages[-1])


# ------------------------------------------------------------------------------------------------------ the server
def serve(root: Path, first_port: int, limit: int) -> None:
    """Listen, start JupyterLab, tell its address, serve until a signal comes."""
    addresses = find_addresses(os.environ.get("LABKIT_BIND", ""))
    port, sockets = take_port(addresses, first_port)
    host, path, token = host_of(addresses), f"/{secrets.token_hex(8)}/", secrets.token_hex(24)

    def tell() -> None:
        signal.alarm(0)
        if any(not ipaddress.ip_address(address).is_loopback for _, address in addresses):
            listens = ", ".join(address for _, address in addresses)
            words = _(
                "It listens on {places}, as LABKIT_BIND asks: who reaches it from elsewhere needs only the token."
            )
            say(words.format(places=listens))
        say(_("JupyterLab is up. Ctrl-C here stops it. Open:"))
        os.write(TOLD, f"\n    http://{host}:{port}{path}lab/tree/{start_page(root)}?token={token}\n\n".encode())
        os.close(TOLD)

    late = _("JupyterLab did not answer within {limit} s.").format(limit=limit)
    signal.signal(signal.SIGALRM, lambda *_why: fail(late))
    signal.alarm(limit)
    for descriptor in (TOLD, SAID):
        os.set_inheritable(descriptor, False)
    launch(root, sockets, {"ip": addresses[0][1], "port": str(port), "base_url": path}, token, tell)


def launch(
    root: Path, sockets: list[socket.socket], place: dict[str, str], token: str, tell: Callable[[], None]
) -> None:
    """Run JupyterLab on the sockets until a signal ends it; `tell` is called once it serves."""
    # What checks schemas spends most of a second on a grammar of IRIs. No schema here has any, and without that grammar
    # they would go unchecked, so it counts as not installed.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    from jupyter_server.serverapp import ServerApp
    from jupyterlab.labapp import LabApp
    from tornado.httpserver import HTTPServer
    from tornado.routing import PathMatches, Rule, RuleRouter

    class Server(ServerApp):
        """Jupyter's server on our sockets; outside its path nothing answers, so that nobody is told the path."""

        no_browser_open_file = True  # such a file would hold the token

        def init_httpserver(self) -> None:
            inside = Rule(PathMatches(re.escape(self.base_url) + ".*"), self.web_app)
            sizes = {"max_body_size": self.max_body_size, "max_buffer_size": self.max_buffer_size}
            self._http_server = HTTPServer(RuleRouter([inside]), **sizes)
            self.io_loop.add_callback(self.begin)

        def begin(self) -> None:
            self.http_server.add_sockets(sockets)
            tell()

    LabApp.serverapp_class = Server
    options = {
        **{f"ServerApp.{name}": value for name, value in place.items()},
        "ServerApp.root_dir": str(root),
        "ServerApp.cookie_secret": secrets.token_hex(32),
        "ServerApp.open_browser": "False",
        "ServerApp.sock": "",
        "ServerApp.certfile": "",
        "ServerApp.allow_origin": "",
        "ServerApp.allow_origin_pat": "",
        "ServerApp.disable_check_xsrf": "False",
        "IdentityProvider.token": token,
        "IdentityProvider.cookie_name": f"labkit-{secrets.token_hex(4)}",
    }
    if len(os.fsencode(os.environ["JUPYTER_RUNTIME_DIR"])) + 1 + len(KERNEL_SOCKET) <= SOCKET_LIMIT:
        options["KernelManager.transport"] = "ipc"
    LabApp.launch_instance([f"--{name}={value}" for name, value in options.items()])


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
