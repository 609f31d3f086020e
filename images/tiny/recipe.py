"""The recipe of `tiny`: Debian's kernel, busybox, e2fsprogs and guest agent, and a handful of scripts.

Knows what goes into the image. The scripts under `start/` (initramfs) and `root/` (disk) know how it runs.
"""

from __future__ import annotations

import re
from pathlib import Path

from builder import architecture
from builder.archive import open_archive
from builder.kernel import load_order, unpack_kernel
from builder.packages import Packages, unpack
from builder.store import Manifest, Store
from builder.tools import BuildError, run, say
from builder.tree import Ext4Tools, Tree, cpio, ext4

HERE = Path(__file__).resolve().parent
MIB = 1 << 20
CAPACITY = 64 * MIB
UUID = "6c61626b-6974-4000-8000-74696e790001"

PACKAGES = (f"linux-image-cloud-{architecture.DEBIAN}", "busybox-static", "e2fsprogs", "qemu-guest-agent")
#: Of a dependency only libraries and the kernel itself are of use here. Which of the packages with the kernel's
#: version in their name holds the kernel differs from release to release; some are empty.
FOLLOW = re.compile(r"lib.*|linux-\w+-\d.*")

#: Needed to reach the disk and the agent's channel: in the initramfs, loaded in this order.
FIRST_MODULES = ("virtio_pci", "virtio_console", "virtio_blk", "button", "evdev")
#: On the disk, by the name of their folder, loaded when the agent is up and the device is there.
LATER_MODULES = {
    **{name: (name,) for name in ("virtio_balloon", "virtio_rng", "virtio_net", "pvpanic_mmio", "pvpanic_pci")},
    "ide": ("ata_piix", "sd_mod"),
}

#: Programs beside busybox; busybox has no `mke2fs` for ext4 and no `resize2fs`.
PROGRAMS = ("sbin/mke2fs", "sbin/e2fsck", "sbin/resize2fs", "usr/sbin/qemu-ga")
#: Other names of programs; these go before busybox's of the same name.
ALIASES = {
    "mkfs.ext4": "mke2fs",
    "fsck.ext4": "e2fsck",
    "poweroff": "shutdown",
    "reboot": "shutdown",
    "halt": "shutdown",
}
#: One folder of programs under the usual names.
LINKS = {
    "sbin": "bin",
    "usr/bin": "../bin",
    "usr/sbin": "../bin",
    "lib64": "lib",
    "var/run": "../run",
    "etc/mtab": "/proc/self/mounts",
}
#: `quiet`: a serial line is slow. `panic=0`: stay in a panic. The rest saves time under emulation: no self-tests of the
#: cryptography that nothing here uses, no rewriting of locked instructions for a single processor.
COMMAND_LINE = f"console={architecture.CONSOLE} quiet panic=0 cryptomgr.notests noreplace-smp"
#: What a login shell begins its line with, as in `root/etc/profile`.
PROMPT = "root@"


def build(store: Store, scratch: Path) -> Manifest:
    """Build the image; return its part of the manifest.

    Raises:
        BuildError: a package, a tool or space is missing.
    """
    archive = open_archive(store.folder / "packages")
    packages = unpack(archive.fetch(archive.closure(PACKAGES, follow=FOLLOW)), root=scratch / "packages")
    release = modules_of(packages)
    say("  unpacking Linux {release}", release=release.name)
    packed = scratch / "vmlinuz"
    packed.write_bytes(kernel_of(packages, release).read_bytes())
    kernel = scratch / "vmlinux"
    kernel.write_bytes(unpack_kernel(packed.read_bytes()))
    say("  writing the initramfs")
    initramfs = scratch / "initramfs"
    initramfs.write_bytes(cpio(start(packages, release).entries))
    say("  writing the disk")
    raw, disk = scratch / "disk.raw", scratch / "disk.qcow2"
    system = root(packages, release)
    system.file("bin/reseed", assemble(HERE / "reseed.S", scratch), 0o755)
    tools = Ext4Tools(mke2fs=packages.program("sbin/mke2fs"), debugfs=packages.program("sbin/debugfs"))
    ext4(system.entries, raw, capacity=CAPACITY, label="tiny", uuid=UUID, scratch=scratch / "files", tools=tools)
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, disk])
    return {
        "boot": "kernel",
        "kernel": store.keep("vmlinux", kernel),
        "kernel_packed": store.keep("vmlinuz", packed),
        "initramfs": store.keep("initramfs", initramfs),
        "command_line": COMMAND_LINE,
        "disk": {"file": store.keep("disk.qcow2", disk), "format": "qcow2", "capacity": CAPACITY},
        "minimum_memory": 96 * MIB,
        "agent": True,
        "prompt": PROMPT,
        "message": None,
        "packages": packages.versions,
    }


def assemble(source: Path, scratch: Path) -> bytes:
    """Return the program that a file of assembly makes."""
    object_file, program = scratch / f"{source.stem}.o", scratch / source.stem
    run([*architecture.ASSEMBLE, "-o", object_file, source])
    run([*architecture.LINK, "-static", "-s", "-o", program, object_file])
    return program.read_bytes()


def modules_of(packages: Packages) -> Path:
    """Return `lib/modules/RELEASE` of the one kernel among the packages."""
    for folder in ("lib/modules", "usr/lib/modules"):
        for release in sorted((packages.root / folder).glob("*")):
            return release
    raise BuildError("The kernel's package holds no modules.")


def kernel_of(packages: Packages, release: Path) -> Path:
    """Return the packed kernel that belongs to the modules: Debian keeps it in `/boot`, or, since 2026, beside them."""
    beside = release / "vmlinuz"
    return beside if beside.is_file() else packages.find(f"boot/vmlinuz-{release.name}")


def start(packages: Packages, release: Path) -> Tree:
    """Return the initramfs: a shell, the first modules, and the script that finds the disk."""
    tree = Tree()
    for folder in ("dev", "proc", "sys", "disk"):
        tree.folder(folder)
    tree.file("bin/busybox", packages.find("bin/busybox").read_bytes(), 0o755)
    tree.link("bin/sh", "busybox")
    for number, (name, module) in enumerate(load_order(release, FIRST_MODULES).items()):
        tree.file(f"modules/{number:02}-{name}.ko", module)
    tree.copy(HERE / "start")
    return tree


def root(packages: Packages, release: Path) -> Tree:
    """Return the file system of the disk."""
    tree = Tree()
    for folder in ("dev", "proc", "sys", "run", "mnt", "root", "usr", "var"):
        tree.folder(folder)
    tree.folder("tmp", 0o1777)
    for path, target in LINKS.items():
        tree.link(path, target)
    programs = [packages.find(path) for path in PROGRAMS]
    for program in programs:
        tree.file(f"bin/{program.name}", program.read_bytes(), 0o755)
    for name, library in packages.libraries(programs).items():
        loader = name.startswith("ld-linux")
        tree.file(f"lib/{name}" if loader else f"lib/{architecture.TRIPLET}/{name}", library.read_bytes(), 0o755)
    for name, target in ALIASES.items():
        tree.link(f"bin/{name}", target)
    first = load_order(release, FIRST_MODULES)
    for driver, wanted in LATER_MODULES.items():
        modules = load_order(release, wanted)
        for number, name in enumerate(name for name in modules if name not in first):
            tree.file(f"lib/modules/{driver}/{number}-{name}.ko", modules[name])
    tree.copy(HERE / "root")
    busybox = packages.find("bin/busybox")
    tree.file("bin/busybox", busybox.read_bytes(), 0o755)
    for applet in run([busybox, "--list"]).decode().split():
        tree.link(f"bin/{applet}", "busybox")
    return tree
