"""Astray in notebook 04."""

from __future__ import annotations

import re
from pathlib import Path

from labkit.course.exercises.images import BrokenChain, NobodysImages
from labkit.course.exercises.snapshots import OnSnapshots, ThisTree, WithoutLoss
from labkit.course.exercises.states import Free, Instant
from tests.course.astray import Kind, cheat, mistake
from tests.course.astray.means import make, qemu_img, remove, solve, virsh, vm


def _take(ex: OnSnapshots, *names: str, word: str = "") -> None:
    for name in names:
        ex.write(vm(ex), word or ex.word(name))
        vm(ex).snapshots.take(name)


# --- this-tree ------------------------------------------------------------------------------------


@cheat("this-tree", Kind.PUBLIC_MARK, says="does not hold")
def the_right_tree_with_words_that_anybody_knows(ex: ThisTree) -> None:
    _take(ex, "base", "left", "leaf", word="base-ex.mark")
    vm(ex).snapshots.restore("base")
    vm(ex).wait_ready()
    _take(ex, "right", word="base-ex.mark")


@cheat("this-tree", Kind.WITHOUT_THE_WAY, says="its image does not stand")
def a_chain_whose_drawing_is_forged(ex: ThisTree) -> None:
    _take(ex, "base", "left", "leaf", "right")
    xml = virsh(vm(ex), "snapshot-dumpxml", "DOMAIN", "right", "--security-info")
    forged = re.sub(r"(<parent>\s*<name>)leaf(</name>)", r"\1base\2", xml)
    virsh(vm(ex), "snapshot-create", "DOMAIN", "/dev/stdin", "--redefine", "--current", stdin=forged)


@cheat("this-tree", Kind.UNDONE, says="no snapshot leaf")
def built_and_cut(ex: ThisTree) -> None:
    solve(ex)
    vm(ex).snapshots.delete("leaf")


@mistake("this-tree", Kind.HALF_DONE, says="no snapshot base")
def written_and_not_taken(ex: ThisTree) -> None:
    ex.write(vm(ex), ex.word("base"))


@mistake("this-tree", Kind.WRONG_MEANS, says="right comes after leaf", mends=False)
def a_chain_in_place_of_a_tree(ex: ThisTree) -> None:
    _take(ex, "base", "left", "leaf", "right")


@mistake("this-tree", Kind.WRONG_ONE, says="In leaf the disk does not hold", mends=False)
def the_word_of_another(ex: ThisTree) -> None:
    _take(ex, "base", "left")
    _take(ex, "leaf", word=ex.word("left"))
    vm(ex).snapshots.restore("base")
    vm(ex).wait_ready()
    _take(ex, "right")


# --- without-loss ---------------------------------------------------------------------------------


@cheat("without-loss", Kind.WITHOUT_THE_WAY, says="it was not taken there")
def a_snapshot_of_that_name_alone(ex: WithoutLoss) -> None:
    vm(ex).snapshots.take("visit")


@cheat("without-loss", Kind.PUBLIC_MARK, says="clean was imitated")
def clean_is_written_over_the_work(ex: WithoutLoss) -> None:
    ex.write(vm(ex), ex.word("clean"))
    vm(ex).run(f"dd if=/dev/zero of=/dev/vdb bs=4096 count=1 seek={49 * 256} conv=fsync")
    vm(ex).snapshots.take("visit")
    ex.write(vm(ex), ex.word("work"))
    ex.write(vm(ex), ex.word("notes"), at=1)
    vm(ex).snapshots.take("work")


@cheat("without-loss", Kind.RENAMED, says="snapshot clean is gone")
def clean_is_called_visit(ex: WithoutLoss) -> None:
    vm(ex).snapshots.rename("clean", "visit")


@mistake("without-loss", Kind.HALF_DONE, says="no snapshot visit")
def the_work_is_kept_and_nothing_is_visited(ex: WithoutLoss) -> None:
    vm(ex).snapshots.take("kept")


@mistake("without-loss", Kind.TOO_MUCH, says="The work is lost", mends=False)
def gone_without_keeping_the_work(ex: WithoutLoss) -> None:
    vm(ex).snapshots.restore("clean")


@mistake("without-loss", Kind.NOT_YET, says="not back at your work", mends=False)
def not_yet_back(ex: WithoutLoss) -> None:
    vm(ex).snapshots.restore("clean", save_current="work")
    vm(ex).snapshots.take("visit")


# --- free-space -----------------------------------------------------------------------------------


@cheat("free-space", Kind.WITHOUT_THE_WAY, says="removed by hand")
def files_are_removed_by_hand(ex: Free) -> None:
    tree = vm(ex).snapshots.tree
    for name in ("try-1", "try-2"):
        for disk in tree[name].disks:
            Path(disk.path).unlink()


@cheat("free-space", Kind.RENAMED, says="their images are still there")
def only_the_names_are_deleted(ex: Free) -> None:
    for name in ("try-1", "try-2"):
        virsh(vm(ex), "snapshot-delete", "DOMAIN", name, "--metadata")


@cheat("free-space", Kind.REPLACED, says="taken again")
def one_that_is_needed_is_taken_again(ex: Free) -> None:
    solve(ex)
    vm(ex).snapshots.delete("b")
    vm(ex).snapshots.restore("a")
    vm(ex).wait_ready()
    _take(ex, "b")


@mistake("free-space", Kind.WRONG_MEANS, says="still hold")
def only_described(ex: Free) -> None:
    vm(ex).snapshots.describe("try-1", "to be thrown away")


@mistake("free-space", Kind.HALF_DONE, says="still hold", mends=False)
def one_of_the_two(ex: Free) -> None:
    vm(ex).snapshots.delete("try-1")


@mistake("free-space", Kind.TOO_MUCH, says="The snapshot b is gone", mends=False)
def one_too_many(ex: Free) -> None:
    solve(ex)
    vm(ex).snapshots.delete("b")


# --- that-instant ---------------------------------------------------------------------------------


@cheat("that-instant", Kind.UNDONE, says="does not run")
def restored_and_switched_off(ex: Instant) -> None:
    solve(ex)
    vm(ex).kill()


@cheat("that-instant", Kind.PUBLIC_MARK, says="not the one that counted")
def another_boot_that_shows_the_first_ones_number(ex: Instant) -> None:
    boot_id = (ex.evidence.notes if ex.evidence else {})["boot"]
    vm(ex).start().wait_ready()
    vm(ex).run(f"labkit-counter start; echo {boot_id} >/run/b; mount --bind /run/b /proc/sys/kernel/random/boot_id")
    vm(ex).snapshots.describe("moment", boot_id)


@cheat("that-instant", Kind.RENAMED, says="not the one that counted")
def another_moment_of_that_name(ex: Instant) -> None:
    vm(ex).snapshots.rename("moment", "first")
    vm(ex).start().wait_ready().run("labkit-counter start")
    vm(ex).snapshots.take("moment")


@mistake("that-instant", Kind.WRONG_ONE, says="does not run")
def the_state_that_was_off(ex: Instant) -> None:
    vm(ex).snapshots.restore("night")


@mistake("that-instant", Kind.HALF_DONE, says="it is saved", mends=False)
def restored_and_left_saved(ex: Instant) -> None:
    vm(ex).snapshots.restore("moment", run=False)


@mistake("that-instant", Kind.RESTART, says="has booted since")
def booted(ex: Instant) -> None:
    vm(ex).start().wait_ready()


# --- orphans --------------------------------------------------------------------------------------


@cheat("orphans", Kind.RENAMED, says="under another name")
def they_get_other_numbers(ex: NobodysImages) -> None:
    for number, orphan in enumerate(ex.orphans, start=200):
        orphan.rename(orphan.with_name(f"{ex.disks[0]}.{number}.qcow2"))


@cheat("orphans", Kind.TOO_MUCH, says="no longer whole")
def all_without_a_name_go(ex: NobodysImages) -> None:
    tree = vm(ex).snapshots.tree
    named = {disk.path for node in tree.values() for disk in node.disks}
    for layer in ex.lab.disks[ex.disks[0]].layers[1:]:
        if layer.path not in named:
            Path(layer.path).unlink()
    for orphan in ex.orphans:
        orphan.unlink()


@cheat("orphans", Kind.REPLACED, says="made again")
def another_machine_without_a_past(ex: NobodysImages) -> None:
    remove(vm(ex))
    make(ex, ex.machine)


@mistake("orphans", Kind.HALF_DONE, says="2 images")
def one_of_three(ex: NobodysImages) -> None:
    ex.orphans[-1].unlink()


@mistake("orphans", Kind.WRONG_ONE, says="The snapshot c is gone", mends=False)
def a_snapshot_is_deleted(ex: NobodysImages) -> None:
    vm(ex).snapshots.delete("c")


@mistake("orphans", Kind.WRONG_MEANS, says="3 images")
def emptied_and_not_deleted(ex: NobodysImages) -> None:
    for orphan in ex.orphans:
        orphan.chmod(0o644)
        orphan.write_bytes(b"")


# --- broken-chain ---------------------------------------------------------------------------------


@cheat("broken-chain", Kind.WITHOUT_THE_WAY, says="it is not the same image")
def the_empty_one_is_accepted(ex: BrokenChain) -> None:
    vm(ex).snapshots.accept_changes()


@cheat("broken-chain", Kind.PUBLIC_MARK, says="written anew")
def a_new_image_that_reads_as_it_did(ex: BrokenChain) -> None:
    ex.place.unlink()
    qemu_img("convert", "-f", "qcow2", "-O", "qcow2", "-o", "cluster_size=4k", ex.folder / ex.base, ex.place)
    vm(ex).snapshots.accept_changes()


@cheat("broken-chain", Kind.REPLACED, says="no longer ends in")
def headers_are_pointed_to_where_it_lies(ex: BrokenChain) -> None:
    above = next(Path(disk.path) for disk in vm(ex).snapshots.tree["work"].disks if disk.target == "vdb")
    above.chmod(0o644)
    qemu_img("rebase", "-u", "-F", "qcow2", "-b", ex.folder / ex.base, above)


@mistake("broken-chain", Kind.HALF_DONE, says="There is no broken-chain")
def the_empty_one_is_removed(ex: BrokenChain) -> None:
    ex.place.unlink()


@mistake("broken-chain", Kind.WRONG_ONE, says="it is not the same image")
def put_back_one_folder_too_high(ex: BrokenChain) -> None:
    (ex.lab.home / ex.base).write_bytes((ex.folder / ex.base).read_bytes())


@mistake("broken-chain", Kind.NOT_YET, says="broken-chain", mends=False)
def accepted_before_it_was_right(ex: BrokenChain) -> None:
    vm(ex).snapshots.accept_changes()
    (ex.folder / ex.base).replace(ex.place)
