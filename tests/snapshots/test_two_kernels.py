"""Two kernels at once on the snapshots of one machine, and of two: one waits, is refused, or plans again; no damage."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from labkit import Lab
from labkit.errors import Busy, Refused, Stale
from labkit.machine import Machine
from tests.engine.kernel import Answer, Instant, Kernel
from tests.snapshots.standing import Eye
from tests.snapshots.struck import THOROUGH

ACTS = {
    "take": 'vm.snapshots.take("new")',
    "restore": 'vm.snapshots.restore("a")',
    "restore and save": 'vm.snapshots.restore("a", save_current="new")',
    "delete": 'vm.snapshots.delete("b")',
    "rename": 'vm.snapshots.rename("b", "new")',
}

AT_RANDOM = """
import itertools, random
from labkit import Lab
from labkit.errors import Busy, LabError, Refused, Stale
chance = random.Random({seed})
counts = {{"done": 0, "refused": 0}}
with Lab.open({lab!r}) as lab:
    for number in itertools.count():
        if number >= {acts} and counts["done"]:  # the other may hold all for long, but not for ever
            break
        vm = lab.machines[chance.choice({machines})]
        names = list(vm.snapshots)
        mine = f"k{seed}-{{number}}"
        kind = chance.choice(["take", "take", "restore", "delete", "rename", "both"] if names else ["take"])
        try:
            match kind:
                case "take":
                    vm.snapshots.take(mine)
                case "restore":
                    vm.snapshots.restore(chance.choice(names))
                case "both":
                    vm.snapshots.restore(chance.choice(names), save_current=mine)
                case "delete":
                    vm.snapshots.delete(chance.choice(names))
                case "rename":
                    vm.snapshots.rename(chance.choice(names), mine)
            counts["done"] += 1
        except (Busy, Refused, Stale) as error:
            assert error.hint, error
            counts["refused"] += 1
answer = f"{{counts['done']}} {{counts['refused']}}"
"""


@pytest.fixture
def vm(lab: Lab) -> Machine:
    """A machine that is off, with snapshots a → b."""
    return _make(lab, "web")


def _make(lab: Lab, name: str) -> Machine:
    vm = lab.create(name, image="sector", memory="32 MiB")
    vm.snapshots.take("a").take("b")
    return vm


def _other(lab: Lab, act: str, stop: Instant | None = None, machine: str = "web") -> Kernel:
    code = f"with Lab.open({lab.name!r}) as lab:\n    vm = lab.machines[{machine!r}]\n    {ACTS[act]}"
    return Kernel(code, stop=stop)


@pytest.fixture
def at_work(vm: Machine) -> Iterator[Kernel]:
    """Another kernel that takes a snapshot of the machine and is held in it."""
    with _other(vm.lab, "take", Instant(function="do_step")) as kernel:
        kernel.wait_stopped()
        yield kernel
        kernel.go_on()
        assert kernel.answer().error == ""
        assert vm.snapshots.current == "new"
        Eye(vm.lab).look()


@pytest.mark.usefixtures("at_work")
@pytest.mark.parametrize("act", ACTS)
def test_while_one_kernel_is_at_work_another_is_refused_and_nothing_is_touched(vm: Machine, act: str) -> None:
    with pytest.raises(Busy, match="web") as caught:
        exec(ACTS[act], {"vm": vm})  # noqa: S102 — the texts above
    assert caught.value.hint
    assert list(vm.snapshots) == ["a", "b"]


@pytest.mark.usefixtures("at_work")
def test_while_one_kernel_is_at_work_the_machine_is_not_switched(vm: Machine) -> None:
    with pytest.raises(Busy):
        vm.start()


@pytest.mark.usefixtures("at_work")
def test_while_one_kernel_is_at_work_another_machine_is_free(vm: Machine) -> None:
    other = _make(vm.lab, "db")
    other.snapshots.restore("a", save_current="c")
    assert list(other.snapshots) == ["a", "b", "c"]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("first", ["take", "delete"])
def test_a_plan_made_before_another_kernel_acted_is_stale(vm: Machine, first: str, act: str) -> None:
    name, _, arguments = ACTS[act].partition("(")
    plan = eval(f"{name}.plan({arguments}", {"vm": vm})  # noqa: S307 — the texts above
    with _other(vm.lab, first) as kernel:
        assert kernel.answer().error == ""
    with pytest.raises(Stale) as caught:
        vm.lab.carry_out(plan)
    assert caught.value.hint
    Eye(vm.lab).look()


def test_each_kernel_sees_and_hears_of_the_others_result(vm: Machine) -> None:
    heard = threading.Event()
    end = vm.lab.subscribe(lambda _event: heard.set())
    try:
        with _other(vm.lab, "take") as kernel:
            assert kernel.answer().error == ""
        assert heard.wait(60)
    finally:
        end()
    assert vm.snapshots.current == "new"
    vm.snapshots.delete("new")
    with _other(vm.lab, "restore") as kernel:
        assert kernel.answer().error == ""
    assert vm.snapshots.current == "a"


def test_two_that_take_a_snapshot_of_the_same_name_take_one(vm: Machine) -> None:
    answers = _both(vm.lab, "take", "take")
    assert [answer.error for answer in answers if answer.error] in (["Refused"], ["Busy"])
    assert list(vm.snapshots) == ["a", "b", "new"]


@pytest.mark.parametrize(("one", "two"), [("take", "delete"), ("restore", "delete"), ("restore and save", "rename")])
def test_two_different_acts_at_once_are_done_in_turn_or_one_is_refused(vm: Machine, one: str, two: str) -> None:
    for answer in _both(vm.lab, one, two):
        assert answer.error in ("", Busy.__name__, Refused.__name__, Stale.__name__), answer
    Eye(vm.lab).look()


def _both(lab: Lab, one: str, two: str) -> list[Answer]:
    """Let two kernels that have both made their plan carry it out at the same time."""
    planned = Instant(function="carry_out")
    with _other(lab, one, planned) as first, _other(lab, two, planned) as second:
        for kernel in (first, second):
            kernel.wait_stopped()
        for kernel in (first, second):
            kernel.go_on()
        return [first.answer(), second.answer()]


@pytest.mark.parametrize("machines", [["web"], ["web", "db"]], ids=len)
def test_two_kernels_at_random_do_no_damage(vm: Machine, machines: list[str]) -> None:
    lab = vm.lab
    if "db" in machines:
        _make(lab, "db")
    acts = 60 if THOROUGH else 12
    kernels = [Kernel(AT_RANDOM.format(lab=lab.name, seed=seed, acts=acts, machines=machines)) for seed in (1, 2)]
    try:
        answers = [kernel.answer() for kernel in kernels]
    finally:
        for kernel in kernels:
            kernel.kill()
    assert [answer.error for answer in answers] == ["", ""], answers
    done = [int(answer.text.split()[0]) for answer in answers]
    assert all(done), answers
    for name in machines:
        standing = Eye(lab, name).look()
        assert len({content[-1] for content in standing.images.values()}) == 1  # nobody wrote anything
        assert standing.changed == ()
