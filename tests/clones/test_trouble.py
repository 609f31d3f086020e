"""Clones that are interrupted, refused, cancelled, or whose base is lost: nothing is left, nothing is harmed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from labkit import Lab
from labkit.engine.progress import Progress
from labkit.errors import BadInput, Busy, Cancelled, HypervisorError, LabError, NotFound, Refused
from labkit.machine import Machine
from tests.clones.test_guests import content, many, only
from tests.engine.kernel import Instant, Kernel
from tests.engine.picture import Picture, take_picture, without_identity
from tests.instance import Instance

THOROUGH = os.environ.get("LABKIT_TESTS") == "thorough"


@pytest.fixture
def web(lab: Lab) -> Machine:
    """A machine of two disks, off; its second disk holds 24 MiB."""
    return prepare(lab)


def prepare(lab: Lab, size: str = "24M") -> Machine:
    """Create the machine that is cloned, with so much on its second disk."""
    vm = lab.create("web", image="sector", memory="16 MiB")
    vm.attach(lab.disks.create("data", capacity="32 MiB"))
    fill(vm, 7, size=size)
    return vm


def fill(vm: Machine, value: int, *, size: str = "24M", disk: int = 1) -> None:
    """Let a disk, the second if nothing else is said, hold something."""
    path = vm.facts.spec.disks[disk].path
    write = f"write -P {value} 1M {size}"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", write, path], check=True, capture_output=True)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count", "why"),
    [
        ("seat", 2, "has no place for the clones' numbers"),
        ("seat-{}", 0, "whole number"),
        ("seat-{:02}", -1, "whole number"),
        ("seat-{:02}", True, "whole number"),
        ("{0.__class__}", 2, "has no place"),
        ("{:999999999}", 2, "has no place"),
        ("a/{}", 2, "cannot be the name"),
        ("seat-{}", None, "cannot be the name"),
    ],
)
def test_numbers_and_names_that_cannot_be_used(web: Machine, name: str, count: int | None, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        web.clone(name, kind="linked", count=count)
    assert list(web.lab.machines) == ["web"]


def test_one_of_a_number_is_a_list_too(web: Machine) -> None:
    assert [clone.name for clone in many(web.clone("seat-{}", count=1))] == ["seat-1"]


def test_500_are_predicted_and_refused(web: Machine) -> None:
    web.configure(memory="1 GiB")
    web.snapshots.take("s")
    plan = web.clone.plan("seat-{}", kind="linked", snapshot="s", count=500)
    assert plan.refusal is not None
    assert "500 clones would have 500 GiB of memory together" in plan.refusal.why
    with pytest.raises(Refused):
        web.clone("seat-{}", kind="linked", snapshot="s", count=500)
    assert list(web.lab.machines) == ["web"]


def test_words_that_are_no_choice(web: Machine) -> None:
    with pytest.raises(BadInput, match="is not a choice"):
        web.clone("copy", kind="half")
    with pytest.raises(BadInput, match="is not a choice"):
        web.clone("copy", identity="other")
    with pytest.raises(Refused, match="already a machine 'web'"):
        web.clone("web")
    with pytest.raises(Refused, match="has no snapshot 'none'"):
        web.clone("copy", snapshot="none")


# --- cancelled, full, interrupted by others -----------------------------------------------------------


@pytest.mark.parametrize("state", ["off", "running"])
def test_cancelled_half_way_nothing_is_left(web: Machine, state: str) -> None:
    lab = web.lab
    if state == "running":  # copied by the hypervisor: enough of it that it is still at work when we look
        fill(web.attach(lab.disks.create("large", capacity="512 MiB")), 9, size="480M", disk=2)
        web.start()
    else:
        web.snapshots.take("s")  # so that a chain is converted
    before = take_picture(lab)
    cancel = threading.Event()
    heard: list[Progress] = []

    def listen(progress: Progress) -> None:
        heard.append(progress)
        if progress.done > 0:
            cancel.set()

    with pytest.raises(Cancelled):
        lab.carry_out(web.clone.plan("copy"), on_progress=listen, cancel=cancel)
    assert any(progress.done > 0 for progress in heard)
    assert take_picture(lab) == before
    assert not list((lab.home / "disks").glob(".making*"))
    only(web.clone("copy"))


def test_a_timeout_is_a_cancel(web: Machine) -> None:
    before = take_picture(web.lab)
    with pytest.raises(LabError, match="took longer"):
        web.clone("copy", timeout=0.000001)
    assert take_picture(web.lab) == before


CLONING = "with Lab.open({lab!r}) as lab: lab.machines['web'].clone('copy')"


def test_an_original_that_is_being_cloned_cannot_be_changed(web: Machine) -> None:
    lab = web.lab
    with Kernel(CLONING.format(lab=lab.name), stop=Instant(function="define_clones")) as kernel:
        kernel.wait_stopped()
        for act in (web.delete, lambda: web.clone("other"), lambda: web.snapshots.take("s"), web.start):
            with pytest.raises(Busy):
                act()
        kernel.go_on()
        assert kernel.answer().error == ""
    assert content(lab.machines["copy"]) == content(web)


def test_an_original_that_vanishes_meanwhile_is_told_and_nothing_is_left(web: Machine) -> None:
    lab = web.lab
    domain = web.facts.spec.domain_name
    with Kernel(CLONING.format(lab=lab.name), stop=Instant(function="define_clones")) as kernel:
        kernel.wait_stopped()
        subprocess.run(["virsh", "-q", "-c", "qemu:///session", "undefine", domain], check=True, capture_output=True)
        kernel.go_on()
        answer = kernel.answer()
    assert answer.error == "NotFound"
    assert "taken back" in answer.hint
    assert not [path.name for path in (lab.home / "disks").iterdir() if path.name.startswith((".", "copy"))]


def test_a_name_that_somebody_takes_meanwhile_leaves_no_clone_at_all(web: Machine) -> None:
    lab = web.lab
    web.snapshots.take("s")
    before = take_picture(lab)
    other = lab.home / "other.xml"
    devices = "<memory>1024</memory><os><type>hvm</type></os>"
    other.write_text(f"<domain type='qemu'><name>{lab.name}.c2</name>{devices}</domain>")
    cloning = "clone('c{}', kind='linked', snapshot='s', count=3)"
    code = f"with Lab.open({lab.name!r}) as lab: lab.machines['web'].{cloning}"
    virsh = ["virsh", "-q", "-c", "qemu:///session"]
    with Kernel(code, stop=Instant(function="define_clones")) as kernel:
        kernel.wait_stopped()
        subprocess.run([*virsh, "define", other], check=True)
        try:
            kernel.go_on()
            answer = kernel.answer()
        finally:
            subprocess.run([*virsh, "undefine", f"{lab.name}.c2"], check=True)
            other.unlink()
    assert answer.error
    assert "taken back" in answer.hint
    assert take_picture(lab) == before


# --- a kernel dies ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An act to be killed in: what is there before, its code, how many steps it has, where its commit point is.

    Attributes:
        unlike: whether its definition says what its memory is, so that no clone maps that.
        within, behind: functions at whose calls it is killed too, before the commit point and after it.
    """

    code: str
    steps: int
    commit: int
    snapshot: bool = False
    running: bool = False
    warm: bool = False
    unlike: bool = False
    clone: bool = False
    within: tuple[str, ...] = ()
    behind: tuple[Instant, ...] = ()


WEB = "lab.machines['web']"
CASES = {
    "full": Case(code=f"{WEB}.clone('copy')", steps=3, commit=2, within=("_copy_data",)),
    "full-running": Case(code=f"{WEB}.clone('copy')", steps=2, commit=1, running=True, within=("_wait_for_backup",)),
    "linked": Case(
        code=f"{WEB}.clone('c{{}}', kind='linked', snapshot='s', count=3)",
        steps=3,
        commit=2,
        snapshot=True,
        within=("clone_domain_xml",),
    ),
    "instant": Case(
        code=f"{WEB}.clone('c{{}}', kind='linked', snapshot='s', count=3, instant=True)",
        steps=5,
        commit=3,
        warm=True,
        within=("split", "_publish", "seal", "clone_domain_xml"),
        behind=(
            Instant(function="wake"),
            Instant(function="take_in"),
            Instant(function="_command", number=1),
            Instant(function="take_in", number=2),
            Instant(function="resume"),
            Instant(function="resume", number=2),
        ),
    ),
    "instant-read": Case(
        code=f"{WEB}.clone('c{{}}', kind='linked', snapshot='s', count=3, instant=True)",
        steps=6,
        commit=3,
        warm=True,
        unlike=True,
        within=("_copy_data",),
        behind=(
            Instant(function="exchange_header", number=1),
            Instant(function="is_memory_of"),
            Instant(function="define_again"),
            Instant(function="define_again", number=2),
            Instant(function="resume", number=2),
        ),
    ),
    "linked-now": Case(code=f"{WEB}.clone('copy', kind='linked')", steps=7, commit=4),
    "tree": Case(code=f"{WEB}.clone('copy', snapshots=True)", steps=9, commit=6, snapshot=True),
    "flatten": Case(code="lab.machines['link'].flatten()", steps=4, commit=2, snapshot=True, clone=True),
}


def instants() -> Iterator[tuple[str, Instant, bool | None]]:
    """When to kill in which case, and whether the act is past its commit point then (None: it may be either)."""
    for name, case in CASES.items():
        chosen = range(case.steps) if THOROUGH else sorted({case.commit, case.steps - 1})
        for step in chosen:
            yield name, Instant(function="do_step", number=step), step > case.commit
            yield name, Instant(function="step_done", number=step), step >= case.commit
        for function in case.within:
            yield name, Instant(function=function), False
        for instant in case.behind:
            yield name, instant, True


SWEEP = [pytest.param(name, instant, past, id=f"{name}-{instant}") for name, instant, past in instants()]


def set_up(lab: Lab, case: Case) -> None:
    """The lab before the act."""
    vm = prepare(lab, "1M")  # its kernel is stopped at a call, however little there is to copy
    if case.unlike:
        say_what_memory_is(vm)
    if case.warm:
        vm.start()
    if case.snapshot or case.warm:
        vm.snapshots.take("s")
    if case.warm:
        vm.kill()
    if case.clone:
        vm.clone("link", kind="linked", snapshot="s")
    if case.running:
        vm.start()


def say_what_memory_is(vm: Machine) -> None:
    """Let a machine's definition say something of its memory, as its owner may by hand."""
    said = "</memory><memoryBacking><nosharepages/></memoryBacking>"
    vm.lab.session.domains.define_text(vm.definition.replace("</memory>", said, 1))


def shape(picture: Picture) -> object:
    """What two labs have in common after the same act: names of files, definitions without ids and times."""
    plain = without_identity(picture)
    return [name for name, _digest in plain.files], plain.machines


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, object]:
    """What a lab is after each act that nobody killed."""
    shapes = {}
    for name, case in CASES.items():
        with Lab.open(f"clone-{name}") as lab:
            set_up(lab, case)
            exec(case.code, {"lab": lab})  # noqa: S102 — the code above
            shapes[name] = shape(take_picture(lab))
            lab.clean()
    return shapes


@pytest.mark.parametrize(("name", "instant", "past"), SWEEP)
def test_a_killed_kernel_leaves_before_or_after(
    undisturbed: dict[str, object], name: str, instant: Instant, *, past: bool
) -> None:
    case = CASES[name]
    with Lab.open(f"clone-{name}") as lab:
        try:
            set_up(lab, case)
            before = take_picture(lab)
            held = content(lab.machines["web"]) if not case.running else []
            with Kernel(f"with Lab.open({lab.name!r}) as lab: {case.code}", stop=instant) as kernel:
                kernel.wait_stopped()
            with Lab.open(lab.name) as again:
                (sentence,) = again.recovered
                after = take_picture(again)
                if past:
                    assert "has been completed" in sentence
                    assert shape(after) == undisturbed[name]
                    assert not held or content(again.machines["web"]) == held
                else:
                    assert "taken back" in sentence
                    assert after == before
        finally:
            lab.clean()


INSTANT = (
    "with Lab.open({lab!r}) as lab: "
    "lab.machines['web'].clone('c{{}}', kind='linked', snapshot='s', count=3, instant=True)"
)


def test_instant_clones_go_on_although_the_daemon_dies_meanwhile(lab: Lab, instance: Instance) -> None:
    set_up(lab, CASES["instant"])
    with Kernel(INSTANT.format(lab=lab.name), stop=Instant(function="take_in", number=1)) as kernel:
        kernel.wait_stopped()
        instance.daemon().kill()
        kernel.go_on()
        kernel.answer()
    with Lab.open(lab.name) as again:
        states = {name: machine.state for name, machine in again.machines.items()}
        assert states == {"web": "off", "c1": "running", "c2": "running", "c3": "running"}
        assert len(list((again.home / "memory").iterdir())) == 3


def test_an_instant_clone_that_is_killed_meanwhile_is_off_and_the_others_run(lab: Lab) -> None:
    set_up(lab, CASES["instant"])
    with Kernel(INSTANT.format(lab=lab.name), stop=Instant(function="resume")) as kernel:
        kernel.wait_stopped()
        domain = f"{lab.name}.c2"
        subprocess.run(["virsh", "-q", "-c", "qemu:///session", "destroy", domain], check=True, capture_output=True)
        kernel.go_on()
        assert kernel.answer().error == ""
    assert [lab.machines[name].state for name in ("c1", "c2", "c3")] == ["running", "off", "running"]
    lab.machines["c2"].start()


# --- lost and altered bases -----------------------------------------------------------------------------


@pytest.fixture
def link(web: Machine) -> Machine:
    """A linked clone."""
    web.snapshots.take("clean")
    return only(web.clone("link", kind="linked", snapshot="clean"))


def _base(link: Machine) -> Path:
    return Path(link.lab.disks["link.data"].layers[1].path)


def test_a_lost_base_is_told_and_relinked_only_to_its_equal(link: Machine, tmp_path: Path) -> None:
    lab = link.lab
    base, held = _base(link), content(link)
    moved = tmp_path / "moved.qcow2"
    shutil.move(base, moved)
    with pytest.raises(Refused, match=r"data\.0\.qcow2 below link\.data is gone") as refused:
        link.start()
    assert "relink" in refused.value.hint
    with pytest.raises(Refused, match="is gone"):
        only(link.clone("copy"))
    with pytest.raises(NotFound):
        link.relink("data", tmp_path / "nowhere.qcow2")
    wrong = tmp_path / "wrong.qcow2"
    wrong.write_bytes(moved.read_bytes()[:-1] + b"\1")
    with pytest.raises(Refused, match="another hash"):
        link.relink("data", wrong)
    link.relink("data", moved)
    assert content(link) == held
    assert not os.access(base, os.W_OK) or base.stat().st_mode & 0o777 == 0o444
    link.start()
    link.kill()
    lab.machines["web"].snapshots.restore("clean")
    with pytest.raises(Refused, match="is lost or changed"):
        link.relink("data", moved)


def test_an_altered_base_is_told_and_brought_back_or_taken_as_it_is(link: Machine, tmp_path: Path) -> None:
    base, held = _base(link), content(link)
    good = tmp_path / "good.qcow2"
    shutil.copy2(base, good)
    base.chmod(0o644)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 9 2M 1M", base], check=True, capture_output=True)
    base.chmod(0o444)
    with pytest.raises(Refused, match="was changed by another program") as refused:
        link.start()
    assert all(word in refused.value.hint for word in ("relink", "convert", "accept_changes"))
    with pytest.raises(Refused, match="was changed by another program"):
        link.flatten()
    link.relink("data", good)
    assert content(link) == held
    link.start()
    link.kill()
    base.chmod(0o644)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 9 2M 1M", base], check=True, capture_output=True)
    base.chmod(0o444)
    link.lab.disks["link.data"].convert("saved", as_is=True)
    link.snapshots.accept_changes()
    link.start()


def test_what_the_guard_refuses_is_not_done(link: Machine) -> None:
    lab, web = link.lab, link.lab.machines["web"]
    before = take_picture(lab)
    for act in (web.delete, lambda: web.snapshots.delete("clean"), lambda: lab.create("web", if_exists="replace")):
        with pytest.raises(Refused) as refused:
            act()
        assert refused.value.plan.refusal.dependants == ("link",)
    assert take_picture(lab) == before
    web.snapshots.restore("clean")  # only the current state of the original goes
    held = content(link)
    web.snapshots.take("later")
    web.snapshots.delete("later")
    link.flatten()
    web.delete()
    assert content(link) == held
    assert list(lab.machines) == ["link"]


def test_cleaning_leaves_nothing_of_what_clones_of_clones_stood_on(web: Machine) -> None:
    """The clone in the middle is removed before the one that stands on it, and before what both stand on."""
    lab = web.lab
    web.snapshots.take("clean")
    web.clone("k3", kind="linked", snapshot="clean")
    lab.machines["k3"].snapshots.take("own")
    lab.machines["k3"].clone("k9", kind="linked", snapshot="own")
    lab.clean()
    assert not [path.name for path in (lab.home / "disks").glob("*")]


def test_flattening_that_is_cancelled_changes_nothing(link: Machine) -> None:
    before = take_picture(link.lab)
    cancel = threading.Event()

    def listen(progress: Progress) -> None:
        if progress.done > 0:
            cancel.set()

    with pytest.raises(Cancelled):
        link.lab.carry_out(link.flatten.plan(), on_progress=listen, cancel=cancel)
    assert take_picture(link.lab) == before
    link.start()
    cancel.clear()
    plan = link.flatten.plan()
    pull_slowly(link, "vdb")
    with pytest.raises(Cancelled):
        link.lab.carry_out(plan, on_progress=listen, cancel=cancel)
    assert link.lab.lineage.clones("web") == ("link",)
    link.flatten()
    assert link.lab.lineage.clones("web") == ()


def pull_slowly(vm: Machine, target: str) -> None:
    """Begin what flattening would begin, so slowly that it has a middle: it goes on with what it finds under way."""
    domain = vm.lab.session.connection.raw().lookupByUUIDString(vm.id)
    domain.blockRebase(target, None, 1, 0)  # MiB a second


def test_a_failing_hypervisor_is_an_error_that_leaves_nothing(web: Machine) -> None:
    web.start()
    plan = web.clone.plan("copy")
    subprocess.run(["virsh", "-q", "-c", "qemu:///session", "destroy", web.facts.spec.domain_name], check=True)
    with pytest.raises(LabError) as trouble:
        web.lab.carry_out(plan)
    assert isinstance(trouble.value, Refused | HypervisorError)
    assert list(web.lab.machines) == ["web"]


def test_a_guest_that_is_killed_while_it_is_flattened_loses_nothing(link: Machine) -> None:
    held = content(link)
    link.start()
    process = link.process
    assert process is not None
    code = f"with Lab.open({link.lab.name!r}) as lab: lab.machines['link'].flatten()"
    with Kernel(code, stop=Instant(function="flush")) as kernel:  # all is moved, and some of it only in its memory
        kernel.wait_stopped()
        os.kill(process.pid, signal.SIGKILL)
        link.wait_for("off")
    with Lab.open(link.lab.name) as lab:
        (sentence,) = lab.recovered
        assert "taken back" in sentence
        assert content(lab.machines["link"]) == held
        lab.machines["link"].flatten()
        lab.machines["web"].delete()
        assert content(lab.machines["link"]) == held
