"""A real guest whose agent was exchanged for a program of somebody's own: every call ends in one error in words."""

from __future__ import annotations

import pytest

from labkit.errors import GuestError, LabError
from labkit.machine import Machine
from labkit.model.machine import MachineState

ANSWERS = """{"return": 5}
{}
{"return": {}}
{"return": {"pid": "5", "exited": 1}}
{"return": {"pid": 1e999, "exited": true, "exitcode": {}}}
{"return": {"exited": true, "exitcode": 0, "out-data": "===="}}
{"return": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}
{"return": {"pid": 99999999999999999999999999999999999999999999999999}}
"""

SCRIPT = r"""exec 3<>"$1"
while [ ! -e /run/enough ]; do
    while read -r answer <&4 && read -r line <&3; do
        case $line in
        *guest-sync*)
            number=${line##*\"id\":}
            printf '\377{"return":%s}\n' "${number%%\}*}" >&3
            read -r line <&3
            ;;
        esac
        printf '%s\n' "$answer" >&3
    done 4</run/answers
done
rm /run/enough
"""

SWAP = """keeper=$(sed 's/.*) . \\([0-9]*\\) .*/\\1/' /proc/$(pidof qemu-ga)/stat)
port=$(ls /dev/vport*)
kill -STOP $keeper
kill $(pidof qemu-ga)
setsid sh /run/script $port >/run/said 2>&1 </dev/null
kill -CONT $keeper
"""


def test_whatever_another_agent_answers_is_one_error_and_the_machine_goes_on(guest: Machine) -> None:
    for name, content in (("answers", ANSWERS), ("script", SCRIPT), ("swap", SWAP)):
        guest.run(f"cat >/run/{name}", stdin=content.encode())
    guest.run("(sleep 0.5; sh /run/swap) >/dev/null 2>&1 </dev/null &")
    said = []
    for _call in range(3 * len(ANSWERS.splitlines())):
        try:
            guest.run("true", timeout=5)
        except LabError as error:
            said.append(error)
    assert any("answered something it should not" in error.message for error in said), said
    assert all(isinstance(error, GuestError) and error.hint for error in said), said
    assert guest.state is MachineState.RUNNING
    guest.console.send("touch /run/enough")
    while guest.console.position:  # it asks until the agent is the old one again
        try:
            if guest.run("echo back", timeout=5).stdout == "back\n":
                break
        except LabError:
            continue
    with pytest.raises(GuestError, match="no program"):
        guest.run(["no-such-program"])
