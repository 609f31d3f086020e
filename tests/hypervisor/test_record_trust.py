"""A definition that came with a folder is judged by what libvirt would do with it, not by how it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.hypervisor.record_trust import are_known, find_strange_things, why_not_trust_snapshot

ALLOWED = {
    "a disk of the lab": "<devices><disk><source file='{home}/disks/web.vda.0.qcow2'/></disk></devices>",
    "a kernel from elsewhere": "<os><kernel>/srv/elsewhere/kernel</kernel><initrd>/srv/elsewhere/initrd</initrd></os>",
    "numbers drawn by the host": "<devices><rng><backend model='random'>/dev/urandom</backend></rng></devices>",
    "a terminal of its own": "<devices><console type='pty' tty='/dev/pts/7'/></devices>",
    "a network of the guest's": "<devices><interface type='bridge'><source dev='br0'/></interface></devices>",
    "what libvirt chooses": "<devices><serial type='file'><source path='/etc/passwd'/></serial></devices>",
    "words": "<description>/etc/passwd</description><metadata><a>/etc/passwd<b/>/etc/passwd</a></metadata>",
}

STRANGE = {
    "a disk that is called a kernel too": (
        "<os><kernel>/etc/passwd</kernel></os><devices><disk><source file='/etc/passwd'/></disk></devices>"
    ),
    "beside the terminals": "<devices><disk><source dev='/dev/pts/../sda'/></disk></devices>",
    "a name that begins as a device": "<devices><disk><source file='/dev/random.img'/></disk></devices>",
    "a link out of the lab": "<devices><disk><source file='{home}/disks/link'/></disk></devices>",
    "below a link out of the lab": "<devices><disk><source file='{home}/folder/x'/></disk></devices>",
    "from the folder where the daemon stands": "<devices><disk><source file='etc/passwd'/></disk></devices>",
    "a log from there": "<devices><serial><log file='etc/passwd'/></serial></devices>",
    "firmware from there": "<os><nvram>etc/passwd</nvram></os>",
    "a volume of a pool": "<devices><disk type='volume'><source pool='default' volume='x'/></disk></devices>",
    "a text in pieces": "<os><nvram>{home}/x<!-- -->/../../etc/passwd</nvram></os>",
    "a text behind a remark": "<os><nvram><!-- -->/etc/passwd</nvram></os>",
    "a text behind another element": "<os><nvram><b/>/etc/passwd</nvram></os>",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A lab's folder in which two links lead elsewhere."""
    home = tmp_path / "labs" / "web"
    (home / "disks").mkdir(parents=True)
    (home / "disks" / "link").symlink_to("/etc/passwd")
    (home / "folder").symlink_to("/etc")
    return home


@pytest.mark.parametrize("kind", ALLOWED)
def test_what_the_lab_needs_is_not_strange(home: Path, kind: str) -> None:
    assert find_strange_things(f"<domain>{ALLOWED[kind].format(home=home)}</domain>", str(home)) == frozenset()


@pytest.mark.parametrize("kind", STRANGE)
def test_whatever_leads_out_of_the_lab_is_strange(home: Path, kind: str) -> None:
    text = STRANGE[kind].format(home=home)
    assert find_strange_things(f"<domain>{text}</domain>", str(home))
    assert why_not_trust_snapshot(f"<domainsnapshot><domain>{text}</domain></domainsnapshot>", str(home), "/images")


def test_an_entity_is_no_word_of_libvirts(home: Path) -> None:
    text = "<!DOCTYPE domain [<!ENTITY x '/etc/passwd'>]><domain><os><nvram>&x;</nvram></os></domain>"
    assert find_strange_things(text, str(home))


def test_the_emulator_of_a_memory_file_is_known_where_libvirts_own_definition_has_it(home: Path) -> None:
    text = "<domain><devices><emulator>{}</emulator></devices></domain>"
    things = find_strange_things(text.format("/usr/bin/qemu"), str(home))
    assert things == {"/usr/bin/qemu"}
    assert are_known(things, text.format("/usr/bin/qemu"), str(home))
    assert not are_known(things, text.format("/usr/bin/other"), str(home))
    assert find_strange_things(text.format(f"{home}/emulator"), str(home))


def test_a_lab_whose_own_folder_is_reached_through_a_link_keeps_its_files(home: Path, tmp_path: Path) -> None:
    (tmp_path / "usual").symlink_to(home)
    text = f"<domain><devices><disk><source file='{tmp_path}/usual/disks/web.vda.0.qcow2'/></disk></devices></domain>"
    assert find_strange_things(text, f"{tmp_path}/usual") == frozenset()


def test_guest_images_may_be_links(tmp_path: Path, home: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "kernel").symlink_to("/etc/passwd")
    text = f"<domainsnapshot><domain><os><kernel>{tmp_path}/images/kernel</kernel></os></domain></domainsnapshot>"
    assert not why_not_trust_snapshot(text, str(home), str(tmp_path / "images"))
    assert why_not_trust_snapshot(text.replace("kernel<", "../x<"), str(home), str(tmp_path / "images"))
