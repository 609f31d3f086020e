"""What an error shows."""

from __future__ import annotations

import pytest

from labkit import errors
from labkit.errors import LabError, NotFound

ALL = [thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, LabError)]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_shows_its_message_and_its_hint(kind: type[LabError]) -> None:
    error = kind("It is so.", "Do this.", details="raw")
    assert str(error) == "It is so.\n→ Do this."
    assert (error.message, error.hint, error.details) == ("It is so.", "Do this.", "raw")


def test_without_a_hint_the_message_stands_alone() -> None:
    assert str(LabError("It is so.")) == "It is so."


def test_what_is_not_found_is_a_key_error_that_reads_well() -> None:
    with pytest.raises(KeyError) as caught:
        raise NotFound("There is no 'a'.", "There are: b.")
    assert str(caught.value) == "There is no 'a'.\n→ There are: b."


def test_a_notebook_shows_the_sentence_and_not_our_insides() -> None:
    assert LabError("It is so.", "Do this.")._render_traceback_() == ["LabError: It is so.\n→ Do this."]


def test_the_tree_in_the_docstring_names_every_error() -> None:
    assert errors.__doc__ is not None
    assert [kind.__name__ for kind in ALL if kind.__name__ not in errors.__doc__] == []
