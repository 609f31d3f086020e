"""What every notebook keeps to: its shape, its code, and outputs that hold on every computer."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from labkit.course import exercise, exercises
from labkit.course.catalogue import EXERCISES, exercise_disks, exercise_machines
from labkit.course.text import read_texts
from labkit.language import LANGUAGES
from tests.notebooks.execute import FOLDED, FOLDER, KEPT, METADATA, find_notebooks, read_notebook
from tests.notebooks.questions import PREDICT, with_questions
from tests.notebooks.sections import crossing_names, names_of, section_cells

NOTEBOOKS = find_notebooks("0")
PANELS = re.compile(r"\b([A-Z]\w+Panel)\b")

MOST_LINES, MEDIAN_LINES = 25, 4
MOST_PANELS = 3
MOST_WORDS = 80
MOST_COLUMNS = 100
"""What a page shows of a line before it breaks it or cuts it off."""

PROSE = re.compile(r"[^\W\d_]{2,}[,;:]? +[^\W\d_]{2,}|[.!?] ?$|[^\x00-\x7f]")
"""Two words side by side, the end of a sentence, a letter that only some languages have."""

DOORS = {"labkit", "labkit.course", "labkit.experiments", "labkit.figures", "labkit.widgets"}
"""What a student imports from; a room has one door, not a path for each module."""

FOLDS = {"en": ("What explains it", "More precisely"), "es": ("Qué lo explica", "Con más precisión")}
"""What stands on the folds of explanations, in each edition."""

COMMANDS = ("run", "send", "expect")
"""Methods whose text is for a guest."""

ONE_COMPUTER = re.compile(
    r"/(home|tmp|run|usr|var|work)/"  # paths
    r"|[0-9a-f]{8}-[0-9a-f]{4}-"  # ids
    r"|0x[0-9a-f]{6,}"  # addresses
    r"|\b\d+[.,]\d+ ?(s|ms|MiB|GiB|KiB)\b"  # measured
    r"|\b\d+ ?(s|ms)\b"
    r"|\bpid\b|\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d|\bv?\d+\.\d+\.\d+\b"
)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def path(request: pytest.FixtureRequest) -> Path:
    chosen: Path = request.param
    return chosen


@pytest.fixture
def notebook(path: Path) -> NotebookNode:
    return read_notebook(path)


def code_of(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose_of(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS if path.parent.name == "en"][:2] == ["00-your-lab", "01-host-and-guest"]


def test_every_notebook_is_a_valid_one(notebook: NotebookNode) -> None:
    nbformat.validate(notebook)


def test_begins_with_title_question_budget_and_goals(notebook: NotebookNode) -> None:
    first = notebook.cells[0].source
    assert first.startswith("# ")
    assert re.search(r"^\*\*.*\?\*\*$", first, re.MULTILINE), "the question"
    assert first.count("| ") > 4, "the budget"
    assert re.search(r"^- ", first, re.MULTILINE), "the goals"


def test_set_up_is_the_first_cell_and_has_three_lines(notebook: NotebookNode) -> None:
    setup = code_of(notebook)[0]
    assert notebook.cells[1] is setup
    assert len(setup.source.splitlines()) == 3
    assert "Lab.open()" in setup.source


def test_ends_with_what_was_learned_exercises_and_clean_up(notebook: NotebookNode) -> None:
    ids = [cell.id for cell in notebook.cells]
    assert ids.index("learned") < ids.index("exercises") < ids.index("cleanup")
    assert code_of(notebook)[-1].id == "cleanup-do"


def test_what_goes_deeper_is_folded(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        assert cell.metadata.get(FOLDED, False) == cell.source.startswith("## Going deeper"), cell.id


def test_cells_are_named(notebook: NotebookNode) -> None:
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in ids)


def test_code_is_short(notebook: NotebookNode) -> None:
    lengths = [len(cell.source.splitlines()) for cell in code_of(notebook)]
    assert statistics.median(lengths) <= MEDIAN_LINES
    assert max(lengths) <= MOST_LINES


def test_lines_fit_the_page(notebook: NotebookNode) -> None:
    lines = [line for cell in code_of(notebook) for line in cell.source.splitlines()]
    for cell in prose_of(notebook):
        lines += [line for block in re.findall(r"```.*?```", cell.source, re.DOTALL) for line in block.splitlines()]
    assert [line for line in lines if len(line) > MOST_COLUMNS] == []


def test_tables_stand_outside_quotes(notebook: NotebookNode) -> None:
    """In a quote only some programs see a table."""
    assert [cell.id for cell in prose_of(notebook) if re.search(r"^> \|", cell.source, re.MULTILINE)] == []


def test_questions_stand_above_as_the_catalogue_has_them(notebook: NotebookNode, path: Path) -> None:
    """`python -m tests.notebooks.questions` writes them."""
    assert with_questions(notebook, path.parent.name) == notebook


def test_every_prediction_is_asked_once_and_revealed_afterwards() -> None:
    for edition in sorted({path.parent for path in NOTEBOOKS}):
        asked, revealed = [], []
        for path in (path for path in NOTEBOOKS if path.parent == edition):
            for cell in code_of(read_notebook(path)):
                asked += PREDICT.findall(cell.source) if PREDICT.fullmatch(cell.source) else []
                for slug in re.findall(r'predict\("([a-z0-9-]+)"\)\.reveal\(', cell.source):
                    assert slug in asked, f"{slug} is revealed before it is asked"
                    revealed.append(slug)
        assert sorted(asked) == sorted(revealed) == sorted(read_texts("predictions"))


def test_nothing_above_a_reveal_says_which_option_holds(notebook: NotebookNode) -> None:
    """Of the prose above it, only the question has the words of an option; code has those of its name nowhere."""
    prose, code = "", ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            prose += "" if cell.id.endswith("-question") else re.sub(r"\s+", " ", cell.source)
            continue
        for slug in re.findall(r'predict\("([a-z0-9-]+)"\)\.reveal\(', cell.source):
            table = read_texts("predictions")[slug]
            long = [option[code] for option in table["options"] for code in LANGUAGES if len(option[code].split()) > 2]
            assert [text for text in long if text in prose] == [], slug
            named = [option["slug"] for option in table["options"]] if not table["varies"] else []
            waits = re.findall(r'wait_for\("(\w+)"\)', code)
            assert [name for name in named if name in waits] == [], slug
        code += cell.source


def test_explanations_stand_folded_behind_what_they_explain(notebook: NotebookNode, path: Path) -> None:
    told, folds = False, FOLDS[path.parent.name]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            told = True
        elif cell.id.endswith(("-explain", "-precision")) and not cell.id.startswith("exercise"):
            assert told, cell.id
            fold = folds[cell.id.endswith("-precision")]
            assert cell.source.count(f"<details><summary>{fold}</summary>\n\n") == 1, cell.id
            assert cell.source.count("\n\n</details>") == 1, cell.id
        else:
            assert "<details>" not in cell.source, cell.id


def test_no_variable_crosses_a_section(notebook: NotebookNode) -> None:
    """What a section needs it gets from the lab, in its first cell: so it can be gone on with after a restart."""
    assert crossing_names(notebook) == {}


def test_a_cell_that_binds_names_is_the_first_of_its_section(notebook: NotebookNode) -> None:
    first = {section: cells[0].id for section, cells in section_cells(notebook).items()}
    binds = [cell.id for cell in code_of(notebook) if cell.id.endswith("-bind")]
    assert [bind for bind in binds if first[bind.removesuffix("-bind")] != bind] == []
    assert [cell.id for cell in code_of(notebook) if cell.id.endswith("-bind") and cell.outputs] == []


def test_an_exercise_is_a_panel_with_a_cell_to_work_in_below_it(notebook: NotebookNode, path: Path) -> None:
    """Nothing checks before the work; they come in the order in which `exercises()` lists them."""
    cells = code_of(notebook)
    shown = [at for at, cell in enumerate(cells) if cell.id.startswith("exercise-") and cell.source.endswith("\nex")]
    slugs = []
    for at in shown:
        found = re.fullmatch(r'ex = exercise\("([a-z-]+)", lab\)\nex', cells[at].source)
        assert found, cells[at].id
        slugs.append(found[1])
        work = cells[at + 1]
        assert work.id.endswith("-work")
        assert work.source == f'ex = exercise("{found[1]}", lab)\nex.machine'
        assert cells[at].outputs[0].data["text/plain"] == repr(exercise(found[1])), "its text was changed since"
    assert slugs == [each.slug for each in exercises() if each.notebook == path.stem[:2]]
    assert not [cell.id for cell in cells[: shown[0] + 2] if "ex.check()" in cell.source or "ex.hint()" in cell.source]


def test_explanations_are_short(notebook: NotebookNode) -> None:
    long = [cell.id for cell in prose_of(notebook) if cell.id.endswith("-explain") and words(cell.source) > MOST_WORDS]
    assert long == []


def test_code_holds_no_prose(notebook: NotebookNode) -> None:
    """Both editions share the code: no text in it is in one language."""
    found = [text for cell in code_of(notebook) for text in texts_in(cell.source) if PROSE.search(text)]
    assert found == []
    assert [cell.id for cell in code_of(notebook) if re.search(r"^\s*#|\s# ", cell.source, re.MULTILINE)] == []


def test_imports_go_through_the_doors(notebook: NotebookNode) -> None:
    nodes = [node for cell in code_of(notebook) for node in ast.walk(ast.parse(cell.source))]
    modules = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert {module for module in modules if module.split(".")[0] == "labkit"} <= DOORS


def test_at_most_three_kinds_of_panel(notebook: NotebookNode) -> None:
    kinds = {kind for cell in code_of(notebook) for kind in PANELS.findall(cell.source)}
    assert len(kinds) <= MOST_PANELS


def test_every_cell_was_run_in_order(notebook: NotebookNode) -> None:
    cells = code_of(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


def test_errors_are_shown_only_where_they_are_wanted(notebook: NotebookNode) -> None:
    for cell in code_of(notebook):
        failed = any(output.output_type == "error" for output in cell.outputs)
        assert failed == ("raises-exception" in cell.metadata.get("tags", [])), cell.id


def test_no_output_is_left_out_of_the_comparison(notebook: NotebookNode) -> None:
    for cell in code_of(notebook):
        assert set(cell.metadata.get("tags", [])) <= {"raises-exception"}
        assert "NBVAL" not in cell.source.upper()


def test_outputs_hold_on_every_computer(notebook: NotebookNode) -> None:
    found = [
        (cell.id, match[0])
        for cell in code_of(notebook)
        for text in outputs_of(cell)
        for match in ONE_COMPUTER.finditer(text)
    ]
    assert found == []


def test_nothing_of_the_run_is_saved(notebook: NotebookNode) -> None:
    assert notebook.metadata == METADATA
    for cell in notebook.cells:
        assert set(cell.metadata) <= set(KEPT)
    kinds = {kind for cell in code_of(notebook) for output in cell.outputs for kind in output.get("data", {})}
    assert kinds <= {"text/plain", "text/html", "image/png"}


def test_pictures_have_a_text_twin(notebook: NotebookNode) -> None:
    for cell in code_of(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                assert "object at" not in output.data["text/plain"]
                assert len(output.data["text/plain"]) > 20


def test_links_lead_somewhere(notebook: NotebookNode, path: Path) -> None:
    for cell in prose_of(notebook):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", cell.source):
            assert (path.parent / target).exists(), target


def test_editions_have_the_same_code() -> None:
    for path in NOTEBOOKS:
        for other in FOLDER.glob(f"*/{path.name}"):
            ours, theirs = (code_of(read_notebook(each)) for each in (path, other))
            assert [(cell.id, cell.source) for cell in ours] == [(cell.id, cell.source) for cell in theirs]


def words(text: str) -> int:
    """Count the words of prose, code blocks and what stands on folds left out."""
    folds = re.sub(r"<details><summary>.*</summary>|</details>", "", text)
    return len(re.sub(r"```.*?```", "", folds, flags=re.DOTALL).split())


def texts_in(source: str) -> list[str]:
    """Return the texts in code, without those that are commands for a guest."""
    tree = ast.parse(source)
    commands = {
        id(part)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in COMMANDS
        for argument in call.args
        for part in ast.walk(argument)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in commands
    ]


def outputs_of(cell: NotebookNode) -> list[str]:
    """Return all text that a cell's outputs hold."""
    found = []
    for output in cell.outputs:
        found += [output.get("text", ""), output.get("evalue", "")]
        found += [str(text) for kind, text in output.get("data", {}).items() if kind.startswith("text/")]
    return found


@pytest.mark.parametrize(
    ("source", "needed", "made"),
    [
        ("a = b", {"b"}, {"a"}),
        ("a = 1\nprint(a)", {"print"}, {"a"}),
        ("x = [one for one in two if three]", {"two", "three"}, {"x"}),
        ("for each in them:\n    last = each", {"them"}, {"each", "last"}),
        ("with open(place) as file:\n    pass", {"open", "place"}, {"file"}),
        ("import os.path\nfrom a import b as c\nc(os)", set(), {"os", "c"}),
        ("f(call=lambda: vm.start())", {"f", "vm"}, set()),
    ],
)
def test_names_that_cross_are_found(source: str, needed: set[str], made: set[str]) -> None:
    assert names_of(source) == (needed, made)


def test_no_notebook_makes_a_machine_that_belongs_to_an_exercise() -> None:
    """`tidy` leaves those alone, so what a notebook makes under such a name would stay for ever."""
    theirs = exercise_machines() | exercise_disks()
    for path in NOTEBOOKS:
        code = "\n".join(cell.source for cell in read_notebook(path).cells if cell.cell_type == "code")
        named = {word for word in re.findall(r'"([\w-]+)"', code) if word in theirs}
        patterns = {f"{stem}{number:02}" for stem in re.findall(r'"([\w-]+)\{', code) for number in range(1, 21)}
        assert not (named - set(EXERCISES)) | (patterns & theirs), path.name
