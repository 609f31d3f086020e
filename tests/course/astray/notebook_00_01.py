"""Astray in notebooks 00 and 01."""

from __future__ import annotations

from labkit.course.exercises.first_boot import FirstBoot
from labkit.course.exercises.host import OtherCpu, PowerCut, WhoFell
from labkit.course.exercises.moving import Move
from tests.course.astray import Kind, cheat, mistake
from tests.course.astray.means import boot, end_process, make, make_running, remove, solve, vm

# --- first-boot -----------------------------------------------------------------------------------


@cheat("first-boot", Kind.PUBLIC_MARK, says="not your mark")
def the_name_of_the_mark_is_written(ex: FirstBoot) -> None:
    make_running(ex, ex.machine).run("echo ex.mark >/root/mark; sync")


@cheat("first-boot", Kind.WITHOUT_THE_WAY, says="takes no commands")
def a_machine_without_a_guest_agent(ex: FirstBoot) -> None:
    ex.lab.create(ex.machine, image="sector", memory="16 MiB").start()


@cheat("first-boot", Kind.UNDONE, says="is off")
def written_and_switched_off(ex: FirstBoot) -> None:
    make_running(ex, ex.machine).run(f"echo {ex.mark} >/root/mark; sync")
    vm(ex).kill()


@mistake("first-boot", Kind.HALF_DONE, says="is off", mends=False)
def created_and_not_started(ex: FirstBoot) -> None:
    make(ex, ex.machine)


@mistake("first-boot", Kind.WRONG_ONE, says="no file /root/mark", mends=False)
def written_into_another_file(ex: FirstBoot) -> None:
    make_running(ex, ex.machine).run(f"echo {ex.mark} >/root/marks; mkdir /root/mark")


@mistake("first-boot", Kind.NOT_YET, says="is paused", mends=False)
def paused(ex: FirstBoot) -> None:
    make_running(ex, ex.machine).run(f"echo {ex.mark} >/root/mark")
    vm(ex).pause()


# --- who-fell -------------------------------------------------------------------------------------


@cheat("who-fell", Kind.REPLACED, says="made again")
def another_machine_takes_the_fallen_ones_place(ex: WhoFell) -> None:
    remove(ex.vm(ex.fallen))
    make_running(ex, ex.fallen, panic_device=False).run(f"echo {ex.mark} >/root/labkit-mark; sync")


@cheat("who-fell", Kind.PUBLIC_MARK, says="You restarted")
def all_are_restarted_and_the_mark_is_written_again(ex: WhoFell) -> None:
    for name in ex.machines:
        boot(ex.vm(name)).run(f"echo {ex.mark} | tee /run/labkit-mark >/root/labkit-mark; sync")


@cheat("who-fell", Kind.RENAMED, says="was renamed")
def the_fallen_one_is_put_aside(ex: WhoFell) -> None:
    ex.vm(ex.fallen).kill().rename("aside")
    make_running(ex, ex.fallen, panic_device=False)


@mistake("who-fell", Kind.HALF_DONE, says="is off")
def switched_off_and_not_on(ex: WhoFell) -> None:
    ex.vm(ex.fallen).kill()


@mistake("who-fell", Kind.WRONG_ONE, says="You restarted")
def one_that_was_well_is_restarted(ex: WhoFell) -> None:
    boot(ex.vm(next(name for name in ex.machines if name != ex.fallen)))


@mistake("who-fell", Kind.WRONG_MEANS, says="does not answer")
def paused_and_resumed(ex: WhoFell) -> None:
    ex.vm(ex.fallen).pause().resume()


# --- power-cut ------------------------------------------------------------------------------------


@cheat("power-cut", Kind.WITHOUT_THE_WAY, says="kernel panicked")
def its_own_kernel_panics(ex: PowerCut) -> None:
    vm(ex).console.send("echo c >/proc/sysrq-trigger")
    vm(ex).wait_for("off")


@cheat("power-cut", Kind.REPLACED, says="made again")
def one_that_never_ran_takes_its_place(ex: PowerCut) -> None:
    remove(vm(ex))
    make(ex, ex.machine)


@cheat("power-cut", Kind.UNDONE, says="still there")
def cut_and_started_again(ex: PowerCut) -> None:
    end_process(vm(ex))
    vm(ex).start()


@mistake("power-cut", Kind.NOT_YET, says="it is paused")
def paused_in_place_of_off(ex: PowerCut) -> None:
    vm(ex).pause()


@mistake("power-cut", Kind.WRONG_MEANS, says="its power was cut", mends=False)
def the_hypervisor_is_asked(ex: PowerCut) -> None:
    vm(ex).kill()


@mistake("power-cut", Kind.TOO_MUCH, says="it was to be left alone", mends=False)
def both_are_cut(ex: PowerCut) -> None:
    for number in (0, 1):
        end_process(vm(ex, number))


# --- another-cpu ----------------------------------------------------------------------------------


@cheat("another-cpu", Kind.REPLACED, says="made again")
def a_new_machine_with_that_cpu(ex: OtherCpu) -> None:
    remove(vm(ex))
    make(ex, ex.machine).configure(cpu_model=ex.model)


@cheat("another-cpu", Kind.WITHOUT_THE_WAY, says="needs a start")
def another_text_is_laid_over_the_guests_file(ex: OtherCpu) -> None:
    vm(ex).configure(cpu_model=ex.model)
    vm(ex).run(
        f"sed 's/^model name.*/model name : {ex.model}/' /proc/cpuinfo >/run/cpu; mount --bind /run/cpu /proc/cpuinfo"
    )


@cheat("another-cpu", Kind.UNDONE, says="is defined with")
def shown_once_and_taken_back(ex: OtherCpu) -> None:
    before = vm(ex).facts.spec.cpu_model
    solve(ex)
    vm(ex).configure(cpu_model=before)


@mistake("another-cpu", Kind.NOT_YET, says="needs a start")
def defined_and_not_started_anew(ex: OtherCpu) -> None:
    vm(ex).configure(cpu_model=ex.model)


@mistake("another-cpu", Kind.HALF_DONE, says="it is off", mends=False)
def defined_and_left_off(ex: OtherCpu) -> None:
    vm(ex).kill().configure(cpu_model=ex.model)


@mistake("another-cpu", Kind.WRONG_ONE, says="Westmere")
def another_model(ex: OtherCpu) -> None:
    vm(ex).configure(cpu_model="Westmere")


# --- moving-house ---------------------------------------------------------------------------------


@cheat("moving-house", Kind.RENAMED, says="two of them")
def a_new_one_there_and_the_old_one_under_another_name(ex: Move) -> None:
    vm(ex).rename("old")
    with ex.elsewhere as elsewhere:
        elsewhere.create(ex.machine, memory="96 MiB")


@cheat("moving-house", Kind.PUBLIC_MARK, says="a clone")
def a_new_one_there_with_the_mark(ex: Move) -> None:
    remove(vm(ex))
    with ex.elsewhere as elsewhere:
        made = elsewhere.create(ex.machine, memory="96 MiB").start().wait_ready()
        made.run(f"echo {ex.mark} >/root/labkit-mark; sync")


@cheat("moving-house", Kind.REPLACED, says="a clone")
def a_clone_that_calls_itself_as_the_first_did(ex: Move) -> None:
    file = vm(ex).export(ex.lab.home / "copy.labkit")
    vm(ex).delete()
    evidence = ex.evidence
    assert evidence is not None
    with ex.elsewhere as elsewhere:
        copy = elsewhere.import_machine(file, identity="new").start().wait_ready()
        copy.run(f"echo {evidence.notes['who']} >/etc/machine-id; sync")
    file.unlink()


@mistake("moving-house", Kind.HALF_DONE, says="still here")
def packed_and_not_moved(ex: Move) -> None:
    vm(ex).export(ex.lab.home / "try.labkit").unlink()


@mistake("moving-house", Kind.NOT_YET, says="does not answer", mends=False)
def moved_and_not_started(ex: Move) -> None:
    file = vm(ex).export(ex.lab.home / "try.labkit")
    vm(ex).delete()
    with ex.elsewhere as elsewhere:
        elsewhere.import_machine(file)
    file.unlink()


@mistake("moving-house", Kind.WRONG_MEANS, says="in neither place", mends=False)
def deleted_before_it_was_packed(ex: Move) -> None:
    remove(vm(ex))
