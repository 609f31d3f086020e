"""What is said of another hypervisor names the version it was checked for, since the next one may do otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.language import catalogue
from tests.notebooks.execute import find_notebooks, read_notebook

CHECKED = "7.0"
"""The VirtualBox whose manual and source were read, for every statement in notebooks and panels."""

NAMED = re.compile(r"VirtualBox(?!'s format)(?: (\d+\.\d+))?")
"""VirtualBox, with the version behind it; whose format VDI is holds for all."""


def list_claims(text: str) -> Iterator[str]:
    """Yield the blocks, paragraphs and tables of a text that speak of VirtualBox or name a command of it."""
    for part in re.split(r"\n\s*\n(?![^`]*```\s)", text):
        if re.search("VirtualBox|VBoxManage", part):
            yield part


def is_checked(claim: str) -> bool:
    """Whether it names the version each time that it names VirtualBox, and once at least."""
    versions = NAMED.findall(claim)
    only_a_format = not versions and "VBoxManage" not in claim
    return only_a_format or (bool(versions) and all(version == CHECKED for version in versions))


@pytest.mark.parametrize("path", find_notebooks("0"), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_notebooks_say_nothing_of_virtualbox_without_a_version(path: Path) -> None:
    texts = [cell.source for cell in read_notebook(path).cells if cell.cell_type == "markdown"]
    assert [claim for text in texts for claim in list_claims(text) if not is_checked(claim)] == []


def test_panels_say_nothing_of_virtualbox_without_a_version() -> None:
    said = [str(message.string) for code in catalogue.LANGUAGES for message in catalogue.merged(code)]
    said += [str(message.id) for message in catalogue.extract()]
    claims = [claim for text in said for claim in list_claims(text)]
    assert claims
    assert [claim for claim in claims if not is_checked(claim)] == []


@pytest.mark.parametrize(
    ("claim", "checked"),
    [
        ("VirtualBox refuses, too.", False),
        ("VirtualBox 7.0 refuses, too; VirtualBox merges down.", False),
        ("VirtualBox 6.1 starts no machine.", False),
        ("`VBoxManage modifymedium --compact` does it.", False),
        ("*VDI* is VirtualBox's format.", True),
        ("VirtualBox 7.0 VBoxManage startvm first", True),
    ],
)
def test_a_statement_without_its_version_is_found(claim: str, checked: bool) -> None:
    assert [is_checked(each) for each in list_claims(claim)] == [checked]
