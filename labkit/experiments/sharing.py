"""Experiments with guests that share a host: who gets how much of its CPU and disk, and what a guest sees inside.

    shares = measure_sharing(a, b)
    with saturate(a, "noise"):
        noisy = measure_fsync(b)

Whatever an experiment starts it ends, also when it fails.
Knows: machines of a lab. Must not know: how results are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from labkit.disk import Disk
from labkit.errors import BadInput, GuestError
from labkit.experiments.container import Container, OutsideContainer
from labkit.experiments.given import checked, find_target
from labkit.language import _
from labkit.machine import Machine
from labkit.model.inside import PciDevice, System
from labkit.model.measurement import Load, Share
from labkit.units import Shown

REQUEST = 4096
"""Bytes of each request of an experiment."""

_NOW = "read now _ </proc/uptime; now=${now%.*}${now#*.}"
"""Shell code that reads hundredths of a second since the guest booted, without starting a program."""

_COUNT = f"""
{_NOW}; begin=$now; end=$((now + HUNDREDTHS)); rounds=0
read -r before </proc/stat
while [ $now -lt $end ]; do
    i=0; while [ $i -lt 100 ]; do i=$((i + 1)); done
    rounds=$((rounds + 1)); {_NOW}
done
read -r after </proc/stat
echo $rounds $((now - begin)); echo $before; echo $after
"""

_FSYNC = f"""
{_NOW}; begin=$now; end=$((now + HUNDREDTHS)); writes=0
while [ $now -lt $end ]; do
    dd if=/dev/zero of=/root/.fsync bs={REQUEST} count=1 conv=fsync 2>/dev/null || exit 1
    writes=$((writes + 1)); {_NOW}
done
rm -f /root/.fsync; echo $writes $((now - begin))
"""

_WRITE = f"""
{_NOW}; begin=$now
dd if=/dev/zero of=/dev/TARGET bs={REQUEST} count=WRITES oflag=direct 2>/dev/null || exit 1
{_NOW}; echo WRITES $((now - begin))
"""

_NOISE = "/run/labkit-noise"
"""Where a guest keeps the id of the process that writes."""

_LIST_DEVICES = """
for device in /sys/bus/pci/devices/*; do
    driver=$(readlink $device/driver)
    echo ${device##*/} $(cat $device/vendor $device/device $device/class) ${driver##*/}
done
"""

_LOOK = "cat /proc/sys/kernel/hostname; uname -r; cat /proc/sys/kernel/random/boot_id; ls /proc | grep -c '^[1-9]'"


@checked
def measure_sharing(a: Machine, b: Machine, *, seconds: float = 2, rounds: int = 3) -> tuple[Share, Share]:
    """Let two running guests count, each alone and then both at once, in turns, so that a busy moment affects all.

    Args:
        seconds: of each count. rounds: how often everything is repeated.

    Raises:
        WrongState, GuestSilent: one of them is not running or does not answer.
    """
    alone: tuple[list[Load], list[Load]] = ([], [])
    together: tuple[list[Load], list[Load]] = ([], [])
    for _round in range(rounds):
        for machine, loads in zip((a, b), alone, strict=True):
            loads.append(measure_load(machine, seconds=seconds))
        with ThreadPoolExecutor(max_workers=2) as pool:
            at_once = list(pool.map(lambda each: measure_load(each, seconds=seconds), (a, b)))
        for load, loads in zip(at_once, together, strict=True):
            loads.append(load)
    one, other = (
        Share(name=machine.name, alone=tuple(apart), together=tuple(shared))
        for machine, apart, shared in zip((a, b), alone, together, strict=True)
    )
    return one, other


@checked
def measure_load(machine: Machine, *, seconds: float = 2) -> Load:
    """Let a guest count for a while, and ask its kernel how busy its CPU was meanwhile."""
    lines = _lines(machine, _for(seconds, _COUNT), timeout=60 + 10 * seconds)
    with _understood(machine):
        counted, before, after = lines
        rounds, hundredths = map(int, counted.split())
        spent = [int(late) - int(early) for early, late in zip(before.split()[1:9], after.split()[1:9], strict=True)]
        idle, stolen, whole = spent[3] + spent[4], spent[7], max(sum(spent), 1)
    return Load(
        rate=100 * rounds / max(hundredths, 1),
        busy=(whole - idle - stolen) / whole,
        stolen=stolen / whole,
    )


@checked
def measure_fsync(machine: Machine, *, seconds: float = 1, rounds: int = 5) -> tuple[float, ...]:
    """Let a guest write small pieces to its system disk and wait for each until it is safe (`fsync`).

    Returns:
        Milliseconds for one write, for each round; each is the mean over `seconds`.
    """
    return tuple(_milliseconds(machine, _for(seconds, _FSYNC)) for _round in range(rounds))


@checked
def measure_writes(
    machine: Machine, targets: Sequence[str], *, writes: int = 500, rounds: int = 5
) -> tuple[tuple[float, ...], ...]:
    """Let a guest write to its disks past its page cache, in turns; their content is lost.

    Args:
        targets: what the guest calls the disks. writes: how many, of 4 KiB, in each round. rounds: how many.

    Returns:
        Milliseconds for one write in each round, by target.
    """
    found: list[list[float]] = [[] for _target in targets]
    for _round in range(rounds):
        for target, times in zip(targets, found, strict=True):
            times.append(_milliseconds(machine, _WRITE.replace("TARGET", target).replace("WRITES", str(writes))))
    return tuple(tuple(times) for times in found)


@checked
@contextmanager
def saturate(machine: Machine, disk: Disk | str) -> Iterator[None]:
    """Let a guest write to one of its disks as fast as it can, until the `with` block ends; its content is lost."""
    start_writing(machine, disk)
    try:
        yield
    finally:
        stop_writing(machine)


@checked
def start_writing(machine: Machine, disk: Disk | str) -> None:
    """Let a guest write to one of its disks as fast as it can, until `stop_writing`; the disk's content is lost."""
    target = find_target(machine, disk)
    loop = f"while :; do dd if=/dev/zero of=/dev/{target} bs={REQUEST} count=2000 oflag=direct 2>/dev/null; done"
    machine.run(f"setsid sh -c '{loop}' </dev/null >/dev/null 2>&1 & echo $! >{_NOISE}")


@checked
def stop_writing(machine: Machine) -> None:
    """End what `start_writing` began."""
    machine.run(f"kill -9 -- -$(cat {_NOISE}); rm -f {_NOISE}")


@checked
def is_writing(machine: Machine) -> bool:
    """Whether what `start_writing` began is still at work."""
    return bool(machine.run(f"kill -0 $(cat {_NOISE})"))


@checked
def read_devices(machine: Machine) -> tuple[PciDevice, ...]:
    """Return the devices on a guest's PCI bus, in the bus's order."""
    devices = []
    for line in _lines(machine, _LIST_DEVICES):
        with _understood(machine):
            address, vendor, device, kind, *driver = line.split()
            devices.append(
                PciDevice(
                    address=address,
                    vendor=int(vendor, 16),
                    device=int(device, 16),
                    kind=int(kind, 16),
                    driver="".join(driver),
                )
            )
    return tuple(devices)


def look_inside(place: Machine | Container | OutsideContainer) -> System:
    """Return how a system looks from inside; a guest or a container."""
    if not isinstance(place, Machine | Container | OutsideContainer):
        raise BadInput(
            _("{value!r} is no system to look into.").format(value=Shown(place)),
            _("Give a machine, a container, or what is around it: container.outside."),
        )
    told = place.run(_LOOK).stdout
    with _understood(place):
        name, kernel, boot_id, processes = told.split()
        return System(name=name, kernel=kernel, boot_id=boot_id, processes=int(processes))


@contextmanager
def _understood(place: Machine | Container | OutsideContainer) -> Iterator[None]:
    """Turn an unusable answer into an error: any program may be running there."""
    try:
        yield
    except (ValueError, IndexError) as error:
        name = place.name if isinstance(place, Machine | Container) else _("this host")
        raise GuestError(
            _("{name} answered something else than it was asked for.").format(name=name),
            _("Look at what runs there; a guest that was changed may have other programs."),
            details=str(error)[:200],
        ) from error


def _for(seconds: float, command: str) -> str:
    return command.replace("HUNDREDTHS", str(round(100 * seconds)))


def _milliseconds(machine: Machine, command: str) -> float:
    lines = _lines(machine, command)
    with _understood(machine):
        (counted,) = lines
        writes, hundredths = map(int, counted.split())
    return 10 * max(hundredths, 1) / max(writes, 1)


def _lines(machine: Machine, command: str, *, timeout: float = 120) -> list[str]:
    result = machine.run(command, timeout=timeout)
    if not result:
        raise GuestError(_("The guest could not do that: {text}").format(text=result.stderr.strip()))
    return result.stdout.splitlines()
