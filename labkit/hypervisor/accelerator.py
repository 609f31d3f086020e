"""Whether KVM is usable: only a guest that has really run with it proves that.

The device may exist, can be opened and may even create a machine, and yet not run one: a boot sector may print its
greeting where an operating system hangs. So the probe is the Linux guest of the course, started by QEMU without
libvirt. The result is kept until the host boots again or QEMU changes.

Knows: QEMU's command line, /dev/kvm. Must not know: libvirt, labs.
"""

from __future__ import annotations

import json
import os
import platform
import selectors
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from labkit.errors import BadInput
from labkit.language import _
from labkit.model.architecture import X86_64
from labkit.model.host import AcceleratorFacts
from labkit.model.image import GuestImage
from labkit.model.machine import Accelerator

DEVICE = Path("/dev/kvm")
TIME_LIMIT = 3.0
"""Seconds that a probe guest may take to say something; a translated one takes about as long."""

_MEMORY = 128
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_KEPT: dict[str, tuple[type, ...]] = {"spoke": (bool,), "seconds": (int, float), "ended": (bool,), "words": (str,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How a probe ended: whether the guest printed anything, after how many seconds, and QEMU's last words."""

    spoke: bool
    seconds: float
    ended: bool = False
    words: str = ""


def find_accelerator(*, probe_image: GuestImage | None, cache: Path) -> AcceleratorFacts:
    """Return the accelerator to use on this host, and why.

    `LABKIT_ACCEL` (kvm or tcg) overrides. Otherwise KVM is used when a guest ran with it.

    Args:
        probe_image: the guest to run, best `tiny`; None where none is built.
        cache: the file the answer is kept in.

    Raises:
        BadInput: `LABKIT_ACCEL` is neither kvm nor tcg.
    """
    began = time.monotonic()
    said = os.environ.get("LABKIT_ACCEL", "")
    if said:
        return _facts(_parse_choice(said), _("The variable LABKIT_ACCEL says so."), began)
    emulator = shutil.which(X86_64.emulator)
    if emulator is None:
        return _facts(
            Accelerator.TCG, _("KVM was not tried: {program} is not there.").format(program=X86_64.emulator), began
        )
    why_not = why_not_device(DEVICE)
    if why_not is not None:
        return _facts(Accelerator.TCG, why_not, began)
    if probe_image is None:
        return _facts(Accelerator.TCG, _("KVM was not tried: the guest that would try it is not built yet."), began)
    key = _cache_key(Path(emulator), probe_image)
    probe = _read_cache(cache, key)
    probed = probe is None
    if probe is None:
        probe = run_probe(Accelerator.KVM, probe_image, emulator=emulator)
        _write_cache(cache, key, probe)
    if probe.spoke:
        return _facts(Accelerator.KVM, _("A guest was run with KVM, and it answered."), began, probed=probed)
    return _facts(Accelerator.TCG, _explain(probe), began, probed=probed)


def why_not_device(device: Path) -> str | None:
    """Return why we cannot open KVM's device, or None if we can."""
    if platform.machine() != X86_64.name:
        return _("KVM cannot be used: the guests are for another kind of CPU than this host's.")
    if not device.exists():
        return _("There is no {device}: the CPU, the firmware or a machine below us does not offer it.").format(
            device=device
        )
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        return _("KVM is there, but we may not open {device}.").format(device=device)
    except OSError as error:
        return _("KVM is there, but {device} does not open: {reason}.").format(device=device, reason=error.strerror)
    return None


def run_probe(
    accelerator: Accelerator, image: GuestImage, *, emulator: str = X86_64.emulator, limit: float = TIME_LIMIT
) -> Probe:
    """Run a guest until it writes to its serial line or the time is up; nothing of it is left afterwards.

    Args:
        accelerator: what to run it with.
        image: the guest.
        emulator: the QEMU program.
        limit: seconds.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                [*_end_with_us(), emulator, *_arguments(accelerator, image)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        except OSError as error:
            return Probe(spoke=False, seconds=0.0, ended=True, words=str(error))
        with process:
            try:
                spoke, ended = _wait_for_word(process, began + limit)
            finally:
                process.kill()
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
    return Probe(
        spoke=spoke,
        seconds=time.monotonic() - began,
        ended=ended,
        words=lines[-1] if lines and not spoke else "",
    )


def _wait_for_word(process: subprocess.Popen[bytes], deadline: float) -> tuple[bool, bool]:
    """Return whether the guest wrote anything but white space, and whether QEMU ended before that."""
    pipe = cast(IO[bytes], process.stdout)
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                break
            heard = os.read(pipe.fileno(), 4096)
            if not heard:
                return False, True
            if heard.strip():
                return True, False
    return False, False


def _arguments(accelerator: Accelerator, image: GuestImage) -> list[str]:
    """Return QEMU's arguments: the machine type and CPU of the lab's machines, and no device but a serial line."""
    arguments = ["-accel", accelerator.value, "-machine", X86_64.machine_type, "-m", str(_MEMORY), "-no-reboot"]
    arguments += ["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"]
    if image.kernel:
        arguments += ["-kernel", image.kernel, "-append", image.command_line]
        return arguments + (["-initrd", image.initramfs] if image.initramfs else [])
    disk = image.disk.replace(",", ",,")
    return [*arguments, "-drive", f"file={disk},format={image.format},if=virtio,snapshot=on"]


def _end_with_us() -> list[str]:
    """Return the words to put before a command so that it does not outlive this process, even if that is killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _explain(probe: Probe) -> str:
    if probe.ended:
        return _("KVM is there, but a guest does not start with it. QEMU says: {words}").format(
            words=probe.words or _("nothing")
        )
    return _("KVM is there, but a guest run with it did not answer within {seconds:g} s.").format(seconds=TIME_LIMIT)


def _parse_choice(text: str) -> Accelerator:
    try:
        return Accelerator(text.strip().lower())
    except ValueError:
        raise BadInput(
            _("The variable LABKIT_ACCEL is {value!r}; it can be kvm or tcg.").format(value=text),
            _("Type: unset LABKIT_ACCEL"),
        ) from None


def _facts(accelerator: Accelerator, why: str, began: float, *, probed: bool = False) -> AcceleratorFacts:
    return AcceleratorFacts(accelerator=accelerator, why=why, probed=probed, seconds=time.monotonic() - began)


# --- the answer, kept ------------------------------------------------------------------------------


def _cache_key(emulator: Path, image: GuestImage) -> list[str | int]:
    """Return what the answer depends on: this boot of the host, this QEMU, this guest."""
    program = emulator.resolve()
    info = program.stat()
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        boot = ""
    return [boot, str(program), info.st_size, info.st_mtime_ns, image.kernel or image.disk]


def _read_cache(cache: Path, key: list[str | int]) -> Probe | None:
    try:
        kept = json.loads(cache.read_bytes())
        sound = kept["key"] == key and all(type(kept["probe"][name]) in kinds for name, kinds in _KEPT.items())
        return Probe(**kept["probe"]) if sound else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _write_cache(cache: Path, key: list[str | int], probe: Probe) -> None:
    """Keep the answer; if that fails, the next call probes again."""
    kept = {
        "key": key,
        "probe": {"spoke": probe.spoke, "seconds": probe.seconds, "ended": probe.ended, "words": probe.words},
    }
    with suppress(OSError):
        cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = cache.with_name(f".{cache.name}.{os.getpid()}")
        part.write_text(json.dumps(kept))
        part.replace(cache)
