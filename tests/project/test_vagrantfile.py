"""The Vagrantfile, as far as it can be judged without starting a machine."""

from __future__ import annotations

from pathlib import Path

from tests.project.files import ROOT, run


def environment_of_vagrant(folder: Path) -> dict[str, str]:
    return {
        "VAGRANT_HOME": str(folder / "home"),
        "VAGRANT_DOTFILE_PATH": str(folder / "state"),
        "VAGRANT_DEFAULT_PROVIDER": "libvirt",
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "LIBVIRT_DEFAULT_URI": "qemu:///system",  # Vagrant is called outside of the lab's environment
        "LC_ALL": "C.UTF-8",
    }


def test_vagrant_accepts_it_with_the_libvirt_provider(tmp_path: Path) -> None:
    done = run("vagrant", "validate", environment=environment_of_vagrant(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout


def test_settings_of_the_machine_come_from_the_environment(tmp_path: Path) -> None:
    environment = environment_of_vagrant(tmp_path) | {"LABKIT_VM_MEMORY": "plenty"}
    done = run("vagrant", "validate", environment=environment)
    assert done.returncode != 0
    assert "plenty" in done.stdout + done.stderr


def test_both_providers_pass_hardware_virtualization_on() -> None:
    text = (ROOT / "Vagrantfile").read_text(encoding="utf-8")
    assert 'machine.cpu_mode = "host-passthrough"' in text
    assert "machine.nested = true" in text
    assert '"--nested-hw-virt", "on"' in text


def test_jupyterlab_is_forwarded_to_the_loopback_alone() -> None:
    forwards = [
        line for line in (ROOT / "Vagrantfile").read_text(encoding="utf-8").splitlines() if "forwarded_port" in line
    ]
    assert len(forwards) == 1
    assert 'host_ip: "127.0.0.1"' in forwards[0]
