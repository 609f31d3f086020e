"""Clones of real guests: who they are, what they hold, what their originals hold, what keeps their bases."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import Refused
from labkit.machine import Machine
from labkit.model.image import Format
from tests.snapshots.test_guests import hash_content

KEYED = 'until grep -q "^$(cat /etc/machine-id) " /etc/labkit/host-key; do usleep 9999; done'
"""Wait for the guest's own host key: it is made while the guest is in use already."""

IDENTITY = (
    f"{KEYED}; cat /etc/machine-id /etc/hostname /etc/labkit/host-key; hostname; cat /sys/class/dmi/id/product_uuid"
)


def only(made: Machine | list[Machine]) -> Machine:
    """The one clone that was made."""
    assert isinstance(made, Machine)
    return made


def many(made: Machine | list[Machine]) -> list[Machine]:
    """The list of clones that were made."""
    assert isinstance(made, list)
    return made


@pytest.fixture
def running(lab: Lab) -> Machine:
    """A machine with two disks that runs; its guest has an identity."""
    vm = lab.create("web", memory="96 MiB")
    vm.attach(lab.disks.create("data", capacity="8 MiB"))
    write(vm.start(warm=True).wait_ready(), "original")
    return vm


@pytest.fixture
def vm(running: Machine) -> Machine:
    """That machine, off again."""
    return running.stop()


def boot(vm: Machine) -> Machine:
    """Start it and wait until its agent answers."""
    return vm.start().wait_ready()


def write(vm: Machine, text: str) -> None:
    """Let both disks hold a text."""
    to_second = f"printf %-16s {text} | dd of=/dev/vdb conv=notrunc,fsync 2>/dev/null"
    assert vm.run(f"echo {text} > /root/note; {to_second}; sync")


def read(vm: Machine) -> list[str]:
    """The text on both disks, really read."""
    return vm.run("echo 3 >/proc/sys/vm/drop_caches; cat /root/note; head -c 16 /dev/vdb").stdout.split()


def content(vm: Machine) -> list[str]:
    """The hashes of what its disks hold."""
    return [hash_content(disk.path, disk.format.driver) for disk in vm.facts.spec.disks]


def identity(vm: Machine) -> list[str]:
    """What its guest takes itself for."""
    return vm.run(IDENTITY).stdout.split()


def frozen(lab: Lab) -> dict[str, str]:
    """The hashes of the files that snapshots keep."""
    return {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in lab.state.kept}


def test_a_full_clone_stands_alone_and_is_somebody_else(vm: Machine) -> None:
    before = content(vm)
    copy = only(vm.clone("copy"))
    assert copy.state == "off"
    assert content(copy) == content(vm) == before
    assert [disk.name for disk in copy.facts.spec.disks] == ["copy.vda", "copy.data"]
    assert vm.lab.lineage.clones("web") == ()
    assert copy.facts.spec.id != vm.id
    assert copy.facts.spec.genid != vm.facts.spec.genid
    boot(vm)
    boot(copy)
    assert read(copy) == ["original", "original"]
    write(copy, "changed")
    assert read(vm) == ["original", "original"]
    ours, theirs = identity(vm), identity(copy)
    assert theirs[1] == "copy"
    assert ours[1] == "web"
    assert all(one != other for one, other in zip(ours, theirs, strict=True))
    vm.kill()
    vm.delete()
    assert read(copy) == ["changed", "changed"]


def test_linked_clones_are_many_at_once_and_start_by_virsh_too(vm: Machine) -> None:
    vm.snapshots.take("clean")
    kept = frozen(vm.lab)
    one, two = many(vm.clone("seat-{:02}", kind="linked", snapshot="clean", count=2))
    assert [one.name, two.name] == ["seat-01", "seat-02"]
    assert vm.lab.lineage.direct_clones("web", "clean") == ("seat-01", "seat-02")
    subprocess.run(["virsh", "-c", "qemu:///session", "start", one.facts.spec.domain_name], check=True)
    one.wait_ready()
    boot(two)
    assert read(one) == read(two) == ["original", "original"]
    write(one, "first")
    write(two, "second")
    assert (identity(one)[1], identity(two)[1]) == ("seat-01", "seat-02")
    assert len({identity(each)[0] for each in (one, two)}) == 2
    assert read(one) == ["first", "first"]
    assert frozen(vm.lab) == kept
    with pytest.raises(Refused) as refused:
        vm.delete()
    assert refused.value.plan.refusal.dependants == ("seat-01", "seat-02")
    assert "flatten()" in str(refused.value)


def test_twins_take_themselves_for_the_original(running: Machine) -> None:
    vm, ours = running, identity(running)
    vm.stop()
    twin = boot(only(vm.clone("twin", kind="linked", identity="keep")))
    theirs = identity(twin)
    assert theirs[:4] == ours[:4]  # all but the firmware's number, which the hypervisor needs
    twin.stop()
    other = boot(only(twin.clone("other", kind="linked")))
    assert identity(other)[1] == "other"


COUNTING = """
cat > /root/count.sh <<'END'
n=10000000
while :; do
    n=$((n+1))
    echo $n | dd of=/dev/vdb bs=512 seek=9 conv=notrunc,fsync 2>/dev/null
    echo $n | dd of=/root/count conv=notrunc,fsync 2>/dev/null
done
END
echo 10000000 > /root/count
echo 10000000 | dd of=/dev/vdb bs=512 seek=9 conv=notrunc 2>/dev/null
sync
sh /root/count.sh >/dev/null 2>&1 </dev/null &
"""


@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_running_machine_is_cloned_at_one_instant_and_goes_on(running: Machine, state: str) -> None:
    vm = running
    vm.run(COUNTING)
    if state == "paused":
        vm.pause()
    copy = only(vm.clone("copy"))
    assert vm.state == state
    assert copy.state == "off"
    if state == "paused":
        vm.resume()
    write(vm, "later")
    assert read(boot(copy)) == ["original", "original"]
    second, first = copy.run(
        "dd if=/dev/vdb bs=512 skip=9 count=1 2>/dev/null | head -n 1; cat /root/count"
    ).stdout.split()
    assert int(second) - int(first) in (0, 1)
    assert vm.lab.lineage.clones("web") == ()


@pytest.mark.parametrize("format", [Format.RAW, Format.VDI, Format.VMDK, Format.VHD])
@pytest.mark.parametrize("allocation", ["dynamic", "fixed"])
def test_every_format_is_cloned_off_and_on(lab: Lab, format: Format, allocation: str) -> None:
    vm = lab.create("web", image="sector", memory="32 MiB")
    vm.attach(lab.disks.create("data", capacity="4 MiB", format=format, allocation=allocation))
    path = lab.disks["data"].path
    subprocess.run(["qemu-io", "-f", format.driver, "-c", "write -P 7 1M 1M", str(path)], check=True)
    off = only(vm.clone("off"))
    vm.start()
    on = only(vm.clone("on"))
    vm.kill()
    vm.snapshots.take("s")
    chain = only(vm.clone("chain"))
    for clone in (off, on, chain):
        disk = lab.disks[f"{clone.name}.data"]
        assert (disk.format, disk.allocation, len(disk.layers)) == (format, lab.disks["data"].allocation, 1)
        assert content(clone) == content(vm)
        clone.start()
        clone.kill()


def test_flatten_lets_the_original_go(vm: Machine) -> None:
    vm.snapshots.take("clean")
    on, off = many(vm.clone("c{}", kind="linked", snapshot="clean", count=2))
    boot(on)
    write(on, "alive")
    on.flatten()
    assert all(len(disk.layers) == 1 for disk in vm.lab.disks.values() if disk.machine == "c1")
    write(off.start().wait_ready(), "dead")
    off.stop()
    off.snapshots.take("own")
    below = only(off.clone("below", kind="linked", snapshot="own"))
    before = content(off), content(below)
    off.flatten()
    assert (content(off), content(below)) == before
    assert vm.lab.lineage.clones("web") == ()
    vm.delete()
    assert read(on) == ["alive", "alive"]
    assert read(boot(below)) == ["dead", "dead"]
    below.kill()
    with pytest.raises(Refused):
        off.delete()
    below.flatten()
    off.delete()
    assert read(boot(below)) == ["dead", "dead"]


def test_a_whole_tree_is_cloned(vm: Machine) -> None:
    vm.snapshots.take("one")
    boot(vm)
    write(vm, "two")
    vm.snapshots.take("two")
    write(vm, "three")
    running = only(vm.clone("running", snapshots=True))
    vm.stop()
    vm.snapshots.restore("one")
    vm.snapshots.take("branch")
    copy = only(vm.clone("copy", snapshots=True))
    assert copy.snapshots.tree.text().replace("(disks only)", "(running)") == vm.snapshots.tree.text()
    assert content(copy) == content(vm)
    assert vm.lab.lineage.clones("web") == ()
    vm.delete()
    assert read(boot(running)) == ["three", "three"]
    running.kill()
    for clone in (running, copy):
        for name, text in (("one", "original"), ("two", "two")):
            clone.snapshots.restore(name)
            assert read(boot(clone)) == [text, text], (clone.name, name)
            clone.kill()
