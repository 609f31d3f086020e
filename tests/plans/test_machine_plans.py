"""Plans of acts on machines: what they do, in which order, and why they are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from labkit.model.machine import Accelerator, MachineChanges, MachineState
from labkit.plans.creation import IfExists, plan_create
from labkit.plans.disk_excuses import SPACE_MARGIN
from labkit.plans.machine import (
    plan_clean,
    plan_configure,
    plan_delete,
    plan_rename,
)
from labkit.plans.machine_excuses import LONGEST_DOMAIN
from labkit.plans.plan import Plan
from labkit.plans.steps import (
    ConfigureMachine,
    CopyImage,
    CutPower,
    DefineMachine,
    DeleteFiles,
    Phase,
    RenameMachine,
    UndefineMachine,
    WriteMessage,
)
from labkit.units import GIB, MIB
from tests.plans.states import HOME, SURVEY, TINY, image, lab, machine, request

OFF, RUNNING, PAUSED, SAVED = MachineState
Golden = Callable[[str, str], None]


def kinds(plan: Plan) -> list[str]:
    return [type(step).__name__ for step in plan.steps]


def why(plan: Plan) -> str:
    """The reason of a refusal; each names a way out, and does nothing."""
    assert plan.refusal is not None
    assert plan.refusal.ways_out
    assert plan.steps == ()
    return plan.refusal.why


# --- create ---------------------------------------------------------------------------------------


def test_create_copies_the_image_and_defines_the_machine() -> None:
    plan = plan_create(lab(), SURVEY, request())
    copy, define = plan.steps
    assert isinstance(copy, CopyImage)
    assert isinstance(define, DefineMachine)
    assert copy.source == TINY.disk
    assert copy.target == define.spec.disks[0].path == f"{HOME}/disks/web.vda.0.qcow2"
    assert plan.files.created == (copy.target,)
    assert (plan.bytes_copied, plan.bytes_freed) == (TINY.disk_bytes, 0)
    assert plan.commit_point == 1


def test_a_new_machine_is_as_asked_for() -> None:
    plan = plan_create(lab(), SURVEY, request(memory=256 * MIB, vcpus=2, cpu_model="max", panic_device=False))
    define = plan.steps[-1]
    assert isinstance(define, DefineMachine)
    spec = define.spec
    assert (spec.name, spec.domain_name, spec.id) == ("web", "course.web", "new-id-of-web")
    assert (spec.memory, spec.vcpus, spec.cpu_model, spec.panic_device) == (256 * MIB, 2, "max", False)
    assert (spec.agent, spec.genid, spec.accelerator) == (True, "new-genid", Accelerator.TCG)
    assert spec.boot.kernel == TINY.kernel


def test_in_the_default_lab_the_domain_is_named_as_the_machine() -> None:
    define = plan_create(lab(name="default"), SURVEY, request()).steps[-1]
    assert isinstance(define, DefineMachine)
    assert define.spec.domain_name == "web"


def test_a_message_is_written_into_the_copy() -> None:
    plan = plan_create(lab(), SURVEY, request(image="sector", memory=MIB, message="Hola"))
    assert kinds(plan) == ["CopyImage", "WriteMessage", "DefineMachine"]
    write = plan.steps[1]
    assert isinstance(write, WriteMessage)
    assert (write.offset, write.length, write.text) == (400, 32, "Hola")
    assert plan.files.rewritten == ()  # the file is the plan's own


def test_image_files_are_numbered_beyond_all_there_are() -> None:
    old = {path: image(path) for path in (f"{HOME}/disks/web.vda.0.qcow2", f"{HOME}/disks/web.vda.7.vdi")}
    strays = (f"{HOME}/disks/web.vda.8.qcow2",)
    plan = plan_create(lab(images=old, strays=strays), SURVEY, request())
    assert plan.files.created == (f"{HOME}/disks/web.vda.9.qcow2",)


@pytest.mark.parametrize("state", MachineState)
def test_kept_machines_are_left_as_they_are(state: MachineState) -> None:
    plan = plan_create(lab(machine("web", state)), SURVEY, request(if_exists=IfExists.KEEP, memory=GIB * 99))
    assert plan.steps == ()
    assert plan.refusal is None


def test_replace_makes_the_new_image_first_and_deletes_the_old_one_last() -> None:
    plan = plan_create(lab(machine("web")), SURVEY, request(if_exists=IfExists.REPLACE))
    assert kinds(plan) == ["CopyImage", "UndefineMachine", "DefineMachine", "DeleteFiles"]
    assert plan.files.created == (f"{HOME}/disks/web.vda.1.qcow2",)
    assert plan.files.deleted == (f"{HOME}/disks/web.vda.0.qcow2", f"{HOME}/consoles/web.0.log")
    assert plan.bytes_freed == 6 * MIB


@pytest.mark.parametrize("state", [RUNNING, PAUSED])
def test_replace_cuts_the_power_of_a_guest_only_when_the_new_image_is_there(state: MachineState) -> None:
    plan = plan_create(lab(machine("web", state)), SURVEY, request(if_exists=IfExists.REPLACE))
    assert kinds(plan) == ["CopyImage", "CutPower", "UndefineMachine", "DefineMachine", "DeleteFiles"]
    assert plan.commit_point == 1


def test_replace_where_there_is_nothing_is_create() -> None:
    plan = plan_create(lab(), SURVEY, request(if_exists=IfExists.REPLACE))
    assert kinds(plan) == ["CopyImage", "DefineMachine"]


def test_a_taken_name_is_refused_and_the_ways_out_are_named() -> None:
    plan = plan_create(lab(machine("web")), SURVEY, request())
    assert "already a machine 'web'" in why(plan)
    assert plan.refusal
    assert 'if_exists="keep"' in plan.refusal.hint
    assert 'if_exists="replace"' in plan.refusal.hint
    assert plan.refusal.ways_out == ("Choose another name, or delete web first.",)


@pytest.mark.parametrize("if_exists", IfExists)
def test_a_machine_of_somebody_else_is_left_alone(if_exists: IfExists) -> None:
    state = lab(taken_names=frozenset({"course.web"}))
    assert "not of this lab" in why(plan_create(state, SURVEY, request(if_exists=if_exists)))


def test_another_lab_may_have_a_machine_of_the_same_name() -> None:
    assert plan_create(lab(taken_names=frozenset({"other.web"})), SURVEY, request()).refusal is None


def test_a_name_too_long_for_the_hypervisors_files_is_refused() -> None:
    longest = LONGEST_DOMAIN - len("course.")
    assert plan_create(lab(), SURVEY, request("m" * longest)).refusal is None
    assert "too long" in why(plan_create(lab(), SURVEY, request("m" * (longest + 1))))
    assert plan_create(lab(name="default"), SURVEY, request("\U00020000" * 60)).refusal is None
    assert "too long" in why(plan_create(lab(name="default"), SURVEY, request("\U00020000" * 61)))


def test_more_memory_than_the_host_has_is_refused() -> None:
    assert plan_create(lab(), SURVEY, request(memory=SURVEY.host_memory)).refusal is None
    assert "more than this host has (8 GiB)" in why(plan_create(lab(), SURVEY, request(memory=9 * GIB)))


def test_less_memory_than_the_image_needs_is_refused() -> None:
    assert plan_create(lab(), SURVEY, request(memory=TINY.minimum_memory)).refusal is None
    assert "needs 96 MiB" in why(plan_create(lab(), SURVEY, request(memory=95 * MIB)))


def test_too_many_vcpus_are_refused() -> None:
    assert plan_create(lab(), SURVEY, request(vcpus=8)).refusal is None
    assert "9 vCPUs are too many" in why(plan_create(lab(), SURVEY, request(vcpus=9)))


def test_an_unknown_image_is_refused_and_those_there_are_named() -> None:
    assert "'windows'; there are: sector, tiny" in why(plan_create(lab(), SURVEY, request(image="windows")))
    assert "there are: none" in why(plan_create(lab(guest_images={}), SURVEY, request()))


def test_only_an_image_with_a_message_takes_one() -> None:
    assert "no message" in why(plan_create(lab(), SURVEY, request(message="Hola")))


@pytest.mark.parametrize(("message", "fits"), [("x" * 31, True), ("x" * 32, False), ("ñ" * 16, False)])
def test_a_message_has_to_fit_with_its_end_mark(message: str, fits: bool) -> None:
    plan = plan_create(lab(), SURVEY, request(image="sector", memory=MIB, message=message))
    assert (plan.refusal is None) == fits


def test_a_full_disk_is_refused_before_anything_is_copied() -> None:
    enough = TINY.disk_bytes + SPACE_MARGIN
    assert plan_create(lab(), replace(SURVEY, free_bytes=enough), request()).refusal is None
    assert "free" in why(plan_create(lab(), replace(SURVEY, free_bytes=enough - 1), request()))


# --- configure, rename ----------------------------------------------------------------------------


def test_configure_changes_only_what_differs() -> None:
    changes = MachineChanges(memory=256 * MIB, vcpus=1, cpu_model="qemu64")
    (step,) = plan_configure(lab(machine("web")), SURVEY, "web", changes).steps
    assert isinstance(step, ConfigureMachine)
    assert step.changes == MachineChanges(memory=256 * MIB)


@pytest.mark.parametrize("changes", [MachineChanges(), MachineChanges(memory=128 * MIB, vcpus=1)])
def test_configure_to_what_it_is_does_nothing(changes: MachineChanges) -> None:
    plan = plan_configure(lab(machine("web")), SURVEY, "web", changes)
    assert plan.steps == ()
    assert plan.preview().endswith("nothing to do")


def test_a_running_guest_sees_it_at_its_next_start_and_the_plan_says_so() -> None:
    changes = MachineChanges(vcpus=2)
    assert plan_configure(lab(machine("web")), SURVEY, "web", changes).notes == ()
    assert plan_configure(lab(machine("web", RUNNING)), SURVEY, "web", changes).notes != ()


@pytest.mark.parametrize(
    "changes", [MachineChanges(memory=9 * GIB), MachineChanges(memory=95 * MIB), MachineChanges(vcpus=9)]
)
def test_configure_is_refused_as_create_is(changes: MachineChanges) -> None:
    why(plan_configure(lab(machine("web")), SURVEY, "web", changes))


def test_a_saved_machine_keeps_its_definition_and_its_name() -> None:
    state = lab(machine("web", SAVED))
    assert "saved" in why(plan_configure(state, SURVEY, "web", MachineChanges(vcpus=2)))
    assert "saved" in why(plan_rename(state, "web", "new"))


def test_rename_gives_another_name_and_keeps_the_images() -> None:
    plan = plan_rename(lab(machine("web")), "web", "new")
    (step,) = plan.steps
    assert isinstance(step, RenameMachine)
    assert (step.old_domain, step.new_domain) == ("course.web", "course.new")
    assert plan.files.created == plan.files.deleted == ()
    assert plan.names == ("web", "new")


def test_rename_to_its_own_name_does_nothing() -> None:
    plan = plan_rename(lab(machine("web")), "web", "web")
    assert plan.steps == ()
    assert plan.refusal is None


@pytest.mark.parametrize("state", [RUNNING, PAUSED])
def test_a_guest_is_renamed_while_it_is_off(state: MachineState) -> None:
    assert str(state) in why(plan_rename(lab(machine("web", state)), "web", "new"))


def test_rename_to_a_taken_name_is_refused() -> None:
    assert "already" in why(plan_rename(lab(machine("web"), machine("db")), "web", "db"))
    assert "not of this lab" in why(plan_rename(lab(machine("web"), taken_names=frozenset({"course.db"})), "web", "db"))
    assert "too long" in why(plan_rename(lab(machine("web")), "web", "m" * LONGEST_DOMAIN))


# --- delete, clean --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [OFF, SAVED])
def test_delete_forgets_the_machine_first_and_deletes_its_files_then(state: MachineState) -> None:
    plan = plan_delete(lab(machine("web", state), machine("db")), "web")
    assert kinds(plan) == ["UndefineMachine", "DeleteFiles"]
    assert plan.files.deleted == (f"{HOME}/disks/web.vda.0.qcow2", f"{HOME}/consoles/web.0.log")


@pytest.mark.parametrize("state", [RUNNING, PAUSED])
def test_an_active_machine_is_not_deleted(state: MachineState) -> None:
    assert str(state) in why(plan_delete(lab(machine("web", state)), "web"))


def test_a_file_that_is_not_of_the_lab_is_never_deleted() -> None:
    facts = machine("web")
    elsewhere = replace(facts.spec.disks[0], path="/home/student/precious.qcow2")
    state = lab(replace(facts, spec=replace(facts.spec, disks=(elsewhere,))), images={})
    for plan in (plan_delete(state, "web"), plan_clean(state)):
        assert plan.files.deleted == (f"{HOME}/consoles/web.0.log",)


def test_clean_ends_every_machine_and_then_deletes_every_file() -> None:
    free, stray = f"{HOME}/disks/data.0.qcow2", f"{HOME}/disks/half.qcow2"
    state = lab(machine("db", SAVED), machine("web", RUNNING), strays=(stray,))
    state = replace(state, images={**state.images, free: image(free)})
    plan = plan_clean(state)
    assert kinds(plan) == [
        "UndefineMachine",
        "CutPower",
        "UndefineMachine",
        *["DeleteFiles"] * 4,
    ]  # what nobody needs apart
    assert set(plan.files.deleted) >= {*state.images, stray}
    assert plan.whole_lab


def test_clean_of_an_empty_lab_does_nothing() -> None:
    assert plan_clean(lab()).steps == ()


# --- what every plan is ---------------------------------------------------------------------------

PLANS = {
    "create": plan_create(lab(), SURVEY, request()),
    "create-sector": plan_create(lab(), SURVEY, request(image="sector", memory=MIB, message="it's me")),
    "replace": plan_create(lab(machine("web", RUNNING)), SURVEY, request(if_exists=IfExists.REPLACE)),
    "refused": plan_create(lab(machine("web")), SURVEY, request()),
    "configure": plan_configure(
        lab(machine("web", RUNNING)), SURVEY, "web", MachineChanges(memory=256 * MIB, vcpus=2, cpu_model="max")
    ),
    "rename": plan_rename(lab(machine("web")), "web", "new"),
    "delete": plan_delete(lab(machine("web")), "web"),
    "clean": plan_clean(lab(machine("db"), machine("web", RUNNING))),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_preview_reads_like_what_a_person_would_type(name: str, golden: Golden) -> None:
    golden(f"{name}.txt", PLANS[name].preview() + "\n")


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_plan_creates_then_switches_then_cleans_up(plan: Plan) -> None:
    phases = [list(Phase).index(step.phase) for step in plan.steps]
    assert phases == sorted(phases)
    assert plan.steps == () or plan.commit_point is not None


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_preview_in_a_notebook_tells_no_sizes(plan: Plan) -> None:
    assert "copies" not in repr(plan)
    assert plan._repr_html_().startswith("<pre>")


def test_a_plan_is_of_the_state_it_read() -> None:
    before = lab(machine("web"))
    names = ("web",)
    assert before.fingerprint(names) == lab(machine("web")).fingerprint(names)
    assert before.fingerprint(names) == lab(machine("web"), machine("db")).fingerprint(names)
    assert before.fingerprint(names) != lab(machine("web", RUNNING)).fingerprint(names)
    assert before.fingerprint(names) != lab().fingerprint(names)


def test_growing_images_do_not_make_a_plan_stale() -> None:
    state = lab(machine("web", RUNNING))
    grown = {path: image(path, allocated=60 * MIB) for path in state.images}
    assert state.fingerprint(["web"]) == replace(state, images=grown).fingerprint(["web"])


def test_deleting_files_comes_last_and_is_no_commit_point_before_switching() -> None:
    plan = PLANS["delete"]
    assert isinstance(plan.steps[0], UndefineMachine)
    assert isinstance(plan.steps[1], DeleteFiles)
    assert plan.commit_point == 0
    assert not plan.only_cleans_up
    assert isinstance(PLANS["replace"].steps[1], CutPower)


def test_a_console_has_a_log_of_its_own_even_where_the_name_was_anothers() -> None:
    renamed = machine("new")
    renamed = replace(renamed, spec=replace(renamed.spec, console_log=f"{HOME}/consoles/web.0.log"))
    define = plan_create(lab(renamed), SURVEY, request()).steps[-1]
    assert isinstance(define, DefineMachine)
    assert define.spec.console_log == f"{HOME}/consoles/web.1.log"
