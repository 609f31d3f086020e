"""./lab as a person meets it: what it says, how it ends, under which user it runs things."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project.files import LAB, ROOT, run, write_program


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


# --------------------------------------------------------------------------------------------------- how it ends
def test_help_names_every_command() -> None:
    done = run(LAB, "help")
    assert done.returncode == 0
    assert re.findall(r"^  (\w+) .*", done.stdout, flags=re.MULTILINE)[:8] == [
        "up", "test", "setup", "run", "doctor", "bench", "clean", "help",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words", [["fly"], ["run"], ["setup", "now"], ["up", "9000"], ["clean", "--everything"]], ids=" ".join
)
def test_what_it_does_not_know_is_one_sentence(words: list[str]) -> None:
    done = run(LAB, *words)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("lab: ")


SPANISH = {"LC_ALL": "", "LC_CTYPE": "", "LANG": "es_AR.UTF-8", "LABKIT_SPOKEN": ""}
"""What a Spanish-speaking user's shell has; the locale need not be installed."""


@pytest.mark.parametrize("language", [{"LABKIT_LANGUAGE": "es"}, SPANISH], ids=["asked for", "the locale's"])
def test_it_speaks_the_readers_language(language: dict[str, str]) -> None:
    assert run(LAB, "help", environment=language).stdout.startswith("Uso: ./lab ORDEN\n")
    wrong = run(LAB, "clean", "--everything", environment=language)
    assert wrong.stderr == "lab: ./lab clean conoce --all-files y --yes, no --everything.\n"


@pytest.mark.parametrize("language", [{"LABKIT_LANGUAGE": "en"}, {"LANG": "fr_FR.UTF-8"}, {"LANG": "../es"}], ids=str)
def test_it_speaks_english_where_it_has_no_catalogue(language: dict[str, str]) -> None:
    assert run(LAB, "fly", environment={**SPANISH, **language}).stderr.endswith("lab: There is no command fly.\n")


def test_what_it_starts_keeps_the_users_locale(tmp_path: Path) -> None:
    """The locale in which it reads its own words is no other program's: those of apt and pip are looked into."""
    script = tmp_path / "say"
    script.write_text(f'ROOT="{ROOT}"; . "$ROOT/deploy/language.sh"; begin_words; echo $"all there"; end_words; env')
    said = run("bash", script, environment={**SPANISH, "LC_ALL": "C.UTF-8", "LABKIT_SPOKEN": "es"}).stdout.splitlines()
    assert said[0] == "all there"  # read as one line with what sets the language
    script.write_text(script.read_text().replace("; ", "\n"))
    said = run("bash", script, environment={**SPANISH, "LC_ALL": "C.UTF-8", "LABKIT_SPOKEN": "es"}).stdout.splitlines()
    assert said[0] == "está todo"
    assert [line for line in said if line.startswith(("LC_ALL=", "LANGUAGE=", "LOCPATH="))] == ["LC_ALL=C.UTF-8"]


@pytest.mark.alone
def test_second_setup_takes_a_moment() -> None:
    run(LAB, "setup")
    began = time.monotonic()
    done = run(LAB, "setup")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 10
    assert "The lab is set up" in done.stderr


# -------------------------------------------------------------------------------------------------- ./lab run CMD
def test_run_passes_stdin_arguments_and_exit_code() -> None:
    done = run(LAB, "run", "sh", "-c", 'cat; echo "$1"; exit 7', "sh", "two words", stdin="one line\n")
    assert (done.returncode, done.stdout) == (7, "one line\ntwo words\n")


def test_run_stays_in_the_folder_it_was_called_in(tmp_path: Path) -> None:
    assert run(LAB, "run", "pwd", cwd=tmp_path).stdout.strip() == str(tmp_path)


def test_run_uses_the_environment_of_the_checkout() -> None:
    done = run(LAB, "run", "python", "-c", "import sys, labkit; print(sys.prefix, labkit.__file__)")
    prefix, package = done.stdout.split()
    assert Path(prefix) == Path(os.environ["VIRTUAL_ENV"])
    assert Path(package).is_relative_to(ROOT)


def test_unusable_runtime_folder_is_replaced_by_one_of_ours(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    done = run(
        LAB, "run", "sh", "-c", 'stat -c "%a %u" "$XDG_RUNTIME_DIR"', environment={"XDG_RUNTIME_DIR": str(shared)}
    )
    assert done.stdout.split() == ["700", str(os.getuid())]


@pytest.mark.parametrize(("length", "shortened"), [(44, False), (45, True), (90, True)])
def test_a_long_configuration_folder_has_a_short_name_inside(
    length: int, shortened: bool, runtime_folder: Path
) -> None:
    folder = runtime_folder / "".ljust(length - len(str(runtime_folder)) - 1, "c")
    environment = {"XDG_RUNTIME_DIR": str(runtime_folder), "XDG_CONFIG_HOME": str(folder)}
    for _again in range(2):
        done = run(LAB, "run", "sh", "-c", 'echo "$XDG_CONFIG_HOME"', environment=environment)
        told = Path(done.stdout.strip())
        assert (told != folder) == shortened
        assert len(str(told)) <= 44
        assert told.resolve() == folder


def test_runtime_folder_that_somebody_made_before_us_is_replaced_by_one_of_ours() -> None:
    user = 100_000 + os.getpid()  # as whom nobody has a folder in /tmp
    taken, data = Path(f"/tmp/labkit-{user}"), Path(tempfile.mkdtemp(prefix="lk-", dir="/tmp"))
    taken.symlink_to(data)
    try:
        words = ["unshare", "--user", f"--map-user={user}", "env", "--unset=XDG_RUNTIME_DIR", f"LABKIT_DATA={data}"]
        done = run(*words, LAB, "run", "sh", "-c", 'stat -c "%n %a %u" "$XDG_RUNTIME_DIR"')
        assert done.stdout.split() == [f"{data}/run", "700", str(user)], done.stderr
    finally:
        taken.unlink()
        shutil.rmtree(data)


# ------------------------------------------------------------------------------------------- root's user namespace
@pytest.fixture
def runtime_folder() -> Iterator[Path]:
    """A short runtime folder of our own; the holder of its namespace ends with the test, when nobody is left in it."""
    folder = Path(f"/tmp/labkit-test-{os.getpid()}")
    folder.mkdir(mode=0o700)
    yield folder
    record = folder / "labkit-namespace"
    if record.exists():
        os.kill(int(record.read_text().split()[0]), signal.SIGUSR1)
        wait_until_gone(record)
    shutil.rmtree(folder)


def wait_until_gone(path: Path) -> None:
    deadline = time.monotonic() + 60
    while path.exists():
        assert time.monotonic() < deadline, f"{path} is still there"
        os.sched_yield()


def as_root(*command: str | Path) -> list[str]:
    """A command line that runs a command as a user who is root, in a namespace made for it."""
    return ["unshare", "--user", "--map-root-user", *map(str, command)]


def test_root_runs_things_as_an_ordinary_user(runtime_folder: Path) -> None:
    environment = {"XDG_RUNTIME_DIR": str(runtime_folder)}
    done = run(*as_root(LAB, "run", "sh", "-c", "id -un; exit 5"), environment=environment)
    assert (done.returncode, done.stdout) == (5, "daemon\n")


def test_calls_at_the_same_time_share_one_namespace(runtime_folder: Path) -> None:
    tell = "readlink /proc/self/ns/user"
    calls = f"{LAB} run {tell} & {LAB} run {tell} & wait; {tell}"  # as from two terminals of one login of root
    done = run(*as_root("sh", "-c", calls), environment={"XDG_RUNTIME_DIR": str(runtime_folder)})
    first, second, outside = done.stdout.split()
    assert first == second != outside


def test_record_of_a_process_that_is_gone_is_not_believed(runtime_folder: Path) -> None:
    record = runtime_folder / "labkit-namespace"
    record.write_text("1 0 user:[1]\n")
    done = run(*as_root(LAB, "run", "id", "-un"), environment={"XDG_RUNTIME_DIR": str(runtime_folder)})
    assert done.stdout == "daemon\n"
    assert record.read_text() != "1 0 user:[1]\n"


def test_system_without_user_namespaces_is_named_with_the_way_out(runtime_folder: Path, programs: Path) -> None:
    # the outer namespace is made with the real program, the inner one is refused as such a kernel refuses it
    write_program(programs, "unshare", "echo 'unshare: unshare failed: Operation not permitted' >&2", "exit 1")
    environment = {"XDG_RUNTIME_DIR": str(runtime_folder)}
    done = run(*as_root("env", f"PATH={programs}", LAB, "run", "true"), environment=environment)
    assert done.returncode == 1
    assert "Operation not permitted" in done.stderr
    assert "ordinary user" in done.stderr


# -------------------------------------------------------------------------------------------- trouble in setting up
def setup_with(programs: Path, data: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {"PATH": str(programs), "LABKIT_DATA": str(data), **environment}
    done = run(LAB, "setup", environment=settings)
    assert done.returncode == 1, done.stderr
    return done


def test_missing_package_without_sudo_names_what_root_must_run(programs: Path, data: Path) -> None:
    write_program(programs, "dpkg-query", "exit 1")
    done = setup_with(programs, data)
    assert "As root, run: apt-get install" in done.stderr
    assert "qemu-utils" in done.stderr


@pytest.mark.parametrize(
    ("words_of_apt", "sentence"),
    [
        ("Temporary failure resolving", "The package server cannot be reached."),
        ("E: You do not have enough free space in /var", "There is no room to install the packages."),
        ("E: Unable to locate package qemu-utils", "apt does not know: qemu-utils"),
        ("E: Could not get lock /var/lib/dpkg/lock", "Another program is installing packages."),
        ("E: Broken packages", "apt could not install the packages"),
    ],
)
def test_trouble_of_apt_is_told_in_a_sentence(programs: Path, data: Path, words_of_apt: str, sentence: str) -> None:
    write_program(programs, "dpkg-query", "exit 1")
    write_program(programs, "sudo", 'exec "$@"')
    write_program(programs, "apt-get", f"echo '{words_of_apt}'", "exit 100")
    done = setup_with(programs, data)
    assert f"lab: {sentence}" in done.stderr


def test_system_without_apt_is_refused(programs: Path, data: Path) -> None:
    (programs / "apt-get").unlink()
    assert "needs apt" in setup_with(programs, data).stderr


def test_python_of_another_version_is_refused(programs: Path, data: Path, tmp_path: Path) -> None:
    write_program(programs, "python-next", "echo 3.15")
    settings = {"LABKIT_PYTHON": str(programs / "python-next"), "LABKIT_VENV": str(tmp_path / "venv")}
    said = setup_with(programs, data, **settings).stderr
    assert "3.11, 3.12, 3.13 and 3.14" in said
    assert "python-next is 3.15. Install one of them beside it" in said


def test_folder_that_is_no_environment_is_never_emptied(programs: Path, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter").write_text("years of work")
    done = setup_with(programs, data, LABKIT_VENV=str(folder))
    assert "is no Python environment" in done.stderr
    assert (folder / "chapter").read_text() == "years of work"


def test_environment_of_another_checkout_is_left_to_it(programs: Path, data: Path, tmp_path: Path) -> None:
    other, folder = tmp_path / "other", tmp_path / "venv"
    other.mkdir()
    (other / "lab").touch()
    folder.mkdir()
    (folder / "pyvenv.cfg").touch()
    (folder / ".stamp-runtime").write_text(f"place {other} {folder}\nsystem /usr/bin/python3\n")
    done = setup_with(programs, data, LABKIT_VENV=str(folder))
    assert f"lab: The Python environment {folder} belongs to the checkout {other}." in done.stderr
    assert (folder / "pyvenv.cfg").exists()


def test_full_disk_is_told_before_anything_is_downloaded(programs: Path, data: Path, tmp_path: Path) -> None:
    write_program(programs, "df", "echo Avail; echo 12")
    done = setup_with(programs, data, LABKIT_VENV=str(tmp_path / "venv"))
    assert "only 12 MiB free" in done.stderr
