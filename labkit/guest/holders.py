"""What keeps a command inside a guest from ending: itself, or what it left in the background with its output open.

    vm.run("server &")      the shell ends at once, but the server keeps its output open

Knows: /proc of a Linux guest, as `ls` and `cat` print it. Must not know: how they are run there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LOOK: Final = "{ cat /proc/[0-9]*/stat; ls -l /proc/[0-9]*/fd/[0125]; } 2>/dev/null | head -c 1000000"
"""A line for the guest's shell that prints what `find_holders` reads."""

_STAT = re.compile(r"(\d{1,19}) \((.{0,64})\) [A-Za-z] (\d{1,19}) ")
_LINK = re.compile(r".*/proc/(\d{1,19})/fd/([0125]) -> (pipe:\[\d{1,20}\])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process: its number and its name."""

    pid: int
    name: str


def find_holders(printed: str, pid: int) -> tuple[Holder, ...]:
    """Return what a command that has ended left behind with its output open; empty while the command itself is at work.

    Args:
        printed: what `LOOK` printed. pid: the process the command was started as, see `limiting`.
    """
    names, parents, pipes = _read(printed)
    ours = {each for each in names if pid in _line_of(each, parents)}
    # The processes of `limiting` that keep the output read from pipes; while one of those pipes is some process's
    # descriptor 5, the command itself has not ended.
    read = {pipe for each in ours if (pipe := pipes.get((each, 0))) and pipe != pipes.get((pid, 0))}
    if any(pipes.get((each, 5)) in read for each in ours):
        return ()
    others = sorted({each for (each, number), pipe in pipes.items() if number in (1, 2) and pipe in read} - ours)
    return tuple(Holder(pid=each, name=names.get(each, "?")) for each in others)


def _read(printed: str) -> tuple[Mapping[int, str], Mapping[int, int], Mapping[tuple[int, int], str]]:
    names, parents, pipes = {}, {}, {}
    for line in printed.splitlines():
        if stat := _STAT.match(line):
            names[int(stat[1])], parents[int(stat[1])] = stat[2], int(stat[3])
        elif link := _LINK.match(line):
            pipes[int(link[1]), int(link[2])] = link[3]
    return names, parents, pipes


def _line_of(pid: int, parents: Mapping[int, int]) -> set[int]:
    """A process and all its ancestors."""
    line: set[int] = set()
    while pid not in line and pid in parents:
        line.add(pid)
        pid = parents[pid]
    return line
