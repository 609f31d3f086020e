"""The exercises of notebook 02 on what a guest sees of its hypervisor: `clues`, `other-controller`, `partition-wall`.

Each prepares machines and disks of its own. Checks ask the hypervisor, and inside the guests.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from labkit.course.machine_exercise import DataDiskExercise, MachineExercise
from labkit.course.reading import Evidence, MachineReading, Reading
from labkit.course.result import Result, broken, done, wrong
from labkit.language import _
from labkit.model.disk import Bus, bus_of
from labkit.model.inside import RED_HAT_QEMU, RED_HAT_VIRTIO
from labkit.model.words import state_word
from labkit.units import MIB

BLOCK = 4096
_SILENT = "lab.machines[ex.machine].start().wait_ready()"


def _why_silent(name: str, there: MachineReading) -> Result | None:
    """Return that a guest says nothing, which it must to be judged, or None."""
    if there.said is not None:
        return None
    return wrong(
        _("{name} does not answer: it is {state}.").format(name=name, state=state_word(there.state)),
        _("Start it if it is off, and wait until it is ready: vm.wait_ready()."),
        _SILENT,
    )


class Clues(MachineExercise):
    """Tell, inside a guest, which of its devices were made for virtual machines."""

    slug: ClassVar[str] = "clues"
    alias: ClassVar[str] = "pistas"
    file: ClassVar[str] = "/root/invented"
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machine]\n"
        'vm.run("""\n'
        "for device in /sys/bus/pci/devices/*; do\n"
        "    vendor=$(cat $device/vendor) number=$(cat $device/device)\n"
        "    case $vendor in 0x1af4 | 0x1b36) echo ${vendor#0x}:${number#0x} ;; esac\n"
        'done | sort -u >/root/invented; sync""")'
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine, running."""
        return (self.slug,)

    @property
    def questions(self) -> Mapping[str, Mapping[str, str]]:
        """What is on its bus, and what its list says."""
        bus = 'for each in /sys/bus/pci/devices/*; do echo "$(cat $each/vendor $each/device)"; done'
        return {self.machine: {"bus": bus, "list": f"cat {self.file}"}}

    def prepare(self) -> None:
        """Start a machine of 2007 or of 1996: it differs from student to student."""
        self.boot(chipset="pc" if int(self.mark, 16) % 2 else "q35")

    def judge(self, before: Evidence, now: Reading) -> Result:
        """Compare the guest's list with the bus it had at the start."""
        there = now.machines[self.machine]
        if silent := _why_silent(self.machine, there):
            return silent
        named = there.tells("list").lower().split()
        if not named:
            return wrong(
                _("Inside there is no list {file} yet.").format(file=self.file),
                _("/sys/bus/pci/devices has a folder for each device; vendor and device are files in it."),
            )
        words = before.reading.machines[self.machine].tells("bus").split()
        numbers = [f"{vendor[2:]}:{device[2:]}" for vendor, device in zip(words[::2], words[1::2], strict=False)]
        invented = {number for number in numbers if int(number[:4], 16) in (RED_HAT_VIRTIO, RED_HAT_QEMU)}
        if wrongly := sorted(set(named) & (set(numbers) - invented)):
            return wrong(
                _("{numbers} is in your list, and it imitates hardware that was once sold.").format(numbers=wrongly[0]),
                _("Vendor 8086 is Intel; 1af4 and 1b36 are the numbers of virtio and of QEMU."),
            )
        if strange := sorted(set(named) - invented):
            return wrong(
                _("There is no device {numbers} on its bus.").format(numbers=strange[0][:20]),
                _("Write each as vendor:device, four digits each, as in 1af4:1000, one a line."),
            )
        if missing := sorted(invented - set(named)):
            return wrong(
                _("One is missing from your list."),
                _("Its vendor is {vendor}.").format(vendor=missing[0].partition(":")[0]),
            )
        return done(_("These are the devices that were made for guests."))


class OtherController(DataDiskExercise):
    """Give a disk to a system that has no virtio driver."""

    slug: ClassVar[str] = "other-controller"
    alias: ClassVar[str] = "otro-controlador"
    place: ClassVar[int] = 1 << 20
    reads_contents: ClassVar[bool] = True
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machine]\n"
        "vm.stop()\n"
        "vm.detach(ex.disks[0])\n"
        'vm.attach(ex.disks[0], bus="ide")\n'
        "vm.start().wait_ready()"
    )

    @property
    def questions(self) -> Mapping[str, Mapping[str, str]]:
        """What stands on the disk, read through the controller; after a boot it may take a moment to be there."""
        has = 'has() { grep -q " $1$" /proc/partitions; }'
        wait = f"{has}; has vdb || for try in 1 2 3 4 5; do has sda && break; sleep 1; done"
        block = f"dd if=/dev/sda bs={BLOCK} skip={self.place // BLOCK} count=1 | head -c 8"
        return {self.machine: {"ide": f"{wait}; has sda && {block}"}}

    def prepare(self) -> None:
        """Start it with a virtio disk, and let it write the mark there, among other things."""
        capacity = self.drawn("capacity", 16 * MIB, 24 * MIB, 32 * MIB)
        (machine,) = self.boot(self.lab.disks.create(self.disks[0], capacity=capacity), chipset="pc")
        machine.run(
            f"head -c 65536 /dev/urandom | dd of=/dev/vdb bs={BLOCK}; "
            f"printf {self.mark} | dd of=/dev/vdb bs={BLOCK} seek={self.place // BLOCK} conv=sync,fsync"
        )

    def judge(self, before: Evidence, now: Reading) -> Result:
        """See how the disk is attached, what is on it, and what the guest reads from it."""
        there, disk = now.machines[self.machine], now.disks[self.disks[0]]
        if disk.content != before.reading.disks[self.disks[0]].content:
            return broken(_("What was on the disk {name} is not what it was at the start.").format(name=self.disks[0]))
        if disk.machine != self.machine:
            return wrong(
                _("The disk {name} is not attached to {machine}.").format(name=self.disks[0], machine=self.machine),
                _("Attach it with the power off: vm.attach(…, bus={bus!r}).").format(bus=Bus.IDE.value),
                'lab.machines[ex.machine].attach(ex.disks[0], bus="ide")',
            )
        if bus_of(disk.target) is not Bus.IDE:
            return wrong(
                _("{name} is a virtio disk: a system without that driver does not see it.").format(name=self.disks[0]),
                _("Stop the machine, detach the disk, and attach it to the other controller: bus={bus!r}.").format(
                    bus=Bus.IDE.value
                ),
            )
        if there.tells("ide") != self.mark:
            return wrong(
                _("The definition is right; the guest has not looked at the disk yet."),
                _("Start the machine, and wait until it is ready."),
                _SILENT,
            )
        return done(_("The guest reads the same disk through the imitated controller."))


class Partition(MachineExercise):
    """A container inside a guest: a host name and process numbers of its own, on the guest's kernel."""

    slug: ClassVar[str] = "partition-wall"
    alias: ClassVar[str] = "tabique"
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machine]\n"
        'inside = f"echo {ex.mark} >/proc/sys/kernel/hostname; exec sleep 100000"\n'
        "vm.run(f\"unshare -u -p -f sh -c '{inside}' </dev/null >/dev/null 2>&1 &\")"
    )

    _list_partitions: ClassVar[str] = (
        "for try in 1 2 3 4; do\n"  # what was started in the background may be just beginning
        "    [ $(ls -l /proc/[0-9]*/ns/uts 2>/dev/null | sed 's/.*-> //' | sort -u | wc -l) = 1 ] || break\n"
        "    usleep 250000\n"
        "done\n"
        "cat /proc/sys/kernel/hostname; uts=$(readlink /proc/1/ns/uts) pid=$(readlink /proc/1/ns/pid)\n"
        "ls -l /proc/[0-9]*/ns/uts | sed 's|.* /proc/\\([0-9]*\\)/ns/uts -> |\\1 |' | while read -r process own; do\n"
        '    [ "$own" != "$uts" ] || continue\n'
        '    [ "$(readlink /proc/$process/ns/pid)" = "$pid" ] && kind=shared || kind=own\n'
        "    echo $kind $(nsenter -t $process -u cat /proc/sys/kernel/hostname)\n"
        "done"
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine, running."""
        return (self.slug,)

    @property
    def questions(self) -> Mapping[str, Mapping[str, str]]:
        """Its name, and of every process that has another one: that, and whether its numbers are its own, too."""
        return {self.machine: {"partitions": self._list_partitions}}

    def prepare(self) -> None:
        """Start it."""
        self.boot()

    def judge(self, before: Evidence, now: Reading) -> Result:  # noqa: ARG002
        """Look at every process of the guest: in which partition does it live?"""
        there = now.machines[self.machine]
        if silent := _why_silent(self.machine, there):
            return silent
        host, *apart = there.tells("partitions").splitlines() or [""]
        if host != self.machine:
            return wrong(
                _("You renamed the whole machine: it calls itself {other}.").format(other=host[:40]),
                _("Give it its name {name} back; unshare -u gives one process a host name of its own.").format(
                    name=self.machine
                ),
                'lab.machines[ex.machine].run(f"hostname {ex.machine}")',
            )
        partitions = [tuple(line.split()) for line in apart]
        if not partitions:
            return wrong(
                _("No process has a host name of its own."),
                _("unshare -u -p -f COMMAND starts one; it must go on running, as sleep does."),
            )
        if all(name != self.mark for _kind, *names in partitions for name in names):
            return wrong(
                _("A process has a host name of its own, but not your mark."),
                _("Write ex.mark into /proc/sys/kernel/hostname, inside."),
            )
        if ("own", self.mark) not in partitions:
            return wrong(
                _("The host name is right; the process still has its number from the machine's list."),
                _("unshare -p -f gives it process numbers of its own."),
            )
        return done(_("Two systems on one kernel: a container inside a machine."))
