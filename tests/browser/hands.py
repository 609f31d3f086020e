"""What a reader does with a panel, with the keyboard alone.

Knows: pages, panels. Must not know: what is done there.
"""

from __future__ import annotations

from contextlib import suppress

from playwright.sync_api import Locator, Page, expect

from tests.browser.jupyter import MINUTE

TRIES = 6


def panel(page: Page, kind: str) -> Locator:
    """Return a panel of the page."""
    return page.locator(f"section.labkit-panel[data-kind={kind}]")


def confirm(page: Page, panel: Locator, label: str) -> None:
    """Wait until the plan has the focus, go on to its button, press it, and wait until the result has the focus."""
    expect(panel.locator(".labkit-plan")).to_be_focused(timeout=MINUTE)
    for _time in range(6):
        page.keyboard.press("Tab")
        if focused(page, "textContent") == label:
            break
    page.keyboard.press("Enter")
    result = panel.locator(".labkit-result")
    expect(result).to_have_text(f"✓ {label}: done.", timeout=MINUTE)
    expect(result).to_be_focused()


def save(page: Page) -> None:
    """Save the notebook with Control+S, from where the focus is.

    JupyterLab passes over the key as long as its last save is not quite over: a checkpoint follows each.
    """
    unsaved = page.locator(".jp-mod-dirty")
    for _time in range(TRIES):
        page.keyboard.press("Control+s")
        with suppress(AssertionError):
            return expect(unsaved).to_have_count(0, timeout=MINUTE / TRIES)
    raise AssertionError("The notebook was not saved.")


def focused(page: Page, what: str) -> str:
    """Return a property of the element that has the focus."""
    return str(page.evaluate(f"document.activeElement.{what}"))
