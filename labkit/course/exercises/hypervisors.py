"""The exercises of notebook 02 on what a guest sees of its hypervisor: `pistas`, `otro-controlador`, `tabique`.

Each prepares machines and disks of its own. Checks ask the hypervisor, and inside the guests.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.course.exercise import Result
from labkit.course.machine_exercise import MEMORY, MachineExercise
from labkit.experiments import read_devices
from labkit.language import _
from labkit.model.disk import Bus, bus_of

BLOCK = 4096


class Clues(MachineExercise):
    """Tell, inside a guest, which of its devices exist only in virtual machines."""

    slug: ClassVar[str] = "pistas"
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

    def prepare(self) -> None:
        """Start a machine that imitates a PC of 2007 or of 1996; it differs from student to student."""
        self.boot(chipset="pc" if int(self.mark, 16) % 2 else "q35")

    def look_closer(self) -> Result:
        """Compare the guest's list with its bus."""
        listed = self.says(self.machine, f"cat {self.file}")
        if listed is None:
            return self.broken(_("{name} does not answer.").format(name=self.machine))
        named = set(listed.lower().split())
        if not named:
            return self.wrong(
                _("Inside there is no list {file} yet.").format(file=self.file),
                _("/sys/bus/pci/devices has a folder for each device; vendor and device are files in it."),
            )
        devices = read_devices(self.vm(self.machine))
        invented = {device.numbers for device in devices if device.is_invented}
        imitated = {device.numbers for device in devices} - invented
        if wrong := sorted(named & imitated):
            return self.wrong(
                _("{numbers} is in your list, and it imitates hardware that was once sold.").format(numbers=wrong[0]),
                _("Vendor 8086 is Intel; 1af4 and 1b36 are numbers under which nobody sells hardware."),
            )
        if strange := sorted(named - invented):
            return self.wrong(
                _("There is no device {numbers} on its bus.").format(numbers=strange[0]),
                _("Write each as vendor:device, four digits each, as in 1af4:1000, one a line."),
            )
        if missing := sorted(invented - named):
            return self.wrong(
                _("One is missing from your list."),
                _("Its vendor is {vendor}.").format(vendor=missing[0].partition(":")[0]),
            )
        return self.done(_("These are the devices by which a guest knows that it is one."))


class OtherController(MachineExercise):
    """Give a disk to a system that has no virtio driver."""

    slug: ClassVar[str] = "otro-controlador"
    place: ClassVar[int] = 1 << 20
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machine]\n"
        "vm.stop()\n"
        "vm.detach(ex.disks[0])\n"
        'vm.attach(ex.disks[0], bus="ide")\n'
        "vm.start().wait_ready()"
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine, with an IDE controller."""
        return (self.slug,)

    @property
    def disks(self) -> tuple[str, ...]:
        """Its data disk."""
        return (f"{self.slug}-datos",)

    def prepare(self) -> None:
        """Start it with a virtio disk, and let it write the mark there."""
        machine = self.lab.create(self.machine, memory=MEMORY, chipset="pc")
        machine.attach(self.lab.disks.create(self.disks[0], capacity="16 MiB"))
        machine.start().wait_ready()
        machine.run(f"printf {self.mark} | dd of=/dev/vdb bs={BLOCK} seek={self.place // BLOCK} conv=sync,fsync")

    def look_closer(self) -> Result:
        """Check how the disk is attached, and what the guest reads from it."""
        vm = self.vm(self.machine)
        if self.disks[0] not in self.lab.disks:
            return self.broken(_("The disk {name} is gone.").format(name=self.disks[0]))
        disk = next((disk for disk in vm.facts.spec.disks if disk.name == self.disks[0]), None)
        if disk is None:
            return self.wrong(
                _("The disk {name} is free.").format(name=self.disks[0]),
                _("Attach it with the power off: vm.attach(…, bus={bus!r}).").format(bus=Bus.IDE.value),
            )
        if bus_of(disk.target) is not Bus.IDE:
            return self.wrong(
                _("{name} is a virtio disk: a system without that driver does not see it.").format(name=disk.name),
                _("Stop the machine, detach the disk, and attach it to the other controller: bus={bus!r}.").format(
                    bus=Bus.IDE.value
                ),
            )
        read = f"dd if=/dev/{disk.target} bs={BLOCK} skip={self.place // BLOCK} count=1 2>/dev/null | head -c 8"
        found = self.says(self.machine, f"for try in 1 2 3 4 5; do [ -b /dev/{disk.target} ] || sleep 1; done; {read}")
        if found is None:
            return self.wrong(
                _("The definition is right; the guest has not looked at the disk yet."),
                _("Start the machine, and wait until it is ready."),
            )
        if found != self.mark:
            return self.broken(_("What was on the disk is gone."))
        return self.done(_("The guest reads the same disk through the imitated controller."))


class Partition(MachineExercise):
    """A container inside a guest: a host name and process numbers of its own, on the guest's kernel."""

    slug: ClassVar[str] = "tabique"
    code: ClassVar[str] = (
        "vm = lab.machines[ex.machine]\n"
        'inside = f"echo {ex.mark} >/proc/sys/kernel/hostname; exec sleep 100000"\n'
        "vm.run(f\"unshare -u -p -f sh -c '{inside}' </dev/null >/dev/null 2>&1 &\")"
    )

    _look: ClassVar[str] = (
        "for try in 1 2 3 4; do\n"  # a process started in the background may just be beginning
        "    [ $(ls -l /proc/[0-9]*/ns/uts 2>/dev/null | sed 's/.*-> //' | sort -u | wc -l) = 1 ] || break\n"
        "    usleep 250000\n"
        "done\n"
        "cat /proc/sys/kernel/hostname; uts=$(readlink /proc/1/ns/uts) pid=$(readlink /proc/1/ns/pid)\n"
        "for process in /proc/[0-9]*; do\n"
        "    own=$(readlink $process/ns/uts) numbers=$(readlink $process/ns/pid)\n"
        '    [ -n "$own" ] && [ "$own" != "$uts" ] || continue\n'
        '    [ "$numbers" = "$pid" ] && kind=shared || kind=own\n'
        "    echo $kind $(nsenter -t ${process##*/} -u cat /proc/sys/kernel/hostname)\n"
        "done"
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """One machine, running."""
        return (self.slug,)

    def prepare(self) -> None:
        """Start it."""
        self.boot()

    def look_closer(self) -> Result:
        """Look at every process of the guest: in which namespaces is it?"""
        seen = self.says(self.machine, self._look)
        if seen is None:
            return self.broken(_("{name} does not answer.").format(name=self.machine))
        host, *apart = seen.splitlines()
        if host == self.mark:
            return self.wrong(
                _("You renamed the whole machine."),
                _("Give it its name {name} back; unshare -u gives one process a host name of its own.").format(
                    name=self.machine
                ),
            )
        partitions = [tuple(line.split()) for line in apart]
        if not partitions:
            return self.wrong(
                _("No process has a host name of its own."),
                _("unshare -u -p -f COMMAND starts one; it must go on running, as sleep does."),
            )
        if all(name != self.mark for _kind, name in partitions):
            return self.wrong(
                _("A process has a host name of its own, but not your mark."),
                _("Write ex.mark into /proc/sys/kernel/hostname, inside."),
            )
        if ("own", self.mark) not in partitions:
            return self.wrong(
                _("The host name is right; the process still has its number from the machine's list."),
                _("unshare -p -f gives it process numbers of its own."),
            )
        return self.done(_("Two systems on one kernel: a container inside a machine."))
