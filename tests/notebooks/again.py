"""Run every cell twice in a row and tell what differs: `./lab run python -m tests.notebooks.again [NAME …]`.

A cell that was run again must not fail, and must say the same. Nothing is written; the notebooks run in a
hypervisor instance of their own.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from tests.instance import ROOT, instance_of_a_program
from tests.notebooks.execute import CELL_SECONDS, find_notebooks, read_notebook

say = print  # a command speaks


def run_twice(path: Path) -> list[str]:
    """Return what was different, or failed, when a cell was run again."""
    notebook = read_notebook(path)
    client = NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    found = []
    with client.setup_kernel():
        for number, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            said = []
            for _time in range(2):
                try:
                    client.execute_cell(cell, number)
                except CellExecutionError as error:
                    found.append(f"{cell.id}: {error.ename}: {error.evalue}")
                said.append(_words(cell))
            if said[0] != said[1]:
                found.append(f"{cell.id}:\n--- first\n{said[0]}\n--- again\n{said[1]}")
    return found


def _words(cell: NotebookNode) -> str:
    """What a cell says, without pictures and panels."""
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "".join(parts)


def main(names: list[str]) -> int:
    """Run the notebooks named on the command line."""
    failed = False
    with instance_of_a_program():
        for path in find_notebooks(*names):
            say(path.relative_to(ROOT))
            for line in run_twice(path):
                failed = True
                say(line)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
