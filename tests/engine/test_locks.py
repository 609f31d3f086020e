"""Locks: between kernels, between threads, and after a kernel's death."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.engine.locks import MachineLocks, every_lock, find_busy, lab_lock
from labkit.errors import Busy, HostTrouble
from tests.engine.kernel import Instant, Kernel


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    """The folder of a lab's locks."""
    folder = tmp_path / "locks"
    folder.mkdir()
    return folder


@pytest.fixture
def holder(locks: Path) -> Iterator[Kernel]:
    """Another process that holds the lock of `web` and will not let go."""
    code = f"""
from pathlib import Path
from labkit.engine.locks import MachineLocks
with MachineLocks(Path({str(locks)!r}), ["web"]) as held:
    held.release()
"""
    with Kernel(code, stop=Instant(function="release")) as kernel:
        kernel.wait_stopped()
        yield kernel


def test_an_act_holds_a_machine_alone(locks: Path) -> None:
    with MachineLocks(locks, ["web"]), pytest.raises(Busy, match="web"), MachineLocks(locks, ["web"]):
        pass


def test_switching_shares_a_machine_and_keeps_acts_away(locks: Path) -> None:
    with MachineLocks(locks, ["web"], shared=True), MachineLocks(locks, ["web"], shared=True), pytest.raises(Busy):
        MachineLocks(locks, ["web"])
    with MachineLocks(locks, ["web"]), pytest.raises(Busy):
        MachineLocks(locks, ["web"], shared=True)


def test_who_cannot_have_all_has_none(locks: Path) -> None:
    with MachineLocks(locks, ["web"]):
        with pytest.raises(Busy):
            MachineLocks(locks, ["db", "web"])
        with MachineLocks(locks, ["db"]):
            pass


def test_threads_of_one_process_are_kept_apart_too(locks: Path) -> None:
    met: list[type[BaseException]] = []

    def try_it() -> None:
        try:
            MachineLocks(locks, ["web"]).release()
        except Busy as error:
            met.append(type(error))

    with MachineLocks(locks, ["web"]):
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    assert met == [Busy]


def test_another_process_keeps_us_away_until_it_ends(locks: Path, holder: Kernel) -> None:
    with pytest.raises(Busy) as caught:
        MachineLocks(locks, ["web"])
    assert caught.value.hint
    assert find_busy(locks, ["web", "db"]) == {"web"}
    holder.kill()
    assert find_busy(locks, ["web", "db"]) == frozenset()
    MachineLocks(locks, ["web"]).release()


def test_looking_who_is_busy_leaves_no_lock_and_no_file(locks: Path) -> None:
    assert find_busy(locks, ["web"]) == frozenset()
    assert every_lock(locks) == []


def test_looking_who_is_busy_is_in_nobodys_way(locks: Path) -> None:
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            find_busy(locks, ["web"])

    MachineLocks(locks, ["web"]).release()
    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _try in range(3000):
            MachineLocks(locks, ["web"]).release()
    finally:
        over.set()
        thread.join()


def test_the_labs_lock_is_waited_for_and_then_given_up(locks: Path) -> None:
    with lab_lock(locks), pytest.raises(Busy, match="planning"), lab_lock(locks, timeout=0):
        pass


def test_the_labs_lock_goes_to_who_waits(locks: Path) -> None:
    got = threading.Event()

    def wait_for_it() -> None:
        with lab_lock(locks):
            got.set()

    with lab_lock(locks):
        thread = threading.Thread(target=wait_for_it)
        thread.start()
        assert not got.is_set()
    thread.join(60)
    assert got.is_set()


def test_a_lab_whose_folder_is_gone_is_told_not_raised_raw(tmp_path: Path) -> None:
    with pytest.raises(HostTrouble), lab_lock(tmp_path / "none" / "locks"):
        pass
    with pytest.raises(HostTrouble):
        MachineLocks(tmp_path / "none" / "locks", ["web"])
