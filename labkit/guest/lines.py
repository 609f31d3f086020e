"""What a terminal would show of a printed text, without what was overwritten, erased or deleted.

Lines may have any length, since a guest breaks them itself where its line editor assumes the edge; only for jumps to a
place on the screen the terminal is taken to have 24 lines. (A terminal emulator such as pyte needs a width and takes
forty times as long, and a panel asks every second.)

Knows: control characters, escape sequences. Must not know: where they come from.
"""

from __future__ import annotations

import re

ROWS = 24
"""How many lines the screen of the terminal has."""

_MOST_COLUMNS = 1000
"""How far to the right the cursor can be moved."""

_TOKEN = re.compile(
    r"(\x1b\[[0-9;?<=>!]*[ -/]*(?:[@-~]|\Z)"  # a control sequence, or its beginning
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|\Z)"  # a text for the terminal itself, such as a title
    r"|\x1b[ -/]*(?:[0-~]|\Z)"
    r"|[\x00-\x1f\x7f\x80-\x9f])"
)
_SEQUENCE = re.compile(r"\x1b\[([0-9;]*)([@-~])")
_TAB = 8


def show_lines(text: str) -> list[str]:
    """Return the lines that a terminal shows after printing a text, including those that have scrolled away.

    Empty lines at the end are left out.
    """
    screen = _Screen()
    for number, part in enumerate(_TOKEN.split(text)):
        if number % 2:
            screen.obey(part)
        elif part:
            screen.write(part)
    used = max((number for number, line in enumerate(screen.lines, 1) if line.strip()), default=0)
    return screen.lines[:used]


class _Screen:
    def __init__(self) -> None:
        self.lines = [""]
        self._row = self._column = 0
        self._kept = 0, 0

    @property
    def _top(self) -> int:
        """The row of the first line that has not scrolled away."""
        return max(0, len(self.lines) - ROWS)

    def write(self, text: str) -> None:
        line, end = self.lines[self._row], self._column + len(text)
        self.lines[self._row] = line[: self._column].ljust(self._column) + text + line[end:]
        self._column = end

    def obey(self, control: str) -> None:
        if control == "\n":
            self._go(self._row + 1, self._column)
        elif control == "\r":
            self._column = 0
        elif control == "\b":
            self._column = max(0, self._column - 1)
        elif control == "\t":
            self._column = (self._column // _TAB + 1) * _TAB
        elif control == "\x1b7":
            self._kept = self._row, self._column
        elif control == "\x1b8":
            self._go(*self._kept)
        elif sequence := _SEQUENCE.fullmatch(control):
            self._obey_sequence(sequence[2], [int(number[:4] or 0) for number in sequence[1].split(";")])

    def _obey_sequence(self, letter: str, numbers: list[int]) -> None:
        first, second = [*numbers, 0][:2]
        some = max(1, first)
        match letter:
            case "A":
                self._go(max(self._top, self._row - some), self._column)
            case "B":
                self._go(min(self._top + ROWS - 1, self._row + some), self._column)
            case "C":
                self._go(self._row, self._column + some)
            case "D":
                self._go(self._row, self._column - some)
            case "G":
                self._go(self._row, some - 1)
            case "H" | "f":
                self._go(self._top + min(ROWS, some) - 1, max(1, second) - 1)
            case "J":
                self._erase_screen(first)
            case "K":
                self._erase_line(first)
            case "P":
                line = self.lines[self._row]
                self.lines[self._row] = line[: self._column] + line[self._column + some :]
            case _:
                pass

    def _go(self, row: int, column: int) -> None:
        self._row, self._column = row, min(max(0, column), _MOST_COLUMNS)
        while len(self.lines) <= row:
            self.lines.append("")

    def _erase_line(self, which: int) -> None:
        line = self.lines[self._row]
        before, after = line[: self._column], line[self._column + 1 :]
        self.lines[self._row] = {0: before, 1: " " * (self._column + 1) + after}.get(which, "")

    def _erase_screen(self, which: int) -> None:
        if which in (0, 1):
            self._erase_line(which)
        first, last = {0: (self._row + 1, len(self.lines)), 1: (self._top, self._row)}.get(
            which, (self._top, len(self.lines))
        )
        self.lines[first:last] = [""] * (last - first)
