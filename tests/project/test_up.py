"""./lab up as a person meets it, on a computer that others use, too: its address, its secrets, what it leaves open."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import websocket

from tests.browser.jupyter import open_window
from tests.project.files import LAB, ROOT, find_free_port, run

SECONDS = 150
COMMITTER = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered."""

    status: int
    headers: http.client.HTTPMessage
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """A JupyterLab that `./lab up` has started, and what it printed."""

    process: psutil.Process
    url: urllib.parse.SplitResult
    told: str

    @property
    def host(self) -> str:
        assert self.url.hostname is not None
        return self.url.hostname

    @property
    def port(self) -> int:
        assert self.url.port is not None
        return self.url.port

    @property
    def base(self) -> str:
        """The path that all its addresses begin with."""
        return self.url.path.partition("lab/tree")[0]

    @property
    def token(self) -> str:
        return urllib.parse.parse_qs(self.url.query)["token"][0]

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask for a path."""
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=SECONDS)) as connection:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return Answer(status=answer.status, headers=answer.headers, body=answer.read().decode())

    def cookies(self) -> dict[str, str]:
        """Return what a browser that opens the printed address keeps."""
        answer = self.get(f"{self.url.path}?{self.url.query}")
        assert answer.status in (200, 302), answer.body
        told = [one.partition(";")[0] for one in answer.headers.get_all("Set-Cookie") or []]
        return dict(one.split("=", 1) for one in told)


def start_up(data: Path, checkout: Path = ROOT, **environment: str) -> subprocess.Popen[str]:
    # a run in the background ignores INT
    words: list[str | Path] = [
        "env",
        "--default-signal=INT",
        LAB,
        "run",
        "bash",
        checkout / "deploy/up.sh",
        data,
        "8888",
    ]
    settings = {**os.environ, "LABKIT_DATA": str(data), **environment}
    return subprocess.Popen(words, env=settings, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)  # fmt: skip


@contextmanager
def lab_up(data: Path, checkout: Path = ROOT, **environment: str) -> Iterator[Lab]:
    """Start JupyterLab, and end it as Ctrl-C does; nothing listens afterwards."""
    up = start_up(data, checkout, **{"LABKIT_PORT": str(find_free_port()), **environment})
    told = []
    try:
        assert up.stdout is not None
        for line in up.stdout:
            told.append(line)
            if "http://" in line:
                break
        else:
            pytest.fail("".join(told))
        lab = Lab(process=psutil.Process(up.pid), url=urllib.parse.urlsplit(told[-1].strip()), told="".join(told))
        yield lab
    finally:
        up.send_signal(signal.SIGINT)
        try:
            output, _ = up.communicate(timeout=SECONDS)
        finally:
            up.terminate()
    assert "Stopping JupyterLab." in output
    with socket.socket(socket.AF_INET6 if ":" in lab.host else socket.AF_INET) as probe:
        assert probe.connect_ex((lab.host, lab.port)) != 0


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab for tests that only look at it."""
    with lab_up(tmp_path_factory.mktemp("shared") / "data", JUPYTER_TOKEN="theirs") as lab:  # noqa: S106
        yield lab


def refuse(data: Path, **environment: str) -> str:
    """Return the one sentence with which it refuses to start, behind what it tells of the copies that it has made."""
    up = start_up(data, ROOT, **environment)
    output, _ = up.communicate(timeout=SECONDS)
    assert up.returncode == 1, output
    news, sentence = output.strip().splitlines()
    assert "copies" in news
    assert sentence.startswith("lab: ")
    return sentence


# ------------------------------------------------------------------------------------------------ port and address
def test_a_second_one_says_that_the_first_goes_on_and_has_an_address_of_its_own(data: Path) -> None:
    with socket.socket() as first:
        with suppress(OSError):  # another one has it: as good
            first.bind(("127.0.0.1", 8888))
            first.listen()
        with lab_up(data, LABKIT_PORT="") as lab:
            assert lab.port != 8888
            assert "Port 8888 is taken, perhaps by a ./lab up in another terminal: that one goes on" in lab.told
            assert f"This is one more, on port {lab.port}" in lab.told


def test_busy_port_that_was_asked_for_is_an_error(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Port {port} is busy" in refuse(data, LABKIT_PORT=str(port))


@pytest.mark.parametrize("port", ["80", "99999", "http", "-1"])
def test_port_that_is_none_is_refused(data: Path, port: str) -> None:
    assert "from 1024 to 65535" in refuse(data, LABKIT_PORT=port)


@pytest.mark.parametrize(
    "address", ["nonsense", "1.2.3", "two words", "192.0.2.1", "2001:db8::1", "http://127.0.0.1", "é" * 70]
)
def test_address_that_is_not_ours_is_refused_at_once(data: Path, address: str) -> None:
    assert f"LABKIT_BIND is {address!r}" in refuse(data, LABKIT_BIND=address)


@pytest.mark.parametrize(
    ("bound", "printed"),
    [("127.0.0.2", "127.0.0.2"), ("localhost", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("[::1]", "::1")],
)
def test_printed_address_answers_wherever_it_listens(data: Path, bound: str, printed: str) -> None:
    with lab_up(data, LABKIT_BIND=bound) as lab:
        assert lab.host == printed
        assert lab.cookies()


def test_up_prints_an_address_that_answers_and_ends_what_it_started(data: Path) -> None:
    with lab_up(data) as lab:
        assert lab.url.netloc == f"127.0.0.1:{lab.port}"
        assert re.fullmatch(r"/\w{16}/lab/tree/\w\w/index\.ipynb", lab.url.path)
        assert lab.get(f"{lab.base}api/status", Authorization=f"token {lab.token}").status == 200
        children = lab.process.children(recursive=True)
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []


# ------------------------------------------------------------------------------------ the student's own copies
@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of the course that git knows."""
    folder = tmp_path / "checkout"
    for part in ("deploy", "labkit", "notebooks"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    shutil.copy(ROOT / ".gitignore", folder)
    for words in (["init", "--quiet"], ["add", "."], [*COMMITTER, "commit", "--quiet", "--message", "the course"]):
        assert run("git", *words, cwd=folder).returncode == 0
    return folder


def test_it_serves_copies_without_outputs_and_leaves_the_checkout_alone(data: Path, checkout: Path) -> None:
    with lab_up(data, checkout) as lab:
        headers = {"Authorization": f"token {lab.token}"}
        listed = json.loads(lab.get(f"{lab.base}api/contents/en", **headers).body)["content"]
        served = json.loads(lab.get(f"{lab.base}api/contents/en/04-snapshots.ipynb", **headers).body)["content"]
    assert {path.name for path in (checkout / "notebooks/en").iterdir()} == {entry["name"] for entry in listed}
    assert [cell["outputs"] for cell in served["cells"] if cell["cell_type"] == "code" and cell["outputs"]] == []
    assert "Your copies were made: en/" in lab.told
    assert run("git", "status", "--porcelain", cwd=checkout).stdout == ""


def test_notebook_that_was_changed_in_the_checkout_becomes_the_copy_the_first_time(data: Path, checkout: Path) -> None:
    path = checkout / "notebooks/en/03-disks.ipynb"
    path.write_text(path.read_text().replace('"# Disks', '"# My disks'))
    with lab_up(data, checkout) as lab:
        assert (
            "You had changed a notebook of the course itself: your version is your copy now: en/03-disks." in lab.told
        )
        assert "`git restore notebooks`" in lab.told
    copy = data / "work/en/03-disks.ipynb"
    assert "# My disks" in copy.read_text()
    assert run("git", "restore", "notebooks", cwd=checkout).returncode == 0
    with lab_up(data, checkout) as lab:
        assert "03-disks" not in lab.told
    assert "# My disks" in copy.read_text()


# ------------------------------------------------------------------------------------ other users of this computer
def test_nothing_answers_without_the_token_or_outside_its_path(up: Lab) -> None:
    assert up.get(f"{up.base}api/status").status == 403
    for path in ("/", "/lab", "/api", "/login", "/static/favicon.ico", f"{up.base[:-1]}0/lab"):
        answer = up.get(path)
        assert answer.status == 404
        assert up.base.strip("/") not in f"{answer.headers} {answer.body}"


def test_cookie_of_an_earlier_start_is_worth_nothing(data: Path) -> None:
    port = str(find_free_port())
    with lab_up(data, LABKIT_PORT=port) as lab:
        ((name, value),) = [one for one in lab.cookies().items() if one[0] != "_xsrf"]
        assert lab.get(f"{lab.base}api/status", Cookie=f"{name}={value}").status == 200
        first = lab
    with lab_up(data, LABKIT_PORT=port) as lab:
        ((again, _),) = [one for one in lab.cookies().items() if one[0] != "_xsrf"]
        assert again != name
        for old in (name, again):
            assert lab.get(f"{lab.base}api/status", Cookie=f"{old}={value}").status == 403
        assert lab.get(f"{lab.base}api/status", Authorization=f"token {first.token}").status == 403


def test_cookies_are_for_its_path_alone(up: Lab) -> None:
    """A browser sends them to every port of the address, also to one where somebody else's server is."""
    told = up.get(f"{up.url.path}?{up.url.query}").headers.get_all("Set-Cookie") or []
    assert told
    assert [cookie for cookie in told if f"; Path={up.base}" not in cookie] == []
    assert all("HttpOnly" in cookie for cookie in told if not cookie.startswith("_xsrf"))


def test_nobody_who_waits_for_its_port_gets_it(data: Path) -> None:
    """Not even who has bound it before, without listening: our server listens, or it refuses to start."""
    port = find_free_port()
    with socket.socket() as rival:
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind(("127.0.0.1", port))
        with lab_up(data, LABKIT_PORT=str(port)), pytest.raises(OSError, match="in use"):
            rival.listen()


def test_port_is_listened_on_before_jupyter_is_loaded() -> None:
    """So nobody comes between a check and a bind, and whoever connects waits for us."""
    code = (
        "import serve, sys; a = serve.find_addresses(''); serve.take_port(a, 0); print('jupyter_server' in sys.modules)"
    )
    environment = {"PYTHONPATH": str(ROOT / "deploy"), "LABKIT_PORT": str(find_free_port())}
    assert run(sys.executable, "-c", code, environment=environment).stdout == "False\n"


def run_cell(lab: Lab, code: str) -> str:
    """Run code in a new kernel, as a notebook does, and return what it printed."""
    headers = {"Authorization": f"token {lab.token}"}
    made = lab.get(f"{lab.base}api/kernels", "POST", **headers)
    kernel = json.loads(made.body)["id"]
    address = f"ws://{lab.url.netloc}{lab.base}api/kernels/{kernel}/channels"
    channels = websocket.create_connection(address, header=headers, timeout=SECONDS)
    header = {"msg_id": "1", "session": "s", "username": "", "msg_type": "execute_request", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    request = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    channels.send(json.dumps(request))
    printed = ""
    while True:
        message = json.loads(channels.recv())
        if message["parent_header"].get("msg_id") != "1":
            continue
        if message["msg_type"] == "stream":
            printed += message["content"]["text"]
        elif message["msg_type"] == "error":
            printed += message["content"]["evalue"]
        elif message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            channels.close()
            return printed


def test_nothing_tells_the_token_and_kernels_have_no_port_that_tells_anything(up: Lab) -> None:
    """A kernel listens on one port, where its forked children send output to it; their messages begin with a key."""
    assert run_cell(up, "import os; print(oct(os.umask(0o77)), 'JUPYTER_TOKEN' in os.environ)") == "0o77 False\n"
    processes = [up.process, *up.process.children(recursive=True)]
    listening = {c.laddr.port for p in processes for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert len(listening - {up.port}) == 1
    assert [p.cmdline() for p in processes if up.token in " ".join(p.cmdline())] == []
    assert [p.pid for p in processes if up.token in p.environ().values()] == []
    environment = processes[-1].environ()
    data, runtime = Path(environment["JUPYTER_DATA_DIR"]).parent, Path(environment["JUPYTER_RUNTIME_DIR"])
    assert up.token not in (data / "server.log").read_text()
    made = [data, runtime, *runtime.glob("*.json"), *data.iterdir()]
    assert [(str(path), oct(path.stat().st_mode)) for path in made if path.stat().st_mode & 0o077] == []


def test_page_that_is_opened_shows_the_notebook_and_reaches_its_kernel(up: Lab) -> None:
    with open_window() as window:
        window.page.goto(up.url.geturl())
        notebook = window.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        notebook.locator(".jp-MarkdownOutput h1").first.wait_for(timeout=SECONDS * 1000)
        notebook.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=SECONDS * 1000)
        assert up.base in window.page.url


def test_the_server_speaks_the_language_of_the_command(data: Path) -> None:
    up = start_up(data, LABKIT_PORT="80", LABKIT_LANGUAGE="es")
    output, _ = up.communicate(timeout=SECONDS)
    assert "lab: LABKIT_PORT es 80; debe ser un número entre 1024 y 65535." in output
    assert up.returncode == 1
