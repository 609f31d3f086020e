"""Astray in notebook 03."""

from __future__ import annotations

import contextlib

from labkit.course.exercises.disks import MarkedDisk, TrulyFixed
from labkit.course.exercises.file_systems import Grow, Slim
from labkit.course.exercises.storage import FullHost, Misnamed
from labkit.errors import WrongState
from tests.course.astray import Kind, cheat, mistake
from tests.course.astray.means import boot, edit, make, qemu_img, remove, solve, vm

# --- follow-the-mark ------------------------------------------------------------------------------


@cheat("follow-the-mark", Kind.TOO_MUCH, says="more of")
def the_answer_stands_everywhere(ex: MarkedDisk) -> None:
    solve(ex)
    for name in ex.disks:
        path, place = ex.lab.disks[name].locate(8192)
        edit(path, place, ex.reply)


@cheat("follow-the-mark", Kind.WITHOUT_THE_WAY, says="was started meanwhile")
def the_guest_writes_it(ex: MarkedDisk) -> None:
    vm(ex).start().wait_ready()
    for target in ("vdb", "vdc"):
        vm(ex).run(f"printf {ex.reply.decode()} | dd of=/dev/{target} bs=4096 seek={ex.offset // 4096} conv=sync,fsync")
    vm(ex).kill()


@cheat("follow-the-mark", Kind.REPLACED, says="more of")
def other_images_with_the_answer_alone(ex: MarkedDisk) -> None:
    raw = ex.lab.home / "answer.raw"
    with raw.open("wb") as file:
        file.truncate(ex.capacity)
    edit(raw, ex.offset, ex.reply)
    for name in ex.disks:
        disk = ex.lab.disks[name]
        qemu_img("convert", "-f", "raw", "-O", disk.format.driver, raw, disk.path)
    raw.unlink()


@mistake("follow-the-mark", Kind.HALF_DONE, says="In mark-vdi the guest's mark is still there")
def only_one_of_the_two(ex: MarkedDisk) -> None:
    path, place = ex.lab.disks[ex.disks[0]].locate(ex.offset)
    edit(path, place, ex.reply)


@mistake("follow-the-mark", Kind.WRONG_ONE, says="the guest's position", mends=False)
def at_the_guests_number(ex: MarkedDisk) -> None:
    edit(ex.lab.disks[ex.disks[0]].path, ex.offset, ex.reply)


@mistake("follow-the-mark", Kind.WRONG_MEANS, says="neither the mark nor your answer")
def another_answer(ex: MarkedDisk) -> None:
    path, place = ex.lab.disks[ex.disks[0]].locate(ex.offset)
    edit(path, place, b"ex.reply")


# --- truly-fixed ----------------------------------------------------------------------------------


@cheat("truly-fixed", Kind.PUBLIC_MARK, says="not all of it")
def a_new_one_with_the_mark(ex: TrulyFixed) -> None:
    ex.lab.disks[ex.slug].delete()
    ex.lab.disks.create(ex.slug, capacity=ex.capacity, format="vhd", allocation="fixed")
    edit(ex.lab.disks[ex.slug].path, 0, ex.mark.encode())


def _through(ex: TrulyFixed, format: str, allocation: str) -> None:
    false, spare = ex.disks
    ex.lab.disks[false].convert(spare, format=format, allocation=allocation)
    ex.lab.disks[false].delete()
    ex.lab.disks[spare].convert(false, format=format, allocation=allocation)
    ex.lab.disks[spare].delete()


@cheat("truly-fixed", Kind.REPLACED, says="It is raw, fixed")
def a_fixed_one_of_another_format(ex: TrulyFixed) -> None:
    _through(ex, "raw", "fixed")


@cheat("truly-fixed", Kind.RENAMED, says="its content is in fixed-copy")
def a_true_one_of_another_name(ex: TrulyFixed) -> None:
    ex.lab.disks[ex.slug].convert(ex.disks[1], format="vhd", allocation="fixed")
    ex.lab.disks[ex.slug].delete()


@mistake("truly-fixed", Kind.WRONG_MEANS, says="dynamic")
def converted_to_a_dynamic_one(ex: TrulyFixed) -> None:
    _through(ex, "vhd", "dynamic")


@mistake("truly-fixed", Kind.HALF_DONE, says="what is allocated is not", mends=False)
def only_the_copy_is_true(ex: TrulyFixed) -> None:
    ex.lab.disks[ex.slug].convert(ex.disks[1], format="vhd", allocation="fixed")


@mistake("truly-fixed", Kind.WRONG_ONE, says="not all of it", mends=False)
def an_empty_one_in_its_place(ex: TrulyFixed) -> None:
    ex.lab.disks[ex.slug].delete()
    ex.lab.disks.create(ex.slug, capacity=ex.capacity, format="vhd", allocation="fixed")


# --- slimmer --------------------------------------------------------------------------------------


@cheat("slimmer", Kind.TOO_MUCH, says="The file keep is gone")
def the_file_goes_too(ex: Slim) -> None:
    vm(ex).run("rm /mnt/vdb/keep; fstrim /mnt/vdb; sync")


@cheat("slimmer", Kind.PUBLIC_MARK, says="made anew")
def a_new_file_system_with_the_mark(ex: Slim) -> None:
    vm(ex).run(
        f"umount /mnt/vdb; mkfs.ext4 -q -F /dev/vdb; mount /dev/vdb /mnt/vdb; echo {ex.mark} >/mnt/vdb/keep; sync"
    )


@cheat("slimmer", Kind.REPLACED, says="another content")
def a_shorter_file_of_the_name(ex: Slim) -> None:
    vm(ex).run(f"echo {ex.mark} >/mnt/vdb/keep; fstrim /mnt/vdb; sync")


@mistake("slimmer", Kind.WRONG_MEANS, says="nobody told the disk")
def only_synced(ex: Slim) -> None:
    vm(ex).run("touch /mnt/vdb/keep; sync")


@mistake("slimmer", Kind.WRONG_ONE, says="nobody told the disk")
def another_file_system_is_trimmed(ex: Slim) -> None:
    vm(ex).run("fstrim /; sync")


@mistake("slimmer", Kind.HALF_DONE, says="nobody told the disk")
def a_disk_that_was_taken_away(ex: Slim) -> None:
    vm(ex).run("umount /mnt/vdb")
    vm(ex).detach(ex.disks[0])


# --- grow -----------------------------------------------------------------------------------------


def _grow(ex: Grow, before: str) -> None:
    vm(ex).run(before)
    ex.lab.disks[ex.disks[0]].resize(ex.wanted)
    vm(ex).run("resize2fs /dev/vdb; sync")


@cheat("grow", Kind.TOO_MUCH, says="The file full is gone")
def room_is_made_by_deleting(ex: Grow) -> None:
    _grow(ex, "rm /mnt/vdb/full")


@cheat("grow", Kind.PUBLIC_MARK, says="made anew")
def another_file_system_with_the_mark(ex: Grow) -> None:
    ex.lab.disks[ex.disks[0]].resize(ex.wanted)
    vm(ex).run(
        f"umount /mnt/vdb; mkfs.ext4 -q -F /dev/vdb; mount /dev/vdb /mnt/vdb; echo {ex.mark} >/mnt/vdb/keep; sync"
    )


@cheat("grow", Kind.REPLACED, says="another content")
def the_files_are_others(ex: Grow) -> None:
    _grow(ex, "echo short >/mnt/vdb/full")


@mistake("grow", Kind.HALF_DONE, says="and it is full")
def grown_by_too_little(ex: Grow) -> None:
    ex.lab.disks[ex.disks[0]].resize((ex.capacity + ex.wanted) // 2)


@mistake("grow", Kind.NOT_YET, says="not its file system", mends=False)
def the_disk_alone(ex: Grow) -> None:
    ex.lab.disks[ex.disks[0]].resize(ex.wanted)


@mistake("grow", Kind.WRONG_MEANS, says="and it is full")
def the_file_system_alone(ex: Grow) -> None:
    vm(ex).run("resize2fs /dev/vdb; sync")


# --- wrongly-declared -----------------------------------------------------------------------------


@cheat("wrongly-declared", Kind.PUBLIC_MARK, says="not made of the file")
def a_new_disk_with_a_letter(ex: Misnamed) -> None:
    vm(ex).attach(ex.lab.disks.create(ex.disks[1], capacity="32 MiB"))
    vm(ex).run(f"labkit-mount vdc; echo {ex.mark} >/mnt/vdc/letter; sync")


@cheat("wrongly-declared", Kind.REPLACED, says="was changed")
def another_file_in_its_place(ex: Misnamed) -> None:
    qemu_img("create", "-f", "vdi", ex.file, "32M")


@cheat("wrongly-declared", Kind.WITHOUT_THE_WAY, says="cannot be read below /mnt")
def a_letter_in_a_folder_of_the_system_disk(ex: Misnamed) -> None:
    vm(ex).attach(ex.lab.disks.import_file(ex.file, ex.disks[1], format="vmdk"))
    vm(ex).run(f"mkdir -p /mnt/vdc; echo {ex.mark} >/mnt/vdc/letter; sync")


@mistake("wrongly-declared", Kind.WRONG_MEANS, says="begins with KDMV")
def the_container_is_mounted(ex: Misnamed) -> None:
    assert vm(ex).run("labkit-mount vdb").exit_code != 0


@mistake("wrongly-declared", Kind.WRONG_ONE, says="holds the container", mends=False)
def what_is_taken_for_raw_is_converted(ex: Misnamed) -> None:
    wrong, right = ex.disks
    vm(ex).detach(wrong)
    vm(ex).attach(ex.lab.disks[wrong].convert(right, format="vmdk"))


@mistake("wrongly-declared", Kind.HALF_DONE, says="not attached", mends=False)
def imported_and_not_attached(ex: Misnamed) -> None:
    vm(ex).detach(ex.disks[0])
    ex.lab.disks.import_file(ex.file, ex.disks[1], format="vmdk")


# --- full-host ------------------------------------------------------------------------------------


@cheat("full-host", Kind.RESTART, says="You rebooted it")
def started_again(ex: FullHost) -> None:
    ex.lab.disks[ex.disks[0]].serve(room="64 MiB")
    vm(ex).kill().start()


@cheat("full-host", Kind.REPLACED, says="made again")
def a_machine_that_was_never_in_trouble(ex: FullHost) -> None:
    vm(ex).kill().detach(ex.disks[0])
    remove(vm(ex))
    make(ex, ex.machine).start()


@cheat("full-host", Kind.PUBLIC_MARK, says="You rebooted it")
def restarted_and_written_by_hand(ex: FullHost) -> None:
    ex.lab.disks[ex.disks[0]].serve(room="64 MiB")
    boot(vm(ex)).run(
        f"touch /run/writing /run/written; mkdir -p /mnt/vdb; yes {ex.mark * 64} | head -c {ex.bytes} >/mnt/vdb/data"
    )


@mistake("full-host", Kind.HALF_DONE, says="is paused")
def room_is_made_and_it_is_not_resumed(ex: FullHost) -> None:
    ex.lab.disks[ex.disks[0]].serve(room="64 MiB")


@mistake("full-host", Kind.WRONG_MEANS, says="is paused")
def resumed_without_room(ex: FullHost) -> None:
    with contextlib.suppress(WrongState):
        vm(ex).resume()


@mistake("full-host", Kind.TOO_MUCH, says="not what it meant to write", mends=False)
def the_file_is_removed_when_it_is_written(ex: FullHost) -> None:
    solve(ex)
    vm(ex).run("rm /mnt/vdb/data; sync")
