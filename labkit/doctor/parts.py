"""The parts that the lab needs: guest images, accelerator, libvirt and its daemon, QEMU, Python.

Knows: which versions and features the lab needs. Must not know: labs.
"""

from __future__ import annotations

import getpass
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from labkit.engine.host import choose_accelerator
from labkit.errors import BadInput, HostTrouble
from labkit.hypervisor.accelerator import DEVICE
from labkit.hypervisor.inquiry import OPEN_LIMIT, Inquiry
from labkit.language import _, ngettext
from labkit.model.architecture import X86_64
from labkit.model.diagnosis import Check, Status
from labkit.model.machine import Accelerator
from labkit.storage.formats import read_formats
from labkit.storage.guest_images import find_other_versions, read_course_list, read_guest_images

LEAST_LIBVIRT, LEAST_QEMU = (9, 0), (7, 2)
PYTHONS = ((3, 11), (3, 14))
"""The oldest and the newest Python that the lab is tested with."""

FORMATS = frozenset({"raw", "qcow2", "vdi", "vmdk", "vpc", "vhdx"})

_DAEMONS = ("virtqemud", "libvirtd")
_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin")


TRIED = Path(__file__).parents[2] / "images" / "versions.json"
"""The versions of Debian's packages that the course was tried with; only a checkout has it."""


def check_guest_images(images: Path, tried: Path = TRIED) -> Check:
    """Check whether the guest images are built, and of the same packages as everybody's."""
    wanted, there = read_course_list(images), read_guest_images(images)
    missing = [name for name in wanted if name not in there]
    if wanted and not missing and (others := find_other_versions(images, tried)):
        return Check(
            slug="guest-images",
            status=Status.NOTE,
            what=_(
                "Guest images of another point release of Debian than the course was tried with: {packages}."
            ).format(packages=", ".join(others)),
            cause=_(
                "Debian has renewed these packages between the two builds. Both work; but files are the same for a "
                "whole class only where one computer's images are taken by all: LABKIT_IMAGES_FROM, see README.md."
            ),
        )
    if wanted and not missing:
        return Check(
            slug="guest-images",
            status=Status.OK,
            what=_("The guest images are built: {names}.").format(names=", ".join(wanted)),
        )
    return Check(
        slug="guest-images",
        status=Status.TROUBLE,
        what=ngettext(
            "A guest image is missing in {folder}: {names}.",
            "Guest images are missing in {folder}: {names}.",
            len(missing),
        ).format(folder=images, names=", ".join(missing))
        if wanted
        else _("No guest images have been built in {folder}.").format(folder=images),
        cause=ngettext(
            "It was not built yet, or files of it were removed.",
            "They were not built yet, or files of theirs were removed.",
            len(missing) if wanted else 2,
        ),
        repair="./lab setup",
    )


def check_accelerator(images: Path) -> Check:
    """Say who runs the guests' instructions; a translator is a note, not a trouble."""
    slug = "accelerator"
    try:
        facts = choose_accelerator(images)
    except BadInput as error:
        return Check(
            slug=slug,
            status=Status.TROUBLE,
            what=error.message,
            cause=_("It was set by hand."),
            repair="unset LABKIT_ACCEL",
        )
    if facts.accelerator is Accelerator.KVM:
        return Check(slug=slug, status=Status.OK, what=_("The CPU itself runs the guests (KVM)."), cause=facts.why)
    forbidden = DEVICE.exists() and not os.access(DEVICE, os.R_OK | os.W_OK)
    return Check(
        slug=slug,
        status=Status.NOTE,
        what=_("A translator runs the guests (TCG): everything works, more slowly."),
        cause=facts.why,
        repair=f"sudo usermod --append --groups kvm {shlex.quote(getpass.getuser())}" if forbidden else "",
    )


def check_daemon(inquiry: Inquiry) -> Check:
    """Check whether the hypervisor's daemon is installed and answers."""
    slug, status = "daemon", Status.TROUBLE
    if inquiry.reached:
        what = _("The daemon of {uri} answers (process {pid}).").format(uri=inquiry.uri, pid=inquiry.pid)
        return Check(slug=slug, status=Status.OK, what=what)
    if not inquiry.binding:
        return Check(
            slug=slug,
            status=status,
            what=_("Python cannot speak to libvirt: {words}").format(words=inquiry.words),
            cause=_("The Python environment is not complete."),
            repair="./lab setup",
        )
    if find_daemon_program() is None:
        return Check(
            slug=slug,
            status=status,
            what=_("libvirt's daemon is not installed."),
            cause=_("Neither {programs} was found.").format(programs=", ".join(_DAEMONS)),
            repair="sudo apt-get install libvirt-daemon libvirt-daemon-driver-qemu",
        )
    if os.geteuid() == 0:
        return Check(
            slug=slug,
            status=Status.NOTE,
            what=_("The daemon was not asked."),
            cause=_("As root there is no session hypervisor."),
            repair="./lab doctor",
        )
    if inquiry.words:
        return Check(
            slug=slug,
            status=status,
            what=_("The hypervisor {uri} cannot be opened.").format(uri=inquiry.uri),
            cause=inquiry.words,
            repair=f"virsh -c {shlex.quote(inquiry.uri)} list --all",
        )
    return Check(
        slug=slug,
        status=status,
        what=_("The daemon of {uri} did not answer within {seconds:g} s.").format(uri=inquiry.uri, seconds=OPEN_LIMIT),
        cause=_("It hangs. Guests go on without it, and it is started again when it is needed."),
        repair=f"kill -KILL {inquiry.pid}" if inquiry.pid else "./lab doctor",
    )


def find_daemon_program() -> str | None:
    """Return the daemon's program, or None; like libvirt, look beyond PATH and obey LIBVIRTD_PATH."""
    said = os.environ.get("LIBVIRTD_PATH")
    if said is not None:
        return said if os.access(said, os.X_OK) else None
    places = os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM_FOLDERS])
    return next((found for name in _DAEMONS if (found := shutil.which(name, path=places))), None)


def check_versions(inquiry: Inquiry) -> Check:
    """Check whether libvirt, QEMU and Python are new enough."""
    libvirt = inquiry.capabilities.daemon if inquiry.capabilities else ""
    qemu = read_qemu_version()
    python = ".".join(map(str, sys.version_info[:3]))
    what = _("libvirt {libvirt}, QEMU {qemu}, Python {python}.").format(
        libvirt=libvirt or _("not asked"), qemu=qemu or _("not there"), python=python
    )
    slug, apt = "versions", "sudo apt-get install --only-upgrade"
    if not qemu:
        repair = f"sudo apt-get install {X86_64.package} qemu-utils"
        return Check(
            slug=slug,
            status=Status.TROUBLE,
            what=what,
            cause=_("{program} is not there or does not run.").format(program=X86_64.emulator),
            repair=repair,
        )
    if _numbers(qemu) < LEAST_QEMU:
        cause = _("QEMU {least} or newer is needed.").format(least=".".join(map(str, LEAST_QEMU)))
        return Check(slug=slug, status=Status.TROUBLE, what=what, cause=cause, repair=f"{apt} {X86_64.package}")
    if libvirt and _numbers(libvirt) < LEAST_LIBVIRT:
        cause = _("libvirt {least} or newer is needed.").format(least=".".join(map(str, LEAST_LIBVIRT)))
        return Check(slug=slug, status=Status.TROUBLE, what=what, cause=cause, repair=f"{apt} libvirt-daemon")
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        cause = _("The lab is tested with Python 3.11 to 3.14.")
        return Check(slug=slug, status=Status.NOTE, what=what, cause=cause, repair="./lab setup")
    return Check(slug=slug, status=Status.OK, what=what)


def check_capabilities(inquiry: Inquiry) -> Check | None:
    """Check whether the hypervisor offers our machine type, and qemu-img our formats; None if it was not asked."""
    slug = "capabilities"
    try:
        missing = sorted(FORMATS - read_formats())
    except HostTrouble as error:
        cause = _("The package qemu-utils is missing.")
        repair = "sudo apt-get install qemu-utils"
        return Check(slug=slug, status=Status.TROUBLE, what=error.message, cause=cause, repair=repair)
    if missing:
        return Check(
            slug=slug,
            status=Status.TROUBLE,
            what=_("qemu-img does not know these formats: {names}.").format(names=", ".join(missing)),
            cause=_("This QEMU was built without them."),
            repair="sudo apt-get install qemu-utils",
        )
    capabilities = inquiry.capabilities
    if capabilities is None and not inquiry.reached:
        return None
    if capabilities is None:
        return Check(
            slug=slug,
            status=Status.NOTE,
            what=_("The hypervisor did not tell what it offers."),
            cause=inquiry.words or _("The first time it asks QEMU, which takes a while."),
            repair="./lab doctor",
        )
    if X86_64.machine_type not in capabilities.machine_types:
        return Check(
            slug=slug,
            status=Status.TROUBLE,
            what=_("The hypervisor offers no machine type {name}.").format(name=X86_64.machine_type),
            cause=_("QEMU for {kind} is missing, or libvirt keeps old knowledge of it.").format(kind=X86_64.title),
            repair=f"sudo apt-get install {X86_64.package}",
        )
    reverts = (
        _("libvirt goes back to external snapshots itself.")
        if capabilities.reverts_external_snapshots
        else _("libvirt does not go back to external snapshots itself; labkit does.")
    )
    what = _("Machine type {name} and all image formats are there.").format(name=X86_64.machine_type)
    return Check(slug=slug, status=Status.OK, what=what, cause=reverts)


def read_qemu_version() -> str:
    """Return the version of the QEMU in PATH, or ""."""
    try:
        done = subprocess.run([X86_64.emulator, "--version"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r"version (\d+(?:\.\d+)+)", done.stdout)
    return match[1] if match else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])
