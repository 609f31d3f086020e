"""The exercises of notebook 02: `vecino-ruidoso`, `quien-gasta`, `pistas`, `otro-controlador`, `tabique`.

Each prepares machines and disks of its own. Checks ask the hypervisor, and inside the guests.

Knows: their tasks. Must not know: notebooks.
"""

from __future__ import annotations

from typing import ClassVar

from labkit.course.exercise import Result
from labkit.course.machine_exercise import MEMORY, MachineExercise
from labkit.language import _
from labkit.model.disk import Bus, bus_of
from labkit.model.machine import MachineState
from labkit.model.measurement import median
from labkit.neighbours import is_writing, measure_fsync, read_devices, start_writing

BLOCK = 4096


class NoisyNeighbour(MachineExercise):
    """A saturates its disk: limit it, without ending its work, so that B comes to its own."""

    slug: ClassVar[str] = "vecino-ruidoso"
    most: ClassVar[int] = 100
    """Requests a second that A may make at most."""
    code: ClassVar[str] = "vm = lab.machines[ex.machine]\nvm.throttle(ex.disks[0], iops=20)"

    _alone: ClassVar[str] = "/root/alone"

    @property
    def machines(self) -> tuple[str, ...]:
        """A and B."""
        return (f"{self.slug}-a", f"{self.slug}-b")

    @property
    def disks(self) -> tuple[str, ...]:
        """A's second disk."""
        return (f"{self.slug}-datos",)

    def prepare(self) -> None:
        """Start both on one CPU of the host, measure B alone, and let A write."""
        a, b = self.boot()
        a.attach(self.lab.disks.create(self.disks[0], capacity="64 MiB"))
        for machine in (a, b):
            machine.pin(0)
        b.run(f"echo {round(median(measure_fsync(b, rounds=3)))} >{self._alone}; sync")
        start_writing(a, self.disks[0])

    def look_closer(self) -> Result:
        """See that A is alive and at work, that its disk is limited, and how long B waits."""
        a, b = (self.vm(name) for name in self.machines)
        if a.state is not MachineState.RUNNING:
            return self.wrong(
                _("You switched A off: its users would not call that a service."),
                _("Call ex.start(), then limit A's disk instead: vm.throttle(…)."),
            )
        if b.state is not MachineState.RUNNING:
            return self.broken(_("{name} is off.").format(name=b.name))
        if not is_writing(a):
            return self.wrong(
                _("You ended A's work: it is to go on, only slower."),
                _("Call ex.start(), then limit A's disk instead: vm.throttle(…)."),
            )
        limits = a.limits.get(self.disks[0])
        if limits is None or not (limits.iops or limits.bytes_per_second):
            return self.wrong(
                _("A's disk has no limit."),
                _("vm.throttle({disk!r}, iops=…) limits it while A works on.").format(disk=self.disks[0]),
            )
        allowed = min(rate for rate in (limits.iops, limits.bytes_per_second // BLOCK) if rate)
        if allowed > self.most:
            return self.wrong(
                _("A may still make {count} requests a second.").format(count=allowed),
                _("Allow it {count} or fewer.").format(count=self.most),
            )
        waits = min(measure_fsync(b, rounds=3))
        allowed_wait = max(5 * int(b.run(f"cat {self._alone}").stdout or 0), 250)
        if waits > allowed_wait:
            return self.wrong(
                _("B still waits {milliseconds:.0f} ms for each write.").format(milliseconds=waits),
                _("Allow A less; or this computer is busy with something else: check again later."),
            )
        return self.done(_("A goes on at its limit, and B comes to its own."))


class WhoSpends(MachineExercise):
    """One of three guests burns the CPU: find it from outside, and pause only that one."""

    slug: ClassVar[str] = "quien-gasta"
    code: ClassVar[str] = (
        "import time\n"
        "vms = [lab.machines[name] for name in ex.machines]\n"
        "before = {vm.name: vm.process.cpu_seconds for vm in vms}\n"
        "time.sleep(3)\n"
        "max(vms, key=lambda vm: vm.process.cpu_seconds - before[vm.name]).pause()"
    )

    @property
    def machines(self) -> tuple[str, ...]:
        """Three machines."""
        return tuple(f"{self.slug}-{number}" for number in (1, 2, 3))

    @property
    def spender(self) -> str:
        """The one at work: it differs from student to student."""
        return self.machines[int(self.mark, 16) % 3]

    def prepare(self) -> None:
        """Start all, and let one run in a circle."""
        self.boot()
        self.vm(self.spender).run("sh -c 'while :; do :; done' </dev/null >/dev/null 2>&1 &")

    def look_closer(self) -> Result:
        """See which one is paused, and that the others run on."""
        paused = [name for name in self.machines if self.vm(name).state is MachineState.PAUSED]
        idle = [name for name in paused if name != self.spender]
        if idle:
            return self.wrong(
                _("{name} is paused, and it hardly works.").format(name=idle[0]),
                _("Resume it. Read vm.process.cpu_seconds of each twice: whose grows?"),
            )
        for name in self.machines:
            if name != self.spender and (trouble := self.why_not_untouched(name)):
                return trouble
        state = self.vm(self.spender).state
        if state is MachineState.RUNNING:
            return self.wrong(
                _("One of the three still burns the CPU."),
                _("Read vm.process.cpu_seconds of each twice: whose grows? Pause that one."),
            )
        if state is not MachineState.PAUSED:
            return self.wrong(
                _("You switched it off: what it had computed is lost."), _("Call ex.start(), and pause it instead.")
            )
        return self.done(_("It is paused, and the others run on."))


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
        """Start a machine of 2007 or of 1996: it differs from student to student."""
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
        """See how the disk is attached, and what the guest reads from it."""
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
        """Look at every process of the guest: in which partition does it live?"""
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
