"""Findings: a yes or a no is told as a sentence, in every language, and each notebook says what it found in words."""

from __future__ import annotations

import re

import pytest

from labkit.course import tell
from labkit.course.text import read_texts
from labkit.errors import BadInput, NotFound
from labkit.language import LANGUAGES, set_language
from tests.notebooks.execute import find_notebooks, read_notebook


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("slug", read_texts("findings"))
def test_both_answers_are_there_in_every_language_and_differ(slug: str, code: str) -> None:
    set_language(code)
    try:
        said = {str(tell(slug, True)), str(tell(slug, False))}
    finally:
        set_language(None)
    assert len(said) == 2
    assert all(said)


def test_neither_a_name_nor_an_answer_is_guessed() -> None:
    with pytest.raises(NotFound) as refusal:
        tell("same-bot", True)
    assert "same-boot" in refusal.value.hint
    with pytest.raises(BadInput):
        tell("same-boot", None)


def test_every_sentence_is_used_by_a_notebook() -> None:
    code = "\n".join(cell.source for path in find_notebooks("0") for cell in read_notebook(path).cells)
    assert {slug for slug in read_texts("findings") if f'tell("{slug}"' not in code} == set()


def test_no_cell_says_only_true_false_or_none() -> None:
    bare = re.compile(r"(?<![\w'\"=])(True|False|None)(?![\w'\"=])")
    found = [
        f"{path.parent.name}/{path.stem}: {cell.id}"
        for path in find_notebooks("0")
        for cell in read_notebook(path).cells
        for output in cell.get("outputs", [])
        if bare.search(output.get("text", "") + output.get("data", {}).get("text/plain", ""))
    ]
    assert found == []
