"""Every message of labkit is in the catalogues, and said in Spanish."""

from __future__ import annotations

import ast
import re

import pytest

from labkit.errors import BadInput
from labkit.language import _, language, ngettext, set_language
from tests.instance import ROOT
from tests.language import catalogue

HOW = "type: ./lab run python -m tests.language.update"


@pytest.fixture(autouse=True)
def _chosen_language_ends_with_the_test() -> object:
    yield
    set_language(None)


def test_template_is_in_step_with_the_sources() -> None:
    assert catalogue.TEMPLATE.read_bytes() == catalogue.po_bytes(catalogue.extract()), HOW


@pytest.mark.parametrize("code", catalogue.LANGUAGES)
def test_catalogue_is_in_step_with_the_sources(code: str) -> None:
    assert catalogue.po_path(code).read_bytes() == catalogue.po_bytes(catalogue.merged(code)), HOW


@pytest.mark.parametrize("code", catalogue.LANGUAGES)
def test_compiled_catalogue_is_in_step_with_its_source(code: str) -> None:
    path = catalogue.po_path(code)
    assert path.with_suffix(".mo").read_bytes() == catalogue.mo_bytes(catalogue.read(path, code)), HOW


@pytest.mark.parametrize("code", catalogue.LANGUAGES)
def test_every_message_is_translated(code: str) -> None:
    assert catalogue.untranslated(catalogue.merged(code)) == []


@pytest.mark.parametrize("code", catalogue.LANGUAGES)
def test_no_translation_says_its_text_twice(code: str) -> None:
    strings = [message.string for message in catalogue.merged(code)]
    texts = [text for each in strings for text in ([each] if isinstance(each, str) else each or ())]
    halves = [(text[: len(text) // 2].strip(), text[len(text) // 2 :].strip()) for text in texts]
    assert not [one for one, other in halves if one == other and len(one) > 1]


@pytest.mark.parametrize("code", catalogue.LANGUAGES)
def test_translations_fill_in_the_same_values(code: str) -> None:
    assert catalogue.broken_placeholders(catalogue.merged(code)) == []


@pytest.mark.parametrize("code", catalogue.LANGUAGES)
def test_what_the_command_says_is_in_step_with_its_scripts_and_translated(code: str) -> None:
    path, merged = catalogue.shell_path(code), catalogue.merged_shell(code)
    assert path.read_bytes() == catalogue.po_bytes(merged), HOW
    assert path.with_suffix(".mo").read_bytes() == catalogue.mo_bytes(catalogue.read(path, code)), HOW
    assert catalogue.untranslated(merged) == []
    filled = [(catalogue.variables(str(each.id)), catalogue.variables(str(each.string))) for each in merged if each.id]
    assert [(ours, theirs) for ours, theirs in filled if ours != theirs] == []
    assert catalogue.broken_placeholders(merged) == []


def test_every_sentence_of_the_command_can_be_translated() -> None:
    """What `say`, `fail` and their like are given in quotes is in `$"…"`."""
    sentence = re.compile(r"\b(?:say|stage|detail|fail) [\"'](?!\").*")
    assert [line for script in catalogue.SHELL for line in sentence.findall(script.read_text())] == []
    spoken = re.compile(r"\b(?:say|fail)\(\s*f?[\"'](?!lab: \{sentence\}).*")
    assert spoken.findall(catalogue.SERVER.read_text()) == []
    built = re.compile(r"\b(?:say|fail|BuildError|ProgramError)\(\s*f[\"'].*|\bfail\(\s*[\"'].*")
    assert [line for script in catalogue.IMAGES for line in built.findall(script.read_text())] == []


def test_what_the_docs_call_a_control_is_what_it_is_called() -> None:
    """In the guide to the panels every word in italics that begins large is the label of a control."""
    named = re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", (ROOT / "docs" / "panels.md").read_text())
    messages = {str(message.id) for message in catalogue.extract()}
    assert "Shut down" in named
    assert [name for name in named if name not in messages] == []


def test_no_message_is_inside_an_f_string() -> None:
    """Older Pythons hide it there from whoever gathers the messages."""
    for path in (*(ROOT / "labkit").rglob("*.py"), *catalogue.IMAGES):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                calls = [each.func for each in ast.walk(node) if isinstance(each, ast.Call)]
                names = {each.id for each in calls if isinstance(each, ast.Name)}
                assert not names & {"_", "ngettext"}, f"{path}:{node.lineno}"


def test_words_the_course_avoids_are_not_used() -> None:
    """The glossary's words to avoid: host is *anfitrión*, guest *huésped*, file *archivo*.

    And one word for each thing: an act is *operación*, a daemon *servicio*.
    """
    avoided = ("invitado", "fichero", "ordenador", "delgado", "vosotros", "acci[oó]n(es)?", "acto", "demonio")
    said = [str(message.string).lower() for message in catalogue.read(catalogue.po_path("es"), "es")]
    assert [text for text in said if any(re.search(rf"\b{word}", text) for word in avoided[:5])] == []
    assert [text for text in said if any(re.search(rf"\b{word}s?\b", text) for word in avoided[5:])] == []


def test_language_is_switched_while_running() -> None:
    set_language("es")
    assert _("running") == "en ejecución"
    set_language("en")
    assert _("running") == "running"


def test_plural_follows_the_number() -> None:
    set_language("es")
    assert ngettext("disk", "disks", 1) == "disco"
    assert ngettext("disk", "disks", 2) == "discos"


def test_word_that_also_has_a_plural_is_translated_without_a_number() -> None:
    set_language("es")
    assert _("disk") == "disco"
    assert _("no such message") == "no such message"


def test_variable_chooses_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_LANGUAGE", "es")
    assert language() == "es"


def test_folder_of_the_notebook_chooses_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABKIT_LANGUAGE", raising=False)
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ana/labkit/notebooks/es/00-your-lab.ipynb")
    assert language() == "es"


def test_unknown_language_is_refused() -> None:
    with pytest.raises(BadInput) as refusal:
        set_language("tlh")
    assert "en, es" in refusal.value.hint
