"""Astray in notebook 02."""

from __future__ import annotations

from labkit.course.exercises.hypervisors import Clues, OtherController, Partition
from labkit.course.exercises.sharing import NoisyNeighbour, WhoSpends
from labkit.experiments import stop_writing
from tests.course.astray import Kind, cheat, mistake
from tests.course.astray.means import boot, edit, solve, virsh, vm

# --- noisy-neighbour ------------------------------------------------------------------------------


@cheat("noisy-neighbour", Kind.WITHOUT_THE_WAY, says="no limit")
def a_limit_in_the_definition_alone(ex: NoisyNeighbour) -> None:
    virsh(vm(ex), "blkdeviotune", "DOMAIN", "vdb", "--config", "--total-iops-sec", "20")


@cheat("noisy-neighbour", Kind.UNDONE, says="no limit")
def limited_and_let_go(ex: NoisyNeighbour) -> None:
    vm(ex).throttle(ex.disks[0], iops=20).throttle(ex.disks[0])


@cheat("noisy-neighbour", Kind.TOO_MUCH, says="stands still")
def a_limited_disk_that_nobody_uses_any_more(ex: NoisyNeighbour) -> None:
    vm(ex).throttle(ex.disks[0], iops=20).run("kill -STOP -- -$(cat /run/labkit-noise)")


@mistake("noisy-neighbour", Kind.HALF_DONE, says="5000 requests")
def a_limit_that_is_none(ex: NoisyNeighbour) -> None:
    vm(ex).throttle(ex.disks[0], iops=5000)


@mistake("noisy-neighbour", Kind.WRONG_MEANS, says="ended A's work", mends=False)
def the_work_is_ended(ex: NoisyNeighbour) -> None:
    stop_writing(vm(ex))


@mistake("noisy-neighbour", Kind.RESTART, says="switched A off", mends=False)
def the_noisy_one_is_restarted(ex: NoisyNeighbour) -> None:
    boot(vm(ex))


# --- who-spends -----------------------------------------------------------------------------------


@cheat("who-spends", Kind.WITHOUT_THE_WAY, says="ended its work")
def the_work_is_ended_inside(ex: WhoSpends) -> None:
    for name in ex.machines:
        ex.vm(name).run("kill $(cat /run/work)")


@cheat("who-spends", Kind.RESTART, says="switched it off")
def started_again_and_paused(ex: WhoSpends) -> None:
    ex.vm(ex.spender).kill().start().pause()


@cheat("who-spends", Kind.TOO_MUCH, says="hardly works")
def all_are_paused(ex: WhoSpends) -> None:
    for name in ex.machines:
        ex.vm(name).pause()


@mistake("who-spends", Kind.UNDONE, says="still burns")
def paused_and_resumed(ex: WhoSpends) -> None:
    ex.vm(ex.spender).pause().resume()


@mistake("who-spends", Kind.WRONG_ONE, says="hardly works", mends=False)
def an_idle_one_is_paused(ex: WhoSpends) -> None:
    ex.vm(next(name for name in ex.machines if name != ex.spender)).pause()


@mistake("who-spends", Kind.WRONG_MEANS, says="switched it off", mends=False)
def switched_off(ex: WhoSpends) -> None:
    ex.vm(ex.spender).kill()


# --- clues ----------------------------------------------------------------------------------------

LIST = "for each in /sys/bus/pci/devices/*; do v=$(cat $each/vendor) d=$(cat $each/device); echo ${v#0x}:${d#0x}; done"


@cheat("clues", Kind.TOO_MUCH, says="once sold")
def every_device_is_listed(ex: Clues) -> None:
    vm(ex).run(f"({LIST}) >{ex.file}; sync")


@cheat("clues", Kind.PUBLIC_MARK, says="no device")
def every_number_that_there_could_be(ex: Clues) -> None:
    vm(ex).run(f"for n in 0 1 2 3 4 5; do echo 1af4:100$n; echo 1af4:104$n; echo 1b36:000$n; done >{ex.file}; sync")


@cheat("clues", Kind.UNDONE, says="no list")
def written_and_removed(ex: Clues) -> None:
    solve(ex)
    vm(ex).run(f"rm {ex.file}; sync")


@mistake("clues", Kind.HALF_DONE, says="missing from your list")
def one_is_left_out(ex: Clues) -> None:
    vm(ex).run(f"({LIST}) | grep -E '^(1af4|1b36)' | sort -u | sed 1d >{ex.file}; sync")


@mistake("clues", Kind.WRONG_MEANS, says="no device")
def written_in_another_way(ex: Clues) -> None:
    vm(ex).run(f"({LIST}) | grep -E '^(1af4|1b36)' | sed 's/^/0x/' >{ex.file}; sync")


@mistake("clues", Kind.WRONG_ONE, says="no list")
def written_into_another_file(ex: Clues) -> None:
    vm(ex).run(f"({LIST}) | grep -E '^(1af4|1b36)' >/root/list; sync")


# --- other-controller -----------------------------------------------------------------------------


def _exchange(ex: OtherController) -> None:
    vm(ex).kill().detach(ex.disks[0])
    ex.lab.disks[ex.disks[0]].delete()
    vm(ex).attach(ex.lab.disks.create(ex.disks[0], capacity="16 MiB", format="raw"), bus="ide")


@cheat("other-controller", Kind.REPLACED, says="not what it was")
def a_new_disk_of_the_name(ex: OtherController) -> None:
    _exchange(ex)


@cheat("other-controller", Kind.PUBLIC_MARK, says="not what it was")
def a_new_disk_with_the_mark(ex: OtherController) -> None:
    _exchange(ex)
    edit(ex.lab.disks[ex.disks[0]].path, ex.place, ex.mark.encode())
    vm(ex).start().wait_ready()


@cheat("other-controller", Kind.UNDONE, says="not attached")
def attached_and_taken_away(ex: OtherController) -> None:
    solve(ex)
    vm(ex).kill().detach(ex.disks[0])


@mistake("other-controller", Kind.WRONG_MEANS, says="is a virtio disk")
def attached_as_before(ex: OtherController) -> None:
    vm(ex).kill().detach(ex.disks[0]).attach(ex.disks[0])


@mistake("other-controller", Kind.HALF_DONE, says="not attached", mends=False)
def only_taken_away(ex: OtherController) -> None:
    vm(ex).kill().detach(ex.disks[0])


@mistake("other-controller", Kind.NOT_YET, says="has not looked", mends=False)
def attached_and_not_started(ex: OtherController) -> None:
    vm(ex).kill().detach(ex.disks[0]).attach(ex.disks[0], bus="ide")


# --- partition-wall -------------------------------------------------------------------------------


def _apart(ex: Partition, options: str, inside: str) -> None:
    vm(ex).run(f"unshare {options} sh -c '{inside}' </dev/null >/dev/null 2>&1 &")
    vm(ex).run("usleep 300000")


@cheat("partition-wall", Kind.WITHOUT_THE_WAY, says="renamed the whole machine")
def the_whole_machine_gets_the_name(ex: Partition) -> None:
    vm(ex).run(f"hostname {ex.mark}")


@cheat("partition-wall", Kind.PUBLIC_MARK, says="not your mark")
def the_name_of_the_mark(ex: Partition) -> None:
    _apart(ex, "-u -p -f", "hostname ex.mark; exec sleep 100000")


@cheat("partition-wall", Kind.UNDONE, says="No process")
def begun_and_ended(ex: Partition) -> None:
    solve(ex)
    vm(ex).run(
        "for each in /proc/[0-9]*; do case $(tr '\\0' ' ' <$each/cmdline) in 'sleep 100000 ')"
        " kill -9 ${each##*/};; esac; done; usleep 300000"
    )


@mistake("partition-wall", Kind.HALF_DONE, says="number from the machine's list")
def a_name_alone(ex: Partition) -> None:
    _apart(ex, "-u", f"hostname {ex.mark}; exec sleep 100000")


@mistake("partition-wall", Kind.WRONG_MEANS, says="No process")
def numbers_alone(ex: Partition) -> None:
    _apart(ex, "-p -f", "exec sleep 100000")


@mistake("partition-wall", Kind.NOT_YET, says="No process")
def a_process_that_ends_at_once(ex: Partition) -> None:
    _apart(ex, "-u -p -f", f"hostname {ex.mark}")
