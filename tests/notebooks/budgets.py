"""What a notebook asks of a reader and of a computer: the table at its top, what reading it takes, what a run takes.

    minutes of reading = words / 150 + code cells / 2 + predictions / 2

for its core: what is neither *Going deeper* nor exercises. Words are those of prose; the lines under *By hand* are for
comparison and not counted. A code cell is read and its result looked at in half a minute; a prediction is thought about
for half a minute more.

A run is metered from outside: how many guests there are at once, how much memory they were given, and how long each
section's cells take. What counts are seconds of a quiet computer (`effort.py`), so that a run beside others is held to
the same limits. A table's *waiting* is a promise to readers, with much room. So each core is also held to what it took
when it was last measured (`TOOK`), on a computer of the same speed: one that waits twice as long is noticed.

Knows: notebooks as files, processes of the host. Must not know: labkit, pytest.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode

from tests.notebooks.effort import LOOK_SECONDS, Effort, measure_speed

WORDS_A_MINUTE, MINUTES_A_CELL, MINUTES_A_PREDICTION = 150, 0.5, 0.5
MOST_MINUTES, MOST_ASKING = 40, 6
"""Of the core: minutes of reading, and sections that ask for a prediction."""

MOST_SECTION_SECONDS = 90
"""What one section of the core may keep a reader waiting."""

_PREDICT = re.compile(r'predict\("[a-z0-9-]+"\)')
_UNITS = {"MiB": 2**20, "GiB": 2**30}
_GUEST = re.compile(rb"\0guest=[^\0]*")
_MEMORY = re.compile(rb"\0-m\0(?:size=(\d+)k|(\d+))")
"""KiB, or MiB, as the version of libvirt writes it."""

TOOK = {
    "00-your-lab": 6.0,
    "01-host-and-guest": 28.0,
    "02-hypervisors": 37.0,
    "03-disks": 11.0,
    "04-snapshots": 29.0,
    "05-clones": 28.0,
}
"""What each core takes: quiet seconds where `measure_speed` takes `SPEED`. Renewed from what stands at a run's end."""

SPEED = 0.01

MOST_TIMES = 1.8
"""How many times as long as that a core may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The table at the top of a notebook.

    Attributes:
        minutes: the reader's time. guests: at once. memory: of all of them, bytes. seconds: of waiting.
    """

    minutes: int
    guests: int
    memory: int
    seconds: int


def read_budget(notebook: NotebookNode) -> Budget:
    """Return what a notebook's first cell promises; of several numbers in a row of the table the largest counts."""
    rows = dict(re.findall(r"^\| ([a-z ]+?) \| (.+?) \|$", notebook.cells[0].source, re.MULTILINE))
    (size, unit), *_others = re.findall(r"(\d+) (MiB|GiB)", rows["their memory"])
    return Budget(
        minutes=int(re.findall(r"\d+", rows["your time"])[0]),
        guests=max(map(int, re.findall(r"\d+", rows["machines at once"].replace("two disks", "")))),
        memory=int(size) * _UNITS[unit],
        seconds=60 * int(re.findall(r"(\d+) minutes?", rows["waiting"])[0]),
    )


def sections(notebook: NotebookNode) -> dict[str, list[NotebookNode]]:
    """Return the cells of each section of the second order, by its heading's id; "title" is what stands before."""
    found: dict[str, list[NotebookNode]] = {"title": []}
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            found[cell.id] = []
        found[[*found][-1]].append(cell)
    return found


def core(notebook: NotebookNode) -> dict[str, list[NotebookNode]]:
    """Return the sections that everybody reads."""
    return {name: cells for name, cells in sections(notebook).items() if name not in ("deeper", "exercises")}


def asking(notebook: NotebookNode) -> list[str]:
    """Return the sections of the core that ask for a prediction."""
    return [name for name, cells in core(notebook).items() if any(_asks(cell) for cell in cells)]


def minutes_of_reading(notebook: NotebookNode) -> float:
    """Return how long the core takes a reader, without the machine's time."""
    cells = [cell for cells in core(notebook).values() for cell in cells]
    words = sum(count_words(cell.source) for cell in cells if cell.cell_type == "markdown")
    code = [cell for cell in cells if cell.cell_type == "code"]
    asked = sum(_asks(cell) for cell in code)
    return words / WORDS_A_MINUTE + len(code) * MINUTES_A_CELL + asked * MINUTES_A_PREDICTION


def count_words(text: str) -> int:
    """Count the words of prose, code blocks and what stands on folds left out."""
    folds = re.sub(r"<details><summary>.*</summary>|</details>", "", text)
    return len(re.sub(r"```.*?```", "", folds, flags=re.DOTALL).split())


def _asks(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and _PREDICT.fullmatch(cell.source) is not None


@dataclass(slots=True)
class Meter:
    """What a run of a notebook takes of the computer.

    Args:
        folder: of the hypervisor instance; only guests with a path below it are counted.

    Attributes:
        guests, memory: the most there were at once; bytes. seconds: how long each cell took, by its id.
        quiet: the same on a quiet computer. speed: how fast this one is, see `measure_speed`.
    """

    folder: Path
    guests: int = 0
    memory: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    quiet: dict[str, float] = field(default_factory=dict)
    speed: float = SPEED
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _effort: Effort | None = None

    def start(self) -> Meter:
        """Look at the guests again and again, on a thread of its own."""
        self.speed, self._effort = measure_speed(), Effort(self.folder)
        self._thread = threading.Thread(target=self._watch, name="budget meter", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Look no longer."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """Count the guests that there are now."""
        sizes = guests_of(self.folder)
        self.guests, self.memory = max(self.guests, len(sizes)), max(self.memory, sum(sizes))

    def clock(self) -> tuple[float, float]:
        """Return this moment, and the quiet seconds until now."""
        return time.monotonic(), self._effort.look() if self._effort else 0.0

    def add(self, cell: str, seconds: float, quiet: float) -> None:
        """Take how long a cell took, and how long it would have taken on a quiet computer."""
        self.seconds[cell] = seconds
        self.quiet[cell] = quiet

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self.look()
            self.clock()


def guests_of(folder: Path) -> list[int]:
    """Return the memory of each guest of an instance, in bytes; probes and tools are none."""
    sizes = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if not (process / "comm").read_bytes().startswith(b"qemu-system"):
                continue
            line = (process / "cmdline").read_bytes()
            size = _MEMORY.search(line)
            if str(folder).encode() in line and _GUEST.search(line) and size:
                sizes.append(int(size[1]) * 2**10 if size[1] else int(size[2]) * 2**20)
    return sizes


def overruns(notebook: NotebookNode, meter: Meter, took: float | None = None) -> list[str]:
    """Return in which way a run took more than it may, a sentence each.

    Args:
        took: what its core took when it was measured, as in `TOOK`; None: it never was.
    """
    budget, found = read_budget(notebook), []
    if meter.guests > budget.guests:
        found.append(f"{meter.guests} guests at once, not {budget.guests}")
    if meter.memory > budget.memory:
        found.append(f"{meter.memory // 2**20} MiB of guests, not {budget.memory // 2**20}")
    waits = waiting(notebook, meter.quiet)
    if sum(waits.values()) > budget.seconds:
        found.append(f"{sum(waits.values()):.0f} s of waiting, not {budget.seconds}: {_longest(waits)}")
    if took is not None and (takes := takes_now(notebook, meter)) > MOST_TIMES * took:
        found.append(f"{takes:.0f} s at this computer's speed, where it took {took:.0f}: {_longest(waits)}")
    found += [
        f"section {name} keeps a reader waiting for {seconds:.0f} s, not {MOST_SECTION_SECONDS}"
        for name, seconds in waits.items()
        if seconds > MOST_SECTION_SECONDS
    ]
    return found


def takes_now(notebook: NotebookNode, meter: Meter) -> float:
    """Return what a core has taken, as in `TOOK`."""
    return sum(waiting(notebook, meter.quiet).values()) * SPEED / meter.speed


def waiting(notebook: NotebookNode, seconds: dict[str, float]) -> dict[str, float]:
    """Return how long each section of the core takes the machine; cells that only look at something count, too."""
    return {name: sum(seconds.get(cell.id, 0.0) for cell in cells) for name, cells in core(notebook).items()}


def describe(name: str, notebook: NotebookNode, meter: Meter) -> str:
    """Return what was measured, in a line."""
    budget, core_cells = read_budget(notebook), waiting(notebook, meter.seconds)
    quiet = sum(waiting(notebook, meter.quiet).values())
    return (
        f"{name}: {meter.guests} of {budget.guests} guests, {meter.memory // 2**20} of {budget.memory // 2**20} MiB, "
        f"{sum(core_cells.values()):.0f} s ({quiet:.0f} s on a quiet computer) of {budget.seconds} s, "
        f"TOOK {takes_now(notebook, meter):.0f}, "
        f"{minutes_of_reading(notebook):.0f} of {MOST_MINUTES} minutes of reading"
    )


def _longest(waits: dict[str, float]) -> str:
    longest: Sequence[str] = sorted(waits, key=lambda name: -waits[name])[:3]
    return ", ".join(f"{name} {waits[name]:.0f} s" for name in longest)
