"""The whole public API, each argument with each odd value: nothing but an error in words, quickly, and nothing changed.

What there is to call is found by looking; what is called how stands in a table, and a call without a line in it fails.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from labkit import Lab, experiments, widgets
from labkit.acts.act import Act, BoundAct, Switch
from labkit.course import exercise, keep, predict, tell
from labkit.course.exercise import Exercise
from labkit.course.prediction import Prediction
from labkit.disk import Disk
from labkit.disks import Disks
from labkit.errors import BadInput, LabError, NotFound
from labkit.experiments import Container
from labkit.guest.console import SerialConsole
from labkit.language import set_language
from labkit.machine import Machine
from labkit.machines import Machines
from labkit.model.lineage import Lineage
from labkit.model.snapshot import SnapshotTree
from labkit.orphans import Orphan, Orphans
from labkit.snapshots import Snapshots
from tests.engine.picture import take_picture
from tests.guests.odd_values import ODD

SECONDS = 8.0
"""What a call may take on a busy host; one that waits for ever takes longer."""

CLASSES = (
    Lab, Machines, Machine, Disks, Disk, Snapshots, Orphans, Orphan, SerialConsole, Container, Exercise, Prediction,
    Lineage, SnapshotTree,
)  # fmt: skip

PANELS = tuple(getattr(widgets, name) for name in widgets.__all__ if name != "Panel")
"""What is called of a panel is its class; the rest is its author's and the page's."""

WEB, LAB, RUNNING = object(), object(), object()
"""In the table: the machine that is off, the lab, the machine that runs."""

VALUES = (experiments.Beat, experiments.RestoreCheck, experiments.Witness)
"""Of what `labkit.experiments` gives, the classes that it makes itself."""

ALWAYS = "all"
ON, OFF = "running", "off"


class Call:
    """How a call is made: who is called, with what, and which values are left out since they would be right.

    Args:
        on: the machine, running or off: such that a call with right arguments is refused, or changes nothing.
        right: values by argument that do what they say, such as beginning a daemon, or waiting a year.
    """

    def __init__(self, *, on: str = OFF, right: dict[str, set[str]] | None = None, **ordinary: Any) -> None:
        self.on, self.right, self.ordinary = on, right or {}, ordinary


NAMES = {"7", "1", "0", "number as text", "word", "digits"}  # the texts among them are names
_WAITS = {"2**31", "inf"}

CALLS: dict[str, Call | None] = {
    "Lab.open": Call(name="odd-values", uri=None, home=None, language=None),
    "Lab.neighbour": Call(right={"name": {"number as text", "word"}}, name="a/b"),
    "Lab.survey_disks": Call(mounted=None, frozen_in=None),
    "Lab.verify": Call(right={"on_progress": {"class", "lambda"}}, on_progress=None, cancel=None, timeout=None),
    "Lab.usage": Call(),
    "Lab.subscribe": Call(callback=lambda _event: None),
    "Lab.carry_out": Call(plan=None, on_progress=None, cancel=None, timeout=None),
    "Lab.create": Call(
        name="new",
        memory="16 MiB",
        vcpus=1,
        image="sector",
        if_exists="error",
        cpu_model="qemu64",
        panic_device=True,
        message=None,
        disk_format=None,
        allocation="dynamic",
        chipset="q35",
        timeout=None,
    ),
    "Lab.clean": Call(timeout=None),
    "Lab.import_machine": Call(file="no-such-file", name=None, identity="keep", timeout=None),
    "Lab.save_running": None,  # its one argument is `Machine.save`'s
    "Lab.close": None,
    "Machines.get": Call(key="no", default=None),
    "Machines.items": Call(),
    "Machines.keys": Call(),
    "Machines.values": Call(),
    "Disks.get": Call(key="no", default=None),
    "Disks.items": Call(),
    "Disks.keys": Call(),
    "Disks.values": Call(),
    "Snapshots.get": Call(key="no", default=None),
    "Snapshots.items": Call(),
    "Snapshots.keys": Call(),
    "Snapshots.values": Call(),
    "Machine.configure": Call(memory=None, vcpus=None, cpu_model=None, timeout=None),
    "Machine.rename": Call(new="other", timeout=None),
    "Machine.delete": Call(timeout=None),
    "Machine.attach": Call(disk="data", bus="virtio", timeout=None),
    "Machine.detach": Call(disk="web.vda", timeout=None),
    "Machine.clone": Call(
        name="copy",
        kind="full",
        snapshot=None,
        identity="new",
        count=None,
        snapshots=False,
        reflink=True,
        instant=False,
        timeout=None,
    ),
    "Machine.flatten": Call(timeout=None),
    "Machine.relink": Call(disk="web.vda", file="no-such-file", timeout=None),
    "Machine.migrate": Call(to=None, timeout=None),
    "Machine.export": Call(file="no-such-folder/x", timeout=None),
    "Machine.start": Call(on=ON, warm=None, timeout=1, cancel=None),
    "Machine.wait_ready": Call(timeout=0.1, cancel=None),
    "Machine.wait_for": Call(state="off", timeout=0.1),
    "Machine.pause": Call(),
    "Machine.resume": Call(),
    "Machine.save": Call(timeout=1, cancel=None, on_progress=None),
    "Machine.stop": Call(timeout=1, cancel=None),
    "Machine.kill": Call(),
    "Machine.pin": Call(cpu=None),
    "Machine.throttle": Call(disk="web.vda", iops=0, bytes_per_second=0),
    "Machine.answers": Call(on=ON),
    "Machine.run": Call(on=ON, command="true", timeout=1, stdin=b"", cancel=None),
    "Disks.create": Call(
        name="new",
        capacity="1 MiB",
        format="qcow2",
        allocation="dynamic",
        cluster_size=None,
        extended_l2=False,
        timeout=None,
    ),
    "Disks.import_file": Call(path="no-such-file", name="new", format=None, allocation="dynamic", timeout=None),
    "Disk.name_of": Call(disk="data"),
    "Disk.map": Call(),
    "Disk.locate": Call(offset=0),
    "Disk.sampling": Call(interval=0.1),
    "Disk.serve": Call(room="no size", timeout=1),
    "Disk.stop_serving": Call(),
    "Disk.convert": Call(new="new", format=None, allocation="dynamic", as_is=False, timeout=None),
    "Disk.accept_changes": Call(timeout=None),
    "Disk.resize": Call(capacity="2 MiB", timeout=None),
    "Disk.compact": Call(timeout=None),
    "Disk.delete": Call(timeout=None),
    "Snapshots.graph": Call(),
    "Snapshots.costs": Call(),
    "Snapshots.survey": Call(ask_guest=False),
    "Snapshots.take": Call(name="new", description="", timeout=None),
    "Snapshots.restore": Call(name="clean", save_current=None, run=True, memory=True, timeout=None),
    "Snapshots.delete": Call(name="clean", branch=False, merge="auto", timeout=None),
    "Snapshots.rename": Call(name="clean", new="other", timeout=None),
    "Snapshots.describe": Call(name="clean", description="", timeout=None),
    "Snapshots.accept_changes": Call(timeout=None),
    "Orphans.discard": Call(timeout=None),
    "Orphans.bring_back": Call(),
    "Orphans.get": Call(key="no", default=None),
    "Orphans.items": Call(),
    "Orphans.keys": Call(),
    "Orphans.values": Call(),
    "Orphan.adopt": Call(name="found", timeout=None),
    "Orphan.adopt_as_snapshot": Call(name="found", timeout=None),
    "Orphan.discard": Call(timeout=None),
    "Orphan.accept_changes": Call(timeout=None),
    "Snapshots.why_not_start": Call(),
    "SerialConsole.tail": Call(lines=20),
    "SerialConsole.since": Call(position=0),
    "SerialConsole.send": Call(text="x", end=""),
    "SerialConsole.expect": Call(pattern="", timeout=0.1, position=0),
    "experiments.measure_sharing": Call(on=ON, a=..., b=..., seconds=0.1, rounds=1),
    "experiments.measure_load": Call(on=ON, machine=..., seconds=0.1),
    "experiments.measure_fsync": Call(on=ON, machine=..., seconds=0.1, rounds=1),
    "experiments.measure_writes": Call(on=ON, machine=..., targets=["vdz"], writes=1, rounds=1),
    "experiments.saturate": Call(on=ON, machine=..., disk="no-such-disk"),
    "experiments.start_writing": Call(on=ON, machine=..., disk="no-such-disk"),
    "experiments.stop_writing": Call(on=ON, machine=...),
    "experiments.is_writing": Call(on=ON, machine=...),
    "experiments.read_devices": Call(on=ON, machine=...),
    "experiments.look_inside": Call(on=ON, place=...),
    "experiments.measure_formats": Call(right={"name": NAMES}, lab=..., capacity="1 MiB", name="a/b"),
    "experiments.measure_copy_rate": Call(lab=...),
    "experiments.measure_cost": Call(lab=..., writes=1, rounds=1, timeout=0, extended_l2=False),
    "experiments.measure_cost_inside": Call(right={"name": NAMES}, lab=..., writes=1, rounds=1, name="a/b", timeout=1),
    "experiments.witness": Call(machine=...),
    "experiments.verify_restore": Call(before=..., after=..., snapshot="clean"),
    "experiments.hash_file": Call(path="no-such-file"),
    "experiments.hash_states": Call(machine=...),
    "experiments.measure_limit": Call(on=ON, machine=..., disk="no-such-disk", seconds=0.1),
    "experiments.is_slower": Call(one=[1.0], other=[2.0]),
    "experiments.Heartbeat": Call(on=ON, vm=...),
    "experiments.Divergence": Call(machines=..., interval=0.1),
    "experiments.Container": Call(right={"name": NAMES}, name="a/b", spare=None),
    "Container.run": Call(command="true"),
    "predict": Call(slug="boot-time"),
    "tell": Call(slug="same-boot", holds=True),
    "keep": Call(slug="boot-time", value=1.5, unit="s", spread=None, lab=LAB),
    "exercise": Call(slug="first-boot", lab=None),
    "Exercise.check": Call(),
    "Exercise.hint": Call(),
    "Exercise.solution": Call(),
    "Exercise.start": None,  # these have no arguments, and make and delete
    "Exercise.reset": None,
    "Exercise.another": None,  # its seed is a name
    "Exercise.goal": None,  # panels call it
    "Exercise.prepare": None,
    "Exercise.task": Call(mark=True),
    "Exercise.read": None,  # checks call them
    "Exercise.judge": None,
    "Exercise.judge_all": None,
    "Exercise.why_not_given": None,
    "Exercise.drawn": None,
    "Exercise.stand": None,  # the list of exercises calls it
    "Lineage.clones": Call(machine="web"),
    "Lineage.dependants": Call(of="web"),
    "Lineage.direct_clones": Call(machine="web", snapshot="clean"),
    "Lineage.find": Call(name="web"),
    "Lineage.foreign": Call(machine="web"),
    "Lineage.graph": Call(),
    "Lineage.original": Call(machine="web"),
    "Lineage.own": Call(machine="web"),
    "Lineage.points": Call(),
    "Lineage.text": Call(),
    "Lineage.unique_cost": Call(of="web"),
    "SnapshotTree.branch": Call(name="clean"),
    "SnapshotTree.children": Call(name="clean"),
    "SnapshotTree.get": Call(key="no", default=None),
    "SnapshotTree.items": Call(),
    "SnapshotTree.keys": Call(),
    "SnapshotTree.path": Call(name="clean"),
    "SnapshotTree.text": Call(notes=None),
    "SnapshotTree.values": Call(),
    "ClonePanel": Call(where=WEB, name=None),
    "Console": Call(where=RUNNING, name=None),
    "DiskPanel": Call(lab=LAB, disk=None),
    "DoctorPanel": Call(lab=LAB),
    "HostPanel": Call(lab=LAB),
    "LabPanel": Call(lab=LAB),
    "LineagePanel": Call(lab=LAB, node=None),
    "MachinePanel": Call(where=WEB, name=None),
    "SnapshotPanel": Call(where=WEB, name=None),
    "Prediction.choose": Call(option="blink"),
    "Prediction.reveal": Call(observed=1),
    "Prediction.line": Call(),
}
"""By class and name: how it is called, or None with the reason why it is not."""


def found() -> set[str]:
    """All that is public and can be called; of panels only what they add to a panel."""
    given = {name for name in experiments.__all__ if callable(getattr(experiments, name))}
    tried = {f"experiments.{name}" for name in given - {kind.__name__ for kind in VALUES}}
    names = {"predict", "keep", "tell", "exercise", *(panel.__name__ for panel in PANELS), *tried}
    for kind in CLASSES:
        for name in dir(kind):
            if name.startswith("_") or (kind is Prediction and name not in vars(Prediction)):
                continue
            member = inspect.getattr_static(kind, name)
            if isinstance(member, Act | Switch | classmethod | staticmethod) or inspect.isfunction(member):
                names.add(f"{kind.__name__}.{name}")
    return names - {"Prediction.body"}  # what every panel draws


class Place:
    """A lab with two machines and a free disk, one of each of what can be called."""

    def __init__(self, lab: Lab) -> None:
        options: dict[str, Any] = {"image": "sector", "memory": "16 MiB", "if_exists": "replace"}
        self.lab = lab
        self.off = lab.create("web", **options)
        self.off.snapshots.take("clean")
        self.running = lab.create("on", **options).start().wait_ready()
        self.off.pin(None).throttle("web.vda")
        self.disk = lab.disks.create("data", capacity="1 MiB")
        (lab.home / "disks" / "stray").write_text("nobody's")

    def bound(self, name: str, on: str) -> Callable[..., Any]:
        """What a name of the table stands for."""
        kind, _dot, method = name.rpartition(".")
        machine = self.running if on == ON else self.off
        subjects: dict[str, Callable[[], Any]] = {
            "Lab": lambda: self.lab,
            "Machines": lambda: self.lab.machines,
            "Machine": lambda: machine,
            "Disks": lambda: self.lab.disks,
            "Disk": lambda: self.disk,
            "Snapshots": lambda: machine.snapshots,
            "Orphans": lambda: self.lab.orphans,
            "Orphan": lambda: self.lab.orphans["stray"],
            "SerialConsole": lambda: machine.console,
            "Exercise": lambda: exercise("first-boot", self.lab),
            "Prediction": lambda: predict("boot-time"),
            "experiments": lambda: experiments,
            "Container": lambda: Container("box"),
            "Lineage": lambda: self.lab.lineage,
            "SnapshotTree": lambda: machine.snapshots.tree,
        }
        if not kind:
            functions: dict[str, Callable[..., Any]] = {
                "predict": predict,
                "keep": keep,
                "tell": tell,
                "exercise": exercise,
            }
            return functions.get(name) or getattr(widgets, name)
        called: Callable[..., Any] = getattr(subjects[kind](), method)
        return called

    def given(self, call: Call) -> dict[str, Any]:
        """The right arguments of a call; what stands for one of the place's things is that."""
        machine = self.running if call.on == ON else self.off
        real = {WEB: self.off, LAB: self.lab, RUNNING: self.running}
        things: dict[str, Callable[[], Any]] = {
            "lab": lambda: self.lab,
            "machines": lambda: [self.off],
            "before": lambda: experiments.witness(self.off),
            "after": lambda: experiments.witness(self.off),
        }
        return {
            name: things.get(name, lambda: machine)()
            if value is ...
            else real.get(value)
            if type(value) is object
            else value
            for name, value in call.ordinary.items()
        }


def planned(bound: Callable[..., Any]) -> Callable[..., Any]:
    """Of an act its plan: values that are right do nothing."""
    return bound.plan if isinstance(bound, BoundAct) else bound


def refused(act: Callable[..., Any], arguments: dict[str, Any]) -> str:
    """Do an act whose plan could not even be made: it is refused in words too, before anything happens."""
    try:
        act(**arguments)
    except LabError:
        return ""
    except Exception as error:  # noqa: BLE001 — that is what is looked for
        return f"done, not planned: {error!r}"[:200]
    return "was done, though it cannot be planned"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """The place that all calls of this module are made in."""
    with Lab.open("odd-values") as lab:
        yield Place(lab)
        lab.clean()


def test_everything_that_can_be_called_is_in_the_table() -> None:
    assert found() == set(CALLS)


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call])
def test_whatever_is_given_to_a_call_ends_in_words_and_changes_nothing(
    place: Place, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call = CALLS[name]
    assert call
    bound = place.bound(name, call.on)
    assert set(inspect.signature(bound).parameters) == set(call.ordinary), "the table names other arguments"
    act, bound = bound, planned(bound)
    ordinary = place.given(call)
    before = take_picture(place.lab), place.off.definition
    raw = []
    for argument in ordinary:
        for kind, value in ODD.items():
            if kind in call.right.get(argument, ()):
                continue
            began = time.monotonic()
            try:
                result = bound(**{**ordinary, argument: value})
                if isinstance(result, AbstractContextManager) and name.startswith("experiments."):
                    with result:
                        pass
                if isinstance(result, Lab) and result is not place.lab:
                    result.close()
                elif name == "Lab.subscribe":
                    result()
            except LabError as error:
                if not error.message or len(str(error)) > 3000:
                    raw.append((argument, kind, f"a message of {len(str(error))} letters"))
                if act is not bound and (told := refused(act, {**ordinary, argument: value})):
                    raw.append((argument, kind, told))
            except Exception as error:  # noqa: BLE001 — that is what is looked for
                raw.append((argument, kind, repr(error)[:200]))
            if time.monotonic() - began > SECONDS:
                raw.append((argument, kind, f"{time.monotonic() - began:.1f} s"))
    set_language("en")
    place.off.pin(None).throttle("web.vda")
    place.disk.stop_serving()
    assert not raw, "\n".join(map(str, raw))
    assert (take_picture(place.lab), place.off.definition) == before


TIMED = [name for name, call in CALLS.items() if call and "timeout" in call.ordinary]


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("seconds", ["60", -1, True, float("nan"), float("inf"), 2**63, [1]], ids=str)
def test_a_time_limit_that_is_none_is_bad_input_everywhere(place: Place, name: str, seconds: Any) -> None:
    call = CALLS[name]
    assert call
    bound = planned(place.bound(name, call.on))
    arguments = {**place.given(call), "timeout": seconds}
    with pytest.raises(BadInput, match="timeout"):
        bound(**arguments)


def test_what_a_lab_is_asked_for_by_an_odd_name_is_not_found(place: Place) -> None:
    off = place.off.snapshots
    for mapping in (place.lab.machines, place.lab.disks, off, off.tree, place.lab.orphans):
        for kind, value in ODD.items():
            assert value not in mapping, kind
            with pytest.raises(LabError):
                mapping[value]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.__name__)
@pytest.mark.parametrize("given", [None, 1.5, "a\0b", []], ids=str)
def test_a_panel_of_something_else_says_what_it_is_given(panel: Any, given: Any) -> None:
    with pytest.raises(BadInput, match=r"not a lab|neither a machine nor a lab"):
        panel(given)


def test_what_a_lineage_does_not_know_is_not_found(place: Place) -> None:
    for call in (place.lab.lineage.find, place.lab.lineage.dependants, place.lab.lineage.unique_cost):
        with pytest.raises(NotFound, match="nothing called 'x'"):
            call("x")
    with pytest.raises(BadInput):
        place.lab.lineage.clones([])  # type: ignore[arg-type]
