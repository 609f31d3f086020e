"""The lineage in words: what each point is, and the whole of it as `tree` draws it.

It contains nothing measured, so notebooks can compare it.
Knows: points, the words of the course. Must not know: pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from labkit.language import _, ngettext
from labkit.model.lineage import Lineage, LineageNode, NodeKind
from labkit.model.losses import losses_of
from labkit.model.points import Point, boot_files, find_points, plain_label, span
from labkit.model.snapshot import snapshot_word


def point_word(lineage: Lineage, point: Point) -> str:
    """Return what a point is in a few words, e.g. "linked clone"."""
    if point.missing:
        return _missing_word(lineage, point)
    word = _kind_word(lineage, point)
    return _("{word}, on an image that is lost").format(word=word) if point.lost else word


def standing_word(lineage: Lineage, machine: str) -> str:
    """Return in words what a machine stands on, or that it stands alone, and which of its images are lost."""
    original = lineage.original(machine)
    lost = ", ".join(loss.file for loss in losses_of(lineage, machine))
    if lost and original:
        return _("{point}; lost is {files}").format(point=original, files=lost)
    if lost:
        return _("what is lost: {files}").format(files=lost)
    return original or _("nothing: it stands alone")


def _missing_word(lineage: Lineage, point: Point) -> str:
    if lineage.state.damaged.issuperset(point.missing):
        return ngettext("an image of it is damaged", "images of it are damaged", len(point.missing))
    return ngettext("an image of it is gone", "images of it are gone", len(point.missing))


def _kind_word(lineage: Lineage, point: Point) -> str:
    match point.node.kind:
        case NodeKind.SNAPSHOT:
            return snapshot_word(point.kind) if point.kind else ""
        case NodeKind.MACHINE:
            count = len(point.equals)
            if count > 1:
                return ngettext("{count} linked clone", "{count} linked clones", count).format(count=count)
            return _("linked clone") if point.of_clone else _("machine")
        case NodeKind.DISK:
            return _("free disk")
        case _:
            return _("layer without a name") if lineage.dependants(point.node) else _("nothing needs it")


def boot_line(lineage: Lineage, files: tuple[LineageNode, ...], machines: tuple[LineageNode, ...]) -> str:
    """Return which machines need some boot files: "vmlinuz, initramfs (boot files of web, seat-01 … seat-20)"."""
    names = ", ".join(sorted((plain_label(file) for file in files), reverse=True))
    if len(machines) == len(lineage.state.machines) > 1:
        return _("{files} (boot files of all machines)").format(files=names)
    return _("{files} (boot files of {machines})").format(files=names, machines=span(machines))


def list_boot_lines(lineage: Lineage) -> list[tuple[tuple[LineageNode, ...], tuple[LineageNode, ...]]]:
    """Return the boot files grouped by the machines that need them: the files and the machines of each group."""
    together: dict[tuple[LineageNode, ...], tuple[LineageNode, ...]] = {}
    for file, machines in boot_files(lineage).items():
        together[machines] = (*together.get(machines, ()), file)
    return [(files, machines) for machines, files in together.items()]


def lineage_text(
    lineage: Lineage,
    *,
    marks: Mapping[LineageNode, str] | None = None,
    grouped: bool = True,
) -> str:
    """Return the lineage as `tree` draws it: each point under the one it stands on.

    Args:
        marks: words to add after points, such as those of `marks_of`.
        grouped: whether equal siblings are shown as one line.
    """
    marks = marks or {}
    points = find_points(lineage, marks=marks, grouped=grouped)
    if not points:
        return "(" + _("nothing in this lab") + ")"
    lines = []
    for before, point in zip(list_lines(points), points, strict=True):
        note = f" ← {marks[point.node]}" if point.node in marks else ""
        lines.append(f"{before}{point.name} ({point_word(lineage, point)}){note}")
    for files, machines in list_boot_lines(lineage):
        note = next((f" ← {marks[file]}" for file in files if file in marks), "")
        lines.append(boot_line(lineage, files, machines) + note)
    return "\n".join(lines)


def marks_of(lineage: Lineage, selected: LineageNode | None) -> dict[LineageNode, str]:
    """Return the words to add to a selected node and to all that need it, including the points in between."""
    if selected is None:
        return {}
    return {node: _("needs it") for node in find_needing(lineage, selected)} | {selected: _("selected")}


def find_needing(lineage: Lineage, selected: LineageNode) -> tuple[LineageNode, ...]:
    """Return all that stands on a node, directly or not: other machines, and their snapshots and disks.

    For a snapshot: the clones that stand directly on it, which keep it from being deleted, and all that stands on them.
    """
    direct = lineage.dependants(selected)
    if selected.kind is not NodeKind.SNAPSHOT:
        return direct
    clones = {node.machine for node in direct}
    needing: set[LineageNode] = set()
    for point in find_points(lineage, grouped=False):  # each comes after the one it stands on
        if point.node.machine in clones or point.below in needing:
            needing.add(point.node)
    return tuple(sorted(needing))


def list_lines(points: tuple[Point, ...]) -> Iterator[str]:
    """Yield what precedes each point's name: "├─ ", "│  └─ " …; the lines to linked clones are dotted."""
    for place, point in enumerate(points):
        if not point.depth:
            yield ""
            continue
        before = ["│  " if _goes_on(points, place, depth) else "   " for depth in range(1, point.depth)]
        goes_on = _goes_on(points, place, point.depth)
        dash = "┄ " if point.is_linked else "─ "
        yield "".join(before) + ("├" if goes_on else "└") + dash


def _goes_on(points: tuple[Point, ...], place: int, depth: int) -> bool:
    """Whether a later point continues the vertical line at this depth."""
    for later in points[place + 1 :]:
        if later.depth == depth:
            return True
        if later.depth < depth:
            return False
    return False


__all__ = [
    "boot_line",
    "find_needing",
    "lineage_text",
    "list_boot_lines",
    "list_lines",
    "marks_of",
    "point_word",
    "standing_word",
]
