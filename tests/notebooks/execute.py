"""Run notebooks for real and write their outputs in place: `./lab run python -m tests.notebooks.execute [NAME …]`.

A name is the beginning of a notebook's, such as `00`. The notebooks run in a hypervisor instance of their own.
What is written is the same for the same results: cell ids stay, and there is no time, no widget's state and no
version in the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.instance import ROOT, instance_of_a_program

FOLDER = ROOT / "notebooks"
CELL_SECONDS = 420
WIDGET = "application/vnd.jupyter.widget-view+json"
FOLDED = "jp-MarkdownHeadingCollapsed"
"""What says in a cell's metadata that JupyterLab shows its heading alone."""
KEPT = ("tags", FOLDED)
"""What stays of a cell's metadata."""
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
say = print  # a command speaks


def find_notebooks(*names: str) -> list[Path]:
    """Return the notebooks whose names begin so, in every edition; without names, all."""
    beginnings = names or ("",)
    return sorted(path for path in FOLDER.glob("*/*.ipynb") if path.name.startswith(beginnings))


def read_notebook(path: Path) -> NotebookNode:
    """Return a notebook as it is in its file."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)
    return notebook


def execute(path: Path) -> None:
    """Run a notebook in its folder and write it back with its outputs."""
    notebook = read_notebook(path)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    path.write_text(nbformat.writes(normalize(notebook)) + "\n", encoding="utf-8")


def normalize(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook without anything that belongs to one run or one computer."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in KEPT if cell.metadata.get(key)})
        for output in cell.get("outputs", []):
            if "data" in output:
                output.data.pop(WIDGET, None)
            output.pop("transient", None)
    return notebook


def main(names: list[str]) -> int:
    """Run the notebooks named on the command line."""
    paths = find_notebooks(*names)
    with instance_of_a_program():
        for path in paths:
            say(path.relative_to(ROOT))
            execute(path)
    return 0 if paths else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
