"""The doctor in whole and in broken places: real daemons, real guests' processes, real locks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from labkit.doctor.parts import check_guest_images
from labkit.engine.journal import Record, dump_plan
from labkit.engine.locks import MachineLocks
from labkit.engine.workspace import open_workspace
from labkit.hypervisor.domain_xml import build_domain_xml
from labkit.hypervisor.inquiry import OPEN_LIMIT
from labkit.hypervisor.sockets import place_sockets
from labkit.model.diagnosis import Check, Diagnosis, Status
from labkit.model.image import Format
from labkit.model.machine import Accelerator, Boot, DiskSpec, MachineSpec
from labkit.plans.plan import Plan
from tests.host.conftest import Place

NO_DAEMON = {"LIBVIRTD_PATH": "/nonexistent/libvirtd"}

SLUGS = [
    "user",
    "runtime-folder",
    "variables",
    "settings-files",
    "limits",
    "socket-length",
    "disk-space",
    "memory",
    "guest-images",
    "accelerator",
    "daemon",
    "versions",
    "capabilities",
    "configuration",
    "labs",
    "leftover-machines",
    "leftover-processes",
    "losses",
    "seals",
    "kept-guests",
    "orphans",
    "neighbours",
    "leftover-sockets",
    "unfinished-acts",
]


def repair(place: Place, check: dict[str, str]) -> None:
    """Do what the check says; we are inside ./lab's environment already."""
    words = shlex.split(check["repair"])
    done = place.run(*(words[2:] if words[:2] == ["./lab", "run"] else words))
    assert done.returncode == 0, done.stderr


# --- a whole place -------------------------------------------------------------------------------


def test_a_whole_place_is_well(place: Place) -> None:
    found = place.doctor()
    assert list(found["checks"]) == SLUGS
    assert found["well"] is True
    assert found["exit"] == 0
    assert found["checks"]["accelerator"]["status"] in ("ok", "note")


def test_the_form_of_the_json_is_fixed(place: Place) -> None:
    found = place.doctor()
    assert set(found) - {"exit"} == {"format", "well", "checks"}
    assert found["format"] == 1
    for check in found["checks"].values():
        assert list(check) == ["slug", "status", "what", "cause", "repair"]
        assert check["status"] in ("ok", "note", "trouble")


def test_every_trouble_has_a_cause_and_one_command(place: Place, tmp_path: Path) -> None:
    broken = place.doctor(
        XDG_RUNTIME_DIR="", LABKIT_DATA=str(tmp_path), PATH="/usr/sbin", LABKIT_ACCEL="xen", **NO_DAEMON
    )
    troubles = [check for check in broken["checks"].values() if check["status"] == "trouble"]
    assert len(troubles) >= 5
    for check in troubles:
        assert check["cause"]
        assert check["repair"]
        assert "\n" not in check["repair"]


def test_the_text_says_the_same_and_ends_with_a_verdict(place: Place) -> None:
    code = "from labkit.doctor import run_doctor; raise SystemExit(run_doctor())"
    done = place.run(sys.executable, "-c", code, XDG_RUNTIME_DIR="", **NO_DAEMON)
    assert done.returncode == 1
    assert "✗ runtime-folder: XDG_RUNTIME_DIR is not set." in done.stdout
    assert "repair: ./lab doctor" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("In the way of the lab: runtime-folder")


def test_a_diagnosis_is_read_by_name() -> None:
    diagnosis = Diagnosis(checks=(Check(slug="memory", status=Status.NOTE, what="Little."),))
    assert diagnosis["memory"].what == "Little."
    assert diagnosis.is_well
    with pytest.raises(KeyError):
        diagnosis["nothing"]


# --- broken places -------------------------------------------------------------------------------


def test_a_runtime_folder_open_to_others_is_trouble(place: Place, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    check = place.doctor(XDG_RUNTIME_DIR=str(tmp_path), **NO_DAEMON)["checks"]["runtime-folder"]
    assert check["status"] == "trouble"
    assert "755" in check["what"]
    repair(place, check)
    check = place.doctor(XDG_RUNTIME_DIR=str(tmp_path), **NO_DAEMON)["checks"]["runtime-folder"]
    assert check["status"] == "ok"


def test_a_runtime_folder_that_is_gone_is_trouble(place: Place, tmp_path: Path) -> None:
    check = place.doctor(XDG_RUNTIME_DIR=str(tmp_path / "none"), **NO_DAEMON)["checks"]["runtime-folder"]
    assert check["status"] == "trouble"
    assert check["repair"].startswith("export XDG_RUNTIME_DIR=")


def test_a_runtime_folder_of_somebody_else_is_trouble(place: Place) -> None:
    check = place.doctor(XDG_RUNTIME_DIR="/var/lib/apt/lists/partial", **NO_DAEMON)["checks"]["runtime-folder"]
    assert check["status"] == "trouble"
    assert "another user" in check["what"]


def test_a_runtime_folder_with_a_name_too_long_for_sockets_is_trouble(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20)
    folder.mkdir(mode=0o700)
    check = place.doctor(XDG_RUNTIME_DIR=str(folder), **NO_DAEMON)["checks"]["socket-length"]
    assert check["status"] == "trouble"
    assert str(folder) in check["cause"]
    assert check["repair"].startswith("export XDG_RUNTIME_DIR=")


def test_a_long_configuration_folder_gets_a_short_name_and_no_machine_is_hidden(place: Place) -> None:
    """What counts is what the daemon was told: its machines are there before and after, and can start then."""
    runtime, config = place.folder / "r2", place.folder / ("long" * 12)
    for folder in (runtime, config):
        folder.mkdir(mode=0o700)
    changes = {"XDG_RUNTIME_DIR": str(runtime), "XDG_CONFIG_HOME": str(config)}
    virsh = "virsh -q -c qemu:///session"
    domain = (
        "<domain type='qemu'><name>kept-with-a-long-name</name><memory>16384</memory><os><type>hvm</type></os></domain>"
    )
    assert (
        place.run(
            "sh", "-c", f'echo "{domain}" >"$HOME/kept.xml"; {virsh} define "$HOME/kept.xml"', **changes
        ).returncode
        == 0
    )
    refused = place.run("sh", "-c", f"{virsh} start kept-with-a-long-name", **changes)
    assert "too long" in refused.stderr

    check = place.doctor(**changes)["checks"]["socket-length"]
    assert (check["status"], str(config) in check["cause"]) == ("trouble", True)
    other = place.doctor(**(changes | {"XDG_CONFIG_HOME": str(place.config)}))["checks"]["socket-length"]
    assert (other["status"], other["repair"].startswith("kill ")) == ("trouble", True)
    lines = [check["repair"], f"{virsh} list --all --name", f"{virsh} start kept-with-a-long-name"]
    try:
        done = place.run("bash", "-ec", "\n".join((*lines, 'echo "$XDG_CONFIG_HOME"')), **changes)
        assert done.returncode == 0, done.stderr
        assert "kept-with-a-long-name" in done.stdout
        short = done.stdout.split()[-1]
        after = place.doctor(**(changes | {"XDG_CONFIG_HOME": short}))["checks"]["socket-length"]
        assert after["status"] == "ok"
    finally:
        place.run("sh", "-c", f"{virsh} destroy kept-with-a-long-name", **changes)


def test_a_missing_daemon_is_trouble_with_the_packages_named(place: Place, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    found = place.doctor(XDG_RUNTIME_DIR=str(tmp_path), **NO_DAEMON)
    assert found["exit"] == 1
    assert found["checks"]["daemon"]["status"] == "trouble"
    assert "apt-get install libvirt-daemon" in found["checks"]["daemon"]["repair"]
    assert "leftover-machines" not in found["checks"]


def test_missing_programs_are_trouble(place: Place, tmp_path: Path) -> None:
    found = place.doctor(PATH=str(tmp_path))["checks"]
    assert "apt-get install qemu-system-x86" in found["versions"]["repair"]
    assert "apt-get install qemu-utils" in found["capabilities"]["repair"]
    assert found["accelerator"]["status"] == "note"


def test_guest_images_that_are_not_built_are_trouble(place: Place, tmp_path: Path) -> None:
    check = place.doctor(LABKIT_DATA=str(tmp_path), **NO_DAEMON)["checks"]["guest-images"]
    assert check["status"] == "trouble"
    assert check["repair"] == "./lab setup"


def test_guest_images_of_another_point_release_are_a_note(guest_images: Path, tmp_path: Path) -> None:
    images, tried = tmp_path / "images", tmp_path / "versions.json"
    images.mkdir()
    (images / "course.list").write_text("sector\ntiny\n")
    (images / "blobs").symlink_to(guest_images / "blobs")
    packages = {}
    for name in ("sector", "tiny"):
        packages[name] = json.loads(Path(shutil.copy(guest_images / f"{name}.json", images)).read_text())["packages"]
    tried.write_text(json.dumps(packages))
    assert check_guest_images(images, tried).status is Status.OK
    assert check_guest_images(images, tmp_path / "none").status is Status.OK
    older = {**packages, "tiny": {**packages["tiny"], "libc6": "2.36-9"}}
    tried.write_text(json.dumps(older))
    check = check_guest_images(images, tried)
    assert check.status is Status.NOTE
    assert f": libc6 {packages['tiny']['libc6']}." in check.what
    assert "LABKIT_IMAGES_FROM" in check.cause


def test_the_course_says_which_guest_images_it_needs(place: Place, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "course.list").write_text("tiny\nabacus\n")
    check = place.doctor(LABKIT_DATA=str(tmp_path), **NO_DAEMON)["checks"]["guest-images"]
    assert check["status"] == "trouble"
    assert check["what"].endswith("abacus, tiny.")


def test_a_python_without_libvirt_is_trouble_and_no_crash(place: Place, tmp_path: Path) -> None:
    (tmp_path / "libvirt.py").write_text("raise ImportError('libvirt.so.0: cannot open shared object file')\n")
    check = place.doctor(PYTHONPATH=str(tmp_path))["checks"]["daemon"]
    assert check["status"] == "trouble"
    assert "libvirt.so.0" in check["what"]
    assert check["repair"] == "./lab setup"


def test_a_daemon_that_hangs_is_told_within_its_limit(place: Place) -> None:
    daemon = psutil.Process(int((place.runtime / "libvirt/libvirtd.pid").read_text()))
    daemon.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        check = place.doctor()["checks"]["daemon"]
        assert time.monotonic() - began < OPEN_LIMIT + 20
    finally:
        daemon.send_signal(signal.SIGCONT)
    assert check["status"] == "trouble"
    assert check["repair"] == f"kill -KILL {daemon.pid}"


# --- leftovers -----------------------------------------------------------------------------------


@pytest.fixture
def lost_machine(place: Place) -> Iterator[str]:
    """Give the name of a machine of ours whose lab's folder is gone."""
    name, folder = "lost", place.labs / "gone"
    spec = MachineSpec(
        name=name,
        lab="default",
        lab_id=str(uuid.uuid4()),
        id=str(uuid.uuid4()),
        memory=32 << 20,
        vcpus=1,
        image="sector",
        boot=Boot(),
        disks=(DiskSpec(name="lost.vda", target="vda", path=str(folder / "disks/lost.vda.0.raw"), format=Format.RAW),),
        accelerator=Accelerator.TCG,
        agent=False,
    )
    definition = place.folder / "lost.xml"
    definition.write_text(build_domain_xml(spec))
    done = place.run("virsh", "-c", "qemu:///session", "define", str(definition))
    assert done.returncode == 0, done.stderr
    yield name
    place.run("virsh", "-c", "qemu:///session", "undefine", name)


def test_a_machine_whose_lab_is_gone_is_found_and_forgotten(place: Place, lost_machine: str) -> None:
    check = place.doctor()["checks"]["leftover-machines"]
    assert check["status"] == "note"
    assert lost_machine in check["what"]
    repair(place, check)
    assert place.doctor()["checks"]["leftover-machines"]["status"] == "ok"


def test_a_lab_that_may_have_been_moved_is_named_its_command_first_and_saved_memory_stays(
    place: Place, lost_machine: str
) -> None:
    virsh = ("virsh", "-c", "qemu:///session")
    folder = place.labs / "gone"
    (folder / "disks").mkdir(parents=True)
    (folder / "disks/lost.vda.0.raw").write_bytes(bytes(1 << 20))
    for verb in ("start", "managedsave"):
        done = place.run(*virsh, verb, lost_machine)
        assert done.returncode == 0, done.stderr
    folder.rename(place.folder / "carried")
    try:
        check = place.doctor()["checks"]["leftover-machines"]
        assert "./lab run labkit lab move gone --home FOLDER" in check["cause"]
        assert str(folder) in check["cause"]
        place.run(*shlex.split(check["repair"])[2:])
        known = place.run(*virsh, "list", "--all", "--with-managed-save", "--name")
        assert known.stdout.split() == [lost_machine], "its memory is nowhere else"
    finally:
        place.run(*virsh, "managedsave-remove", lost_machine)
        shutil.rmtree(place.folder / "carried")


def test_a_machine_of_a_lab_elsewhere_is_left_alone(place: Place, lost_machine: str) -> None:
    folder = place.labs / "gone"
    folder.mkdir()
    try:
        assert lost_machine
        assert place.doctor()["checks"]["leftover-machines"]["status"] == "ok"
    finally:
        folder.rmdir()


def test_a_guest_that_no_machine_owns_is_found_and_ended(place: Place) -> None:
    disk = place.labs / "some.raw"
    disk.write_bytes(bytes(1 << 20))
    argv = ["qemu-system-x86_64", "-accel", "tcg", "-nodefaults", "-display", "none", "-S"]
    argv += ["-uuid", str(uuid.uuid4()), "-drive", f"file={disk},format=raw,if=virtio"]
    process = subprocess.Popen(argv, env=place.env)
    try:
        check = place.doctor()["checks"]["leftover-processes"]
        assert check["status"] == "note"
        assert str(process.pid) in check["what"]
        repair(place, check)
        assert process.wait(60) is not None
        assert place.doctor()["checks"]["leftover-processes"]["status"] == "ok"
    finally:
        process.kill()
        process.wait()
        disk.unlink()


def test_a_socket_that_nobody_listens_on_is_found_and_removed(place: Place) -> None:
    path = place.config / "libvirt/qemu/channel/target/domain-1-lost/org.qemu.guest_agent.0"
    path.parent.mkdir(parents=True)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))
        server.listen()
        assert place.doctor()["checks"]["leftover-sockets"]["status"] == "ok"
    check = place.doctor()["checks"]["leftover-sockets"]
    assert check["status"] == "note"
    repair(place, check)
    assert not path.exists()
    path.parent.rmdir()


def test_an_act_cut_short_is_told_apart_from_one_at_work(place: Place) -> None:
    workspace = open_workspace("cut", place.labs)
    plan = Plan(act="create", subject="web", home=str(workspace.home), names=("web",), basis="")
    Record(workspace.journal, plan)
    try:
        with MachineLocks(workspace.locks, ["web"]):
            assert place.doctor()["checks"]["unfinished-acts"]["status"] == "ok"
        check = place.doctor()["checks"]["unfinished-acts"]
        assert check["status"] == "note"
        assert "cut" in check["what"]
        repair(place, check)
        assert place.doctor()["checks"]["unfinished-acts"]["status"] == "ok"
    finally:
        shutil.rmtree(workspace.home)


def test_an_act_that_another_computer_wrote_is_told_apart_and_shown(place: Place) -> None:
    workspace = open_workspace("carried", place.labs)
    plan = Plan(act="create", subject="web", home=str(workspace.home), names=("web",), basis="")
    path = workspace.journal / "0.jsonl"
    path.write_text(f"{'0' * 64} {dump_plan(plan)}\n")
    try:
        check = place.doctor()["checks"]["unfinished-acts"]
        assert check["status"] == "note"
        assert "did not write" in check["what"]
        assert "carried" in check["what"]
        assert check["repair"].endswith("./lab run labkit lab restore carried --journal")
        assert path.exists()
    finally:
        shutil.rmtree(workspace.home)


def test_the_computed_socket_is_the_longest_that_libvirt_makes(place: Place) -> None:
    """A real guest with a name of 60 letters, started by libvirt."""
    name = "n" * 60
    disk = place.folder / "long.raw"
    disk.write_bytes(bytes(1 << 20))
    spec = MachineSpec(
        name=name,
        lab="default",
        lab_id=str(uuid.uuid4()),
        id=str(uuid.uuid4()),
        memory=32 << 20,
        vcpus=1,
        image="sector",
        boot=Boot(),
        disks=(DiskSpec(name="long.vda", target="vda", path=str(disk), format=Format.RAW),),
        accelerator=Accelerator.TCG,
        agent=True,
    )
    definition = place.folder / "long.xml"
    definition.write_text(place_sockets(build_domain_xml(spec), place.runtime))
    virsh = ("virsh", "-c", "qemu:///session")
    assert place.run(*virsh, "define", str(definition)).returncode == 0
    try:
        started = place.run(*virsh, "start", name)
        assert started.returncode == 0, started.stderr
        told = place.doctor()["checks"]["socket-length"]["what"]
        computed = int(re.findall(r"\d+", told)[0])
        sockets = [path for path in place.folder.rglob("*") if path.is_socket()]
        longest = max(len(os.fsencode(path)) for path in sockets)
        assert longest <= computed <= longest + len("9999")
    finally:
        place.run(*virsh, "destroy", name)
        place.run(*virsh, "undefine", name)
        disk.unlink()


@pytest.mark.parametrize("language", ["es"])
def test_the_doctor_works_in_every_language(language: str, place: Place) -> None:
    found = place.doctor(LABKIT_LANGUAGE=language)
    assert list(found["checks"]) == SLUGS
