"""The connection to one hypervisor instance: opened once, reopened when its daemon went away.

Every call has a time limit, and every failure becomes one of our errors. Only local hypervisors are accepted, since
images are local files.

Knows: libvirt's connections. Must not know: domains' contents, plans, files.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeout
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

import libvirt

from labkit.errors import BadInput, ConnectionLost, HostTrouble, TimedOut
from labkit.hypervisor.errors import translate
from labkit.hypervisor.events import EventHub, start_event_loop
from labkit.hypervisor.sockets import instance_folder
from labkit.language import _
from labkit.model.event import Event, EventKind

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_URI = "qemu:///session"
CALL_LIMIT = 30.0
"""Seconds that a call may take unless its caller says otherwise."""

_POSTED_LIMIT = 5.0
"""Seconds that closing waits for posted calls."""

_PATIENCE_AT_FIRST, _PATIENCE = 2.0, 20.0  # seconds in which a daemon may refuse; there may be none at first


def check_uri(uri: str) -> str:
    """Return the URI of a local hypervisor.

    Raises:
        BadInput: it names another computer or another hypervisor than QEMU.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:  # an unclosed bracket, a character that normalization changes
        raise BadInput(
            _("{uri!r} is not a QEMU hypervisor.").format(uri=uri), _("Use {uri}.").format(uri=DEFAULT_URI)
        ) from None
    if parts.netloc or ("+" in parts.scheme and parts.scheme.split("+")[1] != "unix"):
        raise BadInput(
            _("{uri!r} is on another computer; the lab's images are files of this one.").format(uri=uri),
            _("Use {uri}.").format(uri=DEFAULT_URI),
        )
    if parts.scheme.split("+")[0] != "qemu" or parts.path not in ("/session", "/system"):
        raise BadInput(_("{uri!r} is not a QEMU hypervisor.").format(uri=uri), _("Use {uri}.").format(uri=DEFAULT_URI))
    return uri


_NOTICES = 0.5
"""Seconds within which libvirt notices that its daemon went away, after a call has failed for that."""

_shared: dict[tuple[str, str], Connection] = {}
_shared_lock = threading.Lock()


def connect(uri: str = DEFAULT_URI, *, start: Callable[[], None] | None = None) -> Connection:
    """Return this process's one connection to a hypervisor instance; each caller must `release` it.

    Args:
        start: starts the instance's daemon if need be, called before each opening; None: libvirt starts it itself.
    """
    key = (uri, os.environ.get("XDG_RUNTIME_DIR", ""))
    with _shared_lock:
        connection = _shared.get(key)
        if connection is None or connection.closed:
            connection = _shared[key] = Connection(uri, start=start)
        connection.users += 1
        return connection


class Connection:
    """A connection that survives the end of its daemon.

    Attributes:
        uri: what it is connected to. runtime: the instance's runtime folder, where guests' sockets are; None if it is
            not ours.
        events: the hub its events go to, across reconnections.
    """

    def __init__(self, uri: str = DEFAULT_URI, *, start: Callable[[], None] | None = None) -> None:
        self.uri = check_uri(uri)
        self.runtime = instance_folder(self.uri)
        self._start = start
        start_event_loop()
        self.events = EventHub()
        self._lock = threading.Lock()
        self._raw: libvirt.virConnect | None = None
        self._workers = ThreadPoolExecutor(max_workers=16, thread_name_prefix="libvirt-call")
        self._posted: list[Future[object]] = []
        self.closed = False
        self.users = 0
        self._stop_listening = self.events.listen(self._reconnect_after_loss)
        try:
            self.raw()
        except BaseException:
            self.close()
            raise

    def raw(self) -> libvirt.virConnect:
        """Return the live libvirt connection, opening it (and with it the session's daemon) if need be.

        Raises:
            HostTrouble: no daemon can be reached or started.
            ConnectionLost: this connection was closed.
        """
        with self._lock:
            if self.closed:
                raise _closed()
            if self._raw is not None and self._raw.isAlive():
                return self._raw
            again = self._raw is not None
            self._raw = self._open()
        if again:
            self.events.put(Event(kind=EventKind.RECONNECTED))
        return self._raw

    def call(self, verb: Callable[[libvirt.virConnect], R], *, subject: str = "", timeout: float = CALL_LIMIT) -> R:
        """Return the result of `verb`, called with the live connection.

        Args:
            verb: called in a worker thread; libvirt releases Python's global lock meanwhile.
            subject: the machine's name, for the error.
            timeout: seconds.

        Raises:
            TimedOut: no answer in time; the call may still end by itself.
            LabError: libvirt's error, translated.
        """
        raw = self.raw()
        future = self._workers.submit(verb, raw)
        try:
            return future.result(timeout)
        except FutureTimeout:
            raise TimedOut(
                _("{subject}: the hypervisor did not answer within {seconds:g} s.").format(
                    subject=subject or self.uri, seconds=timeout
                ),
                _("It may still be at work: look at the state again. If it stays silent, type ./lab doctor."),
            ) from None
        except CancelledError:
            raise _closed() from None
        except libvirt.libvirtError as error:
            if _is_gone(raw, error):
                raise ConnectionLost(
                    _("The hypervisor's daemon went away during the call."),
                    _("Guests go on without it. Do it again: the daemon is started again."),
                    details=str(error),
                ) from error
            raise translate(error, subject=subject) from error

    def read(self, verb: Callable[[libvirt.virConnect], R], *, subject: str = "", timeout: float = CALL_LIMIT) -> R:
        """Return the result of `verb`; call it once more if the daemon went away, which is safe for reading."""
        try:
            return self.call(verb, subject=subject, timeout=timeout)
        except ConnectionLost:
            if self.closed:
                raise
            return self.call(verb, subject=subject, timeout=timeout)

    def post(self, verb: Callable[[libvirt.virConnect], object]) -> None:
        """Call `verb` with the live connection without waiting for it; its result and its errors are ignored."""
        raw = self.raw()
        with self._lock, contextlib.suppress(RuntimeError):  # just closed
            self._posted = [future for future in self._posted if not future.done()]
            self._posted.append(self._workers.submit(verb, raw))

    def release(self) -> None:
        """Give back a connection that `connect` returned; when the last user does so, it is closed."""
        with _shared_lock:  # held while closing, so that nobody is handed a connection that is about to close
            self.users -= 1
            if self.users <= 0:
                self.close()

    def close(self) -> None:
        """Close the connection; guests go on."""
        with self._lock:
            raw, self._raw, self.closed = self._raw, None, True
        wait(self._posted, timeout=_POSTED_LIMIT)
        self._stop_listening()
        self.events.close()
        self._workers.shutdown(wait=False, cancel_futures=True)
        if raw is not None:
            try:
                raw.unregisterCloseCallback()
                raw.close()
            except libvirt.libvirtError:
                pass  # the daemon has already gone

    def _open(self) -> libvirt.virConnect:
        limit = time.monotonic() + (_PATIENCE_AT_FIRST if self._raw is None else _PATIENCE)
        while True:
            try:
                if self._start is not None:
                    self._start()
                raw = libvirt.open(self.uri)
                raw.setKeepAlive(5, 3)
                self.events.register(raw)
                return raw
            except libvirt.libvirtError as error:
                # A daemon that is just ending or starting refuses for a moment, or goes away once more.
                if time.monotonic() > limit:
                    raise HostTrouble(
                        _("The hypervisor {uri} cannot be opened.").format(uri=self.uri),
                        _("Type ./lab doctor: it says what is missing."),
                        details=str(error),
                    ) from error
                time.sleep(0.05)

    def _reconnect_after_loss(self, event: Event) -> None:
        """Open again after a loss, so that events go on even if nobody makes a call."""
        if event.kind is EventKind.CLOSED and not self.closed:
            try:
                self.raw()
            except (HostTrouble, ConnectionLost):
                return  # the next call tries again and reports it


def _is_gone(raw: libvirt.virConnect, error: libvirt.libvirtError) -> bool:
    """Whether the daemon went away during a call.

    A call may fail on the line to the daemon an instant before libvirt calls the connection dead.
    """
    limit = time.monotonic() + _NOTICES
    while raw.isAlive():
        if error.get_error_domain() != libvirt.VIR_FROM_RPC or time.monotonic() > limit:
            return False
        time.sleep(0.01)
    return True


def _closed() -> ConnectionLost:
    return ConnectionLost(_("This lab was closed."), _("Open it again: Lab.open()."))
