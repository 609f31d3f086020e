"""A second hypervisor instance beside the session's own: started, found, known as ours, ended."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from labkit import Lab
from labkit.doctor import examine
from labkit.engine.instances import Instances
from labkit.errors import BadInput, HostTrouble, Refused
from labkit.hypervisor.instances import find_instances
from labkit.model.diagnosis import Status
from tests.beside.workers import Worker
from tests.instance import Instance


def test_it_is_another_host_that_knows_no_machine_of_ours(lab: Lab) -> None:
    lab.create("web", image="sector", memory="16 MiB")
    other = lab.neighbour()
    assert other.host_id != lab.host_id
    assert list(other.machines) == []
    assert list(lab.machines) == ["web"]
    assert list(other.state.elsewhere) == ["web"]
    assert other.disks["web.vda"].facts.machine == "web"
    assert lab.neighbour() is other


def test_it_is_found_again_by_another_kernel(lab: Lab, labkit_process: Callable[[str], subprocess.Popen[str]]) -> None:
    other = lab.neighbour()
    code = f"from labkit import Lab; print(Lab.open({lab.name!r}).neighbour().host_id)"
    out, errors = labkit_process(code).communicate(timeout=150)
    assert out.strip() == other.host_id, errors


def test_a_killed_daemon_is_started_anew_as_the_same_host(lab: Lab) -> None:
    other = lab.neighbour()
    before = other.host_id
    (instance,) = find_instances(lab.home / "instances")
    pid = instance.daemon_pid()
    assert pid is not None
    daemon = psutil.Process(pid)
    daemon.kill()
    daemon.wait(60)
    assert other.host_id == before
    assert list(other.machines) == []


def test_a_machine_of_a_name_is_on_one_side_only(lab: Lab) -> None:
    lab.create("web", image="sector", memory="16 MiB")
    with pytest.raises(Refused, match="other side"):
        lab.neighbour().create("web", image="sector", memory="16 MiB")


def test_clean_ends_it_with_the_guests_on_it_and_leaves_nothing(lab: Lab, instance: Instance) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB").start()
    vm.snapshots.take("one")
    vm.migrate(lab.neighbour())
    assert len(instance.processes()) > 2
    runtime = Path(instance.environment["XDG_RUNTIME_DIR"])
    assert list(runtime.glob("n*"))
    lab.clean()
    assert list(runtime.glob("n?????")) == []
    assert list(runtime.glob("n?????r")) == []
    assert not (lab.home / "instances").exists()
    for folder in ("disks", "memory", "consoles", "journal"):
        assert list((lab.home / folder).iterdir()) == []
    assert not [process for process in instance.processes() if str(lab.home) in " ".join(process.cmdline())]


def test_one_that_cannot_start_is_told_and_the_lab_goes_on(lab: Lab) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB")
    vm.snapshots.take("one")
    vm.migrate(lab.neighbour())
    before = lab.state
    lab.create("other", image="sector", memory="16 MiB")
    broken = lab.session.executor.instances.instance("neighbour")
    pid = broken.daemon_pid()
    assert pid is not None
    (broken.folder / "uuid").write_text("no identity of a host\n")
    daemon = psutil.Process(pid)
    daemon.kill()
    psutil.wait_procs([daemon], timeout=60)
    with Lab.open(lab.name) as again:
        state = again.state
        assert "does not start" in state.unreachable["neighbour"]
        assert state.elsewhere["web"].spec == before.elsewhere["web"].spec
        assert state.elsewhere_snapshots == before.elsewhere_snapshots
        assert again.machines["other"].start().state == "running"
        disk = again.disks["web.vda"]
        for plan in (disk.resize.plan("2 MiB"), disk.delete.plan()):
            assert plan.refusal is not None
            assert "on the side neighbour of the lab, which does not answer" in plan.refusal.why
            assert "lab.clean()" in plan.refusal.hint
        with pytest.raises(HostTrouble, match="does not start"):
            again.neighbour()
        again.clean()
        assert not (again.home / "instances").exists()
        assert list((again.home / "disks").iterdir()) == []


def test_a_neighbour_that_another_kernel_ended_is_made_again_as_the_hint_says(lab: Lab) -> None:
    before = lab.neighbour()
    other = Worker(lab)
    other.tell("lab.clean()")
    assert other.answer().error == ""
    other.close()
    with pytest.raises(HostTrouble, match="was ended") as caught:
        list(before.machines)
    assert "lab.neighbour()" in caught.value.hint
    assert list(lab.neighbour().machines) == []
    lab.neighbour().create("there", image="sector", memory="16 MiB")
    assert list(lab.state.elsewhere) == ["there"]


def test_only_the_lab_itself_cleans_both_sides(lab: Lab) -> None:
    with pytest.raises(Refused, match="one side"):
        lab.neighbour().clean()


def test_a_kernel_that_dies_leaves_a_neighbour_that_clean_ends(
    lab: Lab, labkit_process: Callable[[str], subprocess.Popen[str]]
) -> None:
    code = f"""
import os
from labkit import Lab
lab = Lab.open({lab.name!r})
lab.create("web", image="sector", memory="16 MiB").start().migrate(lab.neighbour())
os._exit(9)
"""
    process = labkit_process(code)
    _out, errors = process.communicate(timeout=150)
    assert process.returncode == 9, errors
    assert list(lab.state.elsewhere) == ["web"]
    lab.clean()
    assert not (lab.home / "instances").exists()


def test_the_doctor_knows_it_and_its_guests_as_ours(lab: Lab) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB").start()
    vm.migrate(lab.neighbour())
    checks = {check.slug: check for check in examine(lab=lab).checks}
    assert checks["neighbours"].status is Status.OK
    assert lab.name in checks["neighbours"].what
    assert checks["leftover-processes"].status is Status.OK
    assert checks["leftover-machines"].status is Status.OK


def test_the_doctor_names_a_neighbour_whose_lab_is_gone(tmp_path: Path) -> None:
    gone = Lab.open("gone", home=tmp_path)
    gone.neighbour()
    (instance,) = find_instances(gone.home / "instances")
    hidden = tmp_path / "gone" / "lab.json"
    hidden.rename(tmp_path / "lab.json")
    try:
        check = next(check for check in examine(home=tmp_path).checks if check.slug == "neighbours")
        assert check.status is Status.NOTE
        assert str(instance.daemon_pid()) in check.repair
    finally:
        (tmp_path / "lab.json").rename(hidden)
        gone.clean()
        gone.close()


@pytest.mark.parametrize("name", ["", "../x", "a/b", 3])
def test_a_name_that_is_none_is_refused(lab: Lab, name: str) -> None:
    with pytest.raises(BadInput):
        lab.neighbour(name)
    assert not (lab.home / "instances").exists()


def test_several_neighbours_live_side_by_side(lab: Lab) -> None:
    vm = lab.create("web", image="sector", memory="16 MiB").start()
    one, two = lab.neighbour("one"), lab.neighbour("two")
    vm.migrate(one)
    vm.migrate(two)
    assert (list(lab.machines), list(one.machines), list(two.machines)) == ([], [], ["web"])
    instances: Instances = lab.session.executor.instances
    assert instances.names() == ["one", "two"]
    vm.migrate(lab)
    assert list(lab.machines) == ["web"]
