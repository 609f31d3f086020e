"""A guest on bare QEMU, without libvirt: started, watched and ended by one test.

Knows QEMU's command line, QMP and the guest agent's protocol (both are lines of JSON over a UNIX socket) and the
serial line. Must not know labkit: these tests hold for the images alone.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIMIT = 120.0  # seconds that anything may take


class Lines:
    """A UNIX socket that is read up to a pattern.

    A thread reads it all the time: QEMU's serial line, and with it the guest, stops when nobody takes its bytes.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        until(lambda: self._socket.connect_ex(str(path)) == 0, f"{path.name} accepts")
        self._news = threading.Condition()
        self._open = True
        self.text = b""
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def expect(self, pattern: bytes, *, limit: float = LIMIT) -> re.Match[bytes]:
        """Wait for the pattern; forget all up to its end and return the match.

        Raises:
            TimeoutError: it did not come.
            EOFError: the other side closed before it came.
        """
        end = time.monotonic() + limit
        with self._news:
            while not (found := re.search(pattern, self.text)):
                if not self._open:
                    raise EOFError(f"closed before {pattern!r}; read: {self.text!r}")
                if not self._news.wait(end - time.monotonic()):
                    raise TimeoutError(f"no {pattern!r}; read: {self.text!r}")
            self.text = self.text[found.end() :]
        return found

    def close(self) -> None:
        """End the reading thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b""
            with self._news:
                self.text += data
                self._open = bool(data)
                self._news.notify_all()
            if not data:
                self._socket.close()
                return


class Qmp:
    """QEMU's own control channel."""

    def __init__(self, path: Path) -> None:
        self.lines = Lines(path)
        self.events: list[dict[str, Any]] = []
        self.call("qmp_capabilities")

    def call(self, command: str, **arguments: Any) -> Any:
        """Run a command and return its answer."""
        self.lines.send(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while "return" not in (answer := self._read()):
            if "error" in answer:
                raise AssertionError(f"{command}: {answer['error']}")
        return answer["return"]

    def wait_event(self, name: str) -> dict[str, Any]:
        """Return the first event of this name, past or to come."""
        while not (found := [event for event in self.events if event["event"] == name]):
            self._read()
        return found[0]

    def _read(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.lines.expect(rb"[^\n]*\n")[0])
        if "event" in message:
            self.events.append(message)
        return message


class Agent:
    """The guest agent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = Lines(path)

    def wait(self) -> None:
        """Return when the agent answers: QEMU holds the question back until the guest opens the channel."""
        self.lines.send(b'{"execute":"guest-sync","arguments":{"id":7}}\n')
        self.lines.expect(b'"return": ?7}\\s*')

    def send(self, command: str, **arguments: Any) -> None:
        """Send a command that has no answer."""
        self.lines.send(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")

    def call(self, command: str, **arguments: Any) -> Any:
        """Run a command and return its answer."""
        self.send(command, **arguments)
        while not (line := self.lines.expect(rb"[^\n]*\n")[0].strip()):
            pass
        answer = json.loads(line)
        if "error" in answer:
            raise AssertionError(f"{command}: {answer['error']}")
        return answer["return"]

    def run(self, command: str) -> str:
        """Run a shell command in the guest; return what it printed.

        Raises:
            AssertionError: it failed.
        """
        arguments = {"path": "/bin/sh", "arg": ["-c", command], "capture-output": True}
        process = self.call("guest-exec", **arguments)["pid"]
        while not (status := self.call("guest-exec-status", pid=process))["exited"]:
            time.sleep(0.01)
        printed = base64.b64decode(status.get("out-data", "")).decode()
        assert status.get("exitcode") == 0, (command, status, base64.b64decode(status.get("err-data", "")))
        return printed


@dataclass(slots=True, kw_only=True)
class Guest:
    """A running QEMU."""

    process: subprocess.Popen[bytes]
    folder: Path
    qmp: Qmp
    console: Lines
    _agent: Agent | None = field(default=None)

    @property
    def agent(self) -> Agent:
        """The agent, once it answers."""
        if self._agent is None:
            self._agent = Agent(self.folder / "agent")
            self._agent.wait()
        return self._agent

    def wait_end(self) -> None:
        """Return when QEMU has ended by itself."""
        assert self.process.wait(LIMIT) == 0


@contextmanager
def boot(folder: Path, arguments: list[str], *, memory: int = 128) -> Iterator[Guest]:
    """Start QEMU with a serial line, QMP and the agent's channel on sockets in a new folder; end it at last."""
    folder.mkdir()
    argv = [
        "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,tb-size=64", "-m", str(memory), "-nodefaults",
        "-display", "none", "-no-reboot",
        "-chardev", f"socket,id=console,path={folder}/console,server=on,wait=off", "-serial", "chardev:console",
        "-chardev", f"socket,id=qmp,path={folder}/qmp,server=on,wait=off", "-mon", "chardev=qmp,mode=control",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=agent,path={folder}/agent,server=on,wait=off",
        "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
        *arguments,
    ]  # fmt: skip
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(argv, stderr=stderr, stdin=subprocess.DEVNULL)
    try:
        yield Guest(process=process, folder=folder, console=Lines(folder / "console"), qmp=Qmp(folder / "qmp"))
    finally:
        process.kill()
        process.wait()


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    end = time.monotonic() + LIMIT
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"never: {what}")
        time.sleep(0.005)
