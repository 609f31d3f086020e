"""Bad input and trouble on a real lab: one clear error with a hint, nothing lost, nothing left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from labkit import Lab
from labkit.errors import BadInput, LabError, NotFound, Refused, WrongState
from labkit.machine import Machine
from tests.engine.picture import Picture, take_picture

Call = Callable[[Lab, Machine], Any]


@pytest.fixture(scope="module")
def running() -> Iterator[Machine]:
    """A running machine that no mistake may harm."""
    with Lab.open("bad-input") as lab:
        yield lab.create("web", image="sector", memory="16 MiB", if_exists="replace").start().wait_ready()
        lab.clean()


@pytest.fixture(scope="module")
def picture(running: Machine) -> Picture:
    """How the lab stands before any mistake."""
    return take_picture(running.lab)


def create(*arguments: Any, **named: Any) -> Call:
    return lambda lab, _vm: lab.create(*arguments, **{"image": "sector", "memory": "16 MiB", **named})


MISTAKES: dict[str, tuple[Call, type[LabError]]] = {
    "name with XML": (create("<name>web</name>"), BadInput),
    "name that closes an element": (create("a</name><name>b"), BadInput),
    "name with a slash": (create("../../etc/passwd"), BadInput),
    "name with a newline": (create("web\nweb"), BadInput),
    "name with a NUL": (create("web\0"), BadInput),
    "name of 61 characters": (create("x" * 61), BadInput),
    "empty name": (create(""), BadInput),
    "name that is a number": (create(7), BadInput),
    "name that is taken": (create("web"), Refused),
    "no memory": (create("new", memory="0"), BadInput),
    "negative memory": (create("new", memory="-1"), BadInput),
    "memory in parsecs": (create("new", memory="12 parsecs"), BadInput),
    "ambiguous memory": (create("new", memory="128 MB"), BadInput),
    "memory that is None": (create("new", memory=None), BadInput),
    "more memory than the host has": (create("new", memory="100 TiB"), Refused),
    "memory beyond all numbers": (create("new", memory="9" * 40 + " TiB"), BadInput),
    "too little memory for tiny": (create("new", image="tiny", memory="8 MiB"), Refused),
    "no CPU": (create("new", vcpus=0), BadInput),
    "half a CPU": (create("new", vcpus=0.5), BadInput),
    "too many CPUs": (create("new", vcpus=4096), Refused),
    "no such image": (create("new", image="windows"), Refused),
    "image by path": (create("new", image="../../x"), Refused),
    "no such policy": (create("new", if_exists="maybe"), BadInput),
    "message that is too long": (create("new", message="x" * 513), Refused),
    "message with a NUL": (create("new", message="a\0b"), BadInput),
    "message for tiny": (create("new", image="tiny", memory="128 MiB", message="Hola"), Refused),
    "CPU model with XML": (create("new", cpu_model="<x/>"), BadInput),
    "no such machine": (lambda lab, _vm: lab.machines["nope"], NotFound),
    "start twice": (lambda _lab, vm: vm.start(), WrongState),
    "resume what runs": (lambda _lab, vm: vm.resume(), WrongState),
    "delete what runs": (lambda _lab, vm: vm.delete(), Refused),
    "rename what runs": (lambda _lab, vm: vm.rename("new"), Refused),
    "rename to no name": (lambda _lab, vm: vm.rename("a/b"), BadInput),
    "configure no memory": (lambda _lab, vm: vm.configure(memory="0"), BadInput),
    "configure too much": (lambda _lab, vm: vm.configure(memory="100 TiB"), Refused),
    "pin to no CPU": (lambda _lab, vm: vm.pin(4096), BadInput),
    "pin to a negative CPU": (lambda _lab, vm: vm.pin(-1), BadInput),
    "pin to a word": (lambda _lab, vm: vm.pin(cast(int, "all")), BadInput),
    "run without an agent": (lambda _lab, vm: vm.run("true"), WrongState),
    "another computer": (lambda _lab, _vm: Lab.open("x", uri="qemu+ssh://host/system"), BadInput),
    "lab with a slash": (lambda _lab, _vm: Lab.open("../x"), BadInput),
    "no such language": (lambda _lab, _vm: Lab.open("x", language="tlh"), BadInput),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_error_and_changes_nothing(running: Machine, picture: Picture, mistake: str) -> None:
    call, kind = MISTAKES[mistake]
    with pytest.raises(LabError) as caught:
        call(running.lab, running)
    error = caught.value
    assert type(error) is kind
    assert error.message
    assert "\n" not in error.message
    assert error.hint
    assert take_picture(running.lab) == picture


OFF_MISTAKES: dict[str, Callable[[Machine], Any]] = {
    "run": lambda vm: vm.run("true"),
    "wait_ready": lambda vm: vm.wait_ready(),
    "pause": lambda vm: vm.pause(),
    "resume": lambda vm: vm.resume(),
    "save": lambda vm: vm.save(),
}


@pytest.mark.parametrize("verb", OFF_MISTAKES)
def test_on_a_machine_that_is_off_the_excuse_names_its_state(lab: Lab, verb: str) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB")
    with pytest.raises(WrongState, match="web is off") as caught:
        OFF_MISTAKES[verb](vm)
    assert caught.value.hint


def test_a_name_of_another_script_is_too_long_in_bytes_not_in_characters() -> None:
    with Lab.open("\U00020000" * 60) as long:
        with pytest.raises(Refused, match="too long") as caught:
            long.create("\U00020000" * 30)
        assert "shorter" in caught.value.hint
        long.clean()
