"""A host without space: the guest that writes is paused, not harmed, and goes on once there is room."""

from __future__ import annotations

from contextlib import suppress

import pytest

from labkit import Lab
from labkit.engine import switching
from labkit.errors import WrongState
from labkit.limits import Limit
from labkit.machine import Machine
from labkit.units import MIB
from tests.storage.full_host import serve_with_room


def test_a_full_host_pauses_the_guest_and_nothing_is_lost_when_there_is_room_again(lab: Lab, guest: Machine) -> None:
    disk = lab.disks.create("data", capacity="32 MiB", format="raw")
    socket = lab.session.workspace.socket("data")
    socket.parent.mkdir(parents=True, exist_ok=True)
    with serve_with_room(disk.path, socket) as host:
        guest.attach("data")
        assert guest.run("until [ -b /dev/vdb ]; do sleep 0.1; done; yes written-in-full | head -c 4194304 >/run/data")
        boot = guest.run("cat /proc/sys/kernel/random/boot_id").stdout
        host.fill()
        with suppress(WrongState):  # it may be paused before it has answered
            guest.run("(sleep 3; dd if=/run/data of=/dev/vdb bs=64k oflag=direct && touch /run/done) >/run/log 2>&1 &")
        assert lab.session.domains.wait_for(lambda: True if guest.state == "paused" else None, Limit(60))
        assert guest.reason == "no space left"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(switching, "GOES_ON_FOR", 20.0)  # a busy host is late
            with pytest.raises(WrongState, match="paused again"):
                guest.resume()
        host.free()
        guest.resume()
        assert guest.run("until [ -e /run/done ]; do sleep 0.1; done", timeout=60)
        assert guest.run("cat /proc/sys/kernel/random/boot_id").stdout == boot
        guest.detach("data")
    assert disk.path.read_bytes()[: 4 * MIB] == (b"written-in-full\n" * (4 * MIB // 16))
