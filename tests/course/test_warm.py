"""Machines of exercises go on from a kept guest: each as itself; where that cannot be, they boot."""

from __future__ import annotations

import time

from labkit import Lab
from labkit.course.warm import start_warm
from labkit.engine.folders import data_folder

MEMORY = "104 MiB"
"""Of a kind of their own."""


def test_a_machine_goes_on_as_itself_without_a_boot_and_boots_where_what_was_kept_is_no_use(lab: Lab) -> None:
    before = set((data_folder() / "warm").glob("*/memory"))
    first = start_warm(lab.create("first", memory=MEMORY))
    (kept,) = set((data_folder() / "warm").glob("*/memory")) - before

    second = start_warm(lab.create("second", memory=MEMORY))
    told = [vm.run("hostname; cat /etc/hostname /etc/machine-id; date +%s").stdout.split() for vm in (first, second)]
    assert [words[:2] for words in told] == [["first", "first"], ["second", "second"]]
    assert told[0][2] != told[1][2]
    assert all(abs(int(words[3]) - time.time()) < 10 for words in told)
    assert second.console.tail() == ""
    again = second.stop().start().wait_ready().run("hostname; cat /etc/machine-id").stdout.split()
    assert again == ["second", told[1][2]], "it stays who it was told to be"

    kept.write_bytes(kept.read_bytes()[: 1 << 20])
    third = start_warm(lab.create("third", memory=MEMORY))
    assert "root@third" in third.console.tail()
    assert third.run("hostname").stdout.strip() == "third"
