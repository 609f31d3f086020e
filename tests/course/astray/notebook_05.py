"""Astray in notebook 05."""

from __future__ import annotations

import contextlib
from pathlib import Path

from labkit.course.exercises.bases import MovedBase, TouchedBase
from labkit.course.exercises.clones import PLACE, Choose, ClassRoom, LetGo, OnClones
from labkit.course.exercises.twins import Twins
from labkit.errors import Refused
from tests.course.astray import Kind, cheat, mistake
from tests.course.astray.means import edit, make, qemu_img, qemu_io, remove, solve, vm


def _data(ex: OnClones, name: str) -> Path:
    return next(Path(disk.path) for disk in ex.vm(name).facts.spec.disks if disk.target == "vdb")


# --- classroom ------------------------------------------------------------------------------------


@cheat("classroom", Kind.WITHOUT_THE_WAY, says="stands alone")
def machines_that_are_no_clones(ex: ClassRoom) -> None:
    for name in ex.seats:
        make(ex, name)


@cheat("classroom", Kind.TOO_MUCH, says="Together the seats take")
def seats_with_ballast(ex: ClassRoom) -> None:
    solve(ex)
    system = Path(ex.vm("classroom-01").facts.spec.disks[0].path)
    qemu_io(system, "qcow2", "write -P 1 0 20M")


@cheat("classroom", Kind.UNDONE, says="5 seats")
def made_and_one_deleted(ex: ClassRoom) -> None:
    solve(ex)
    ex.vm("classroom-06").delete()


@mistake("classroom", Kind.NOT_YET, says="0 seats")
def planned_and_not_made(ex: ClassRoom) -> None:
    vm(ex).clone.plan("classroom-{:02}", kind="linked", snapshot="ready", count=6)


@mistake("classroom", Kind.WRONG_MEANS, says="stands alone", mends=False)
def full_clones(ex: ClassRoom) -> None:
    vm(ex).clone("classroom-{:02}", snapshot="ready", count=6)


@mistake("classroom", Kind.WRONG_ONE, says="is a twin", mends=False)
def twins(ex: ClassRoom) -> None:
    vm(ex).clone("classroom-{:02}", kind="linked", snapshot="ready", identity="keep", count=6)


@mistake("classroom", Kind.HALF_DONE, says="not on the snapshot ready", mends=False)
def of_the_machine_as_it_is_now(ex: ClassRoom) -> None:
    vm(ex).clone("classroom-{:02}", kind="linked", count=6)


# --- twins ----------------------------------------------------------------------------------------


@cheat("twins", Kind.WITHOUT_THE_WAY, says="laid over")
def another_text_is_laid_over_its_files(ex: Twins) -> None:
    vm(ex, 1).run(
        "tr -d - </proc/sys/kernel/random/uuid >/run/id; echo twins-2 >/run/name; hostname twins-2;"
        " mount --bind /run/id /etc/machine-id; mount --bind /run/name /etc/hostname"
    )


@cheat("twins", Kind.REPLACED, says="made again")
def the_twin_is_made_again(ex: Twins) -> None:
    remove(vm(ex, 1))
    make(ex, "twins-2")


@cheat("twins", Kind.RENAMED, says="no longer who it was")
def the_other_one_is_changed(ex: Twins) -> None:
    vm(ex).run("tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id; sync")


@mistake("twins", Kind.HALF_DONE, says="still one machine-id")
def a_name_alone(ex: Twins) -> None:
    vm(ex, 1).run("hostname twins-2; echo twins-2 >/etc/hostname; sync")


@mistake("twins", Kind.WRONG_MEANS, says="is not one")
def a_number_with_dashes(ex: Twins) -> None:
    vm(ex, 1).run("cat /proc/sys/kernel/random/uuid >/etc/machine-id; echo twins-2 >/etc/hostname; sync")


@mistake("twins", Kind.NOT_YET, says="does not know it yet")
def on_its_disk_alone(ex: Twins) -> None:
    vm(ex, 1).run(
        "tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id; echo twins-2 >/etc/hostname; hostname twins-1; sync"
    )


# --- let-go ---------------------------------------------------------------------------------------


@cheat("let-go", Kind.RENAMED, says="only renamed")
def the_original_gets_another_name(ex: LetGo) -> None:
    vm(ex, 1).flatten()
    vm(ex).rename("gone")


@cheat("let-go", Kind.REPLACED, says="made again")
def another_clone_takes_its_place(ex: LetGo) -> None:
    vm(ex, 1).delete()
    vm(ex).clone("let-go-clone", snapshot="base")
    vm(ex).delete()


@cheat("let-go", Kind.PUBLIC_MARK, says="lost its content")
def only_the_mark_is_kept(ex: LetGo) -> None:
    solve(ex)
    path = _data(ex, "let-go-clone")
    qemu_io(path, "qcow2", "write -z 0 4M")
    qemu_io(path, "qcow2", f"write -P 49 {PLACE} 4k")


@mistake("let-go", Kind.WRONG_MEANS, says="still stands on")
def the_original_is_deleted_first(ex: LetGo) -> None:
    with contextlib.suppress(Refused):
        vm(ex).delete()


@mistake("let-go", Kind.HALF_DONE, says="is still there", mends=False)
def only_flattened(ex: LetGo) -> None:
    vm(ex, 1).flatten()


@mistake("let-go", Kind.WRONG_ONE, says="let-go-clone is gone", mends=False)
def the_clone_is_deleted(ex: LetGo) -> None:
    vm(ex, 1).delete()


# --- which-kind -----------------------------------------------------------------------------------


@cheat("which-kind", Kind.PUBLIC_MARK, says="not the original's")
def new_machines_with_the_mark(ex: Choose) -> None:
    for name in ex.machines[1:]:
        disk = ex.lab.disks.create(f"{name}.data", capacity=ex.capacity, format="raw")
        edit(disk.path, PLACE, ex.mark.encode())
        make(ex, name).attach(disk)


@cheat("which-kind", Kind.WITHOUT_THE_WAY, says="The clones take")
def the_original_is_made_heavier(ex: Choose) -> None:
    _all_full(ex)
    system = Path(vm(ex).facts.spec.disks[0].path)
    qemu_io(system, "qcow2", "write -P 1 0 64M")


@cheat("which-kind", Kind.RENAMED, says="was renamed")
def the_original_itself_travels(ex: Choose) -> None:
    vm(ex).rename("kind-travels")


def _all_full(ex: Choose) -> None:
    for name in ex.machines[1:]:
        vm(ex).clone(name, snapshot="base", reflink=False)


@mistake("which-kind", Kind.NOT_YET, says="no machine kind-travels")
def only_planned(ex: Choose) -> None:
    vm(ex).clone.plan("kind-travels", snapshot="base")


@mistake("which-kind", Kind.WRONG_ONE, says="elsewhere it would have no disks", mends=False)
def all_linked(ex: Choose) -> None:
    for name in ex.machines[1:]:
        vm(ex).clone(name, kind="linked", snapshot="base")


@mistake("which-kind", Kind.TOO_MUCH, says="The clones take", mends=False)
def all_full(ex: Choose) -> None:
    _all_full(ex)


# --- moved-base -----------------------------------------------------------------------------------


def _candidates(ex: MovedBase) -> tuple[Path, Path]:
    """The right one and the altered one."""
    right, altered = sorted(ex.folder.iterdir(), key=lambda file: file.read_bytes() != ex.fill(file.stat().st_size))
    return right, altered


@cheat("moved-base", Kind.REPLACED, says="not the same image")
def the_altered_one_is_accepted(ex: MovedBase) -> None:
    _candidates(ex)[1].rename(ex.place)
    vm(ex).snapshots.accept_changes()


@cheat("moved-base", Kind.PUBLIC_MARK, says="not the same image")
def a_new_file_with_the_mark(ex: MovedBase) -> None:
    ex.place.write_bytes(ex.mark.encode().rjust(PLACE + 8, b"\0").ljust(ex.capacity, b"\0"))
    vm(ex).snapshots.accept_changes()


@cheat("moved-base", Kind.WITHOUT_THE_WAY, says="does not stand on")
def headers_are_pointed_to_where_it_lies(ex: MovedBase) -> None:
    right, _altered = _candidates(ex)
    for number in (0, 1):
        path = _data(ex, ex.machines[number])
        qemu_img("rebase", "-u", "-F", "raw", "-b", right, path)


@mistake("moved-base", Kind.WRONG_ONE, says="There is no moved-base")
def relinked_with_the_altered_one(ex: MovedBase) -> None:
    with contextlib.suppress(Refused):
        vm(ex, 1).relink("data", _candidates(ex)[1])


@mistake("moved-base", Kind.WRONG_MEANS, says="not the same image", mends=False)
def the_altered_one_is_copied_there(ex: MovedBase) -> None:
    ex.place.write_bytes(_candidates(ex)[1].read_bytes())


@mistake("moved-base", Kind.NOT_YET, says="moved-base", mends=False)
def accepted_before_it_was_right(ex: MovedBase) -> None:
    right, altered = _candidates(ex)
    ex.place.write_bytes(altered.read_bytes())
    vm(ex).snapshots.accept_changes()
    ex.place.chmod(0o644)
    ex.place.write_bytes(right.read_bytes())


# --- touched-base ---------------------------------------------------------------------------------


@cheat("touched-base", Kind.WITHOUT_THE_WAY, says="was accepted")
def the_altered_base_is_accepted(ex: TouchedBase) -> None:
    for number in (0, 1, 2):
        vm(ex, number).snapshots.accept_changes()


@cheat("touched-base", Kind.REPLACED, says="made again")
def the_clones_are_made_again_of_the_copy(ex: TouchedBase) -> None:
    vm(ex, 1).delete()
    vm(ex, 3).clone(ex.machines[1])


@cheat("touched-base", Kind.TOO_MUCH, says="touched-base-copy has lost its content")
def the_copy_is_altered_alike(ex: TouchedBase) -> None:
    edit(_data(ex, ex.machines[3]), PLACE, b"altered!")


@mistake("touched-base", Kind.WRONG_MEANS, says="reads something else")
def checked_with_a_tool_that_does_not_see_it(ex: TouchedBase) -> None:
    qemu_img("check", _data(ex, ex.machines[1]))


@mistake("touched-base", Kind.HALF_DONE, says="There is no touched-base", mends=False)
def the_altered_one_is_removed(ex: TouchedBase) -> None:
    ex.place.unlink()


@mistake("touched-base", Kind.NOT_YET, says="touched-base", mends=False)
def accepted_too_early(ex: TouchedBase) -> None:
    for number in (0, 1, 2):
        vm(ex, number).snapshots.accept_changes()
    ex.place.chmod(0o644)
    ex.place.write_bytes(_data(ex, ex.machines[3]).read_bytes())
