"""What running machines use, and the limits they have, as the hypervisor counts it.

Knows: numbers. Must not know: libvirt, how anything is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.model.machine import MachineState


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskLimits:
    """How fast a disk may work at most: requests and bytes a second; 0: no limit."""

    iops: int = 0
    bytes_per_second: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUsage:
    """What a disk of a running guest did since the guest started, as the hypervisor counts it.

    Attributes:
        target: what the guest calls it. path: its active image.
        reads, writes: requests. read_bytes, written_bytes: bytes.
    """

    target: str
    path: str
    reads: int
    writes: int
    read_bytes: int
    written_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineUsage:
    """What a machine uses at one instant, as the hypervisor counts it.

    Attributes:
        machine_id: its UUID.
        state: its state.
        cpu_time: seconds of host CPU that it has used since it started.
        memory: bytes the host really gave its process (resident), 0 when off.
        disks: what each disk did since it started.
    """

    machine_id: str
    state: MachineState
    cpu_time: float = 0.0
    memory: int = 0
    disks: tuple[DiskUsage, ...] = ()

    @property
    def read_bytes(self) -> int:
        """Bytes read by all its disks."""
        return sum(disk.read_bytes for disk in self.disks)

    @property
    def written_bytes(self) -> int:
        """Bytes written by all its disks."""
        return sum(disk.written_bytes for disk in self.disks)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestProcess:
    """The QEMU process of a running guest, at one instant.

    Attributes:
        pid: its process id. program: the executable's name. threads: how many it has.
        cpu_seconds: host CPU time used since it started.
        resident: bytes of host memory it holds, translated code and libraries included.
        ancestors: the programs that started it, its parent first, up to the first process.
        guest_memory: bytes of the region that is the guest's RAM.
        guest_memory_resident: bytes of that region that the host really gave, or None if that may not be read of the
            process.
        began: hundredths of a second from the host's boot to its start; with the pid, it is unique.
        is_resumed: whether it was started to go on from a memory, not to boot.
    """

    pid: int
    program: str
    threads: int
    cpu_seconds: float
    resident: int
    guest_memory: int
    guest_memory_resident: int | None
    ancestors: tuple[str, ...] = ()
    began: int = 0
    is_resumed: bool = False
