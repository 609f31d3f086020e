"""The live view: one anywidget that shows a tree and reports what the reader does.

To the browser goes one synced value, `page`, a tree as JSON. From it come messages:
`{"action": NAME, "values": {field: text}}` for a click or a submitted form, and
`{"shown": bool, "view": ID}` as the view comes on screen, stays there (every minute) or leaves.

Knows: anywidget. Must not know: what is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import anywidget
import traitlets

from labkit.widgets.tree import Node, to_json

SHOWN_SECONDS = 300.0
"""How long a view counts as on screen without a word from it: a busy kernel hears nothing."""


class View(anywidget.AnyWidget):
    """A tree on the page.

    Args:
        on_action: called with the action's name and the fields of its form, on the thread of the message.
        on_shown: called when it comes into sight.
        floats: whether it lies over the page until it is closed, instead of being displayed somewhere.
    """

    _esm = Path(__file__).parent / "view.js"
    _css = Path(__file__).parent / "view.css"
    page = traitlets.Any().tag(sync=True)
    floats = traitlets.Bool(default_value=False).tag(sync=True)

    def __init__(
        self,
        *,
        page: Node,
        on_action: Callable[[str, Mapping[str, str]], None],
        on_shown: Callable[[], None] = lambda: None,
        floats: bool = False,
    ) -> None:
        super().__init__(page=to_json(page), floats=floats)
        self._on_action = on_action
        self._on_shown = on_shown
        self._seen: dict[str, float] = {"displayed": time.monotonic()}
        self.on_msg(self._receive)

    def show(self, page: Node) -> None:
        """Lay out another tree; nothing is sent when it is the same."""
        tree = to_json(page)
        if tree != self.page:
            self.page = tree

    def close(self) -> None:
        """Take it off the page."""
        if self.floats:
            self.page = None
        super().close()

    @property
    def is_shown(self) -> bool:
        """Whether someone has it on screen, as far as is known."""
        return any(time.monotonic() - seen < SHOWN_SECONDS for seen in list(self._seen.values()))

    def _receive(self, _widget: object, content: object, _buffers: object) -> None:
        if not isinstance(content, dict):
            return
        if "action" in content:
            fields = content.get("values")
            values = fields if isinstance(fields, dict) else {}
            self._on_action(str(content["action"]), {str(key): str(value) for key, value in values.items()})
        elif "view" in content:
            self._seen.pop("displayed", None)
            if content.get("shown"):
                self._seen[str(content["view"])] = time.monotonic()
                self._on_shown()
            else:
                self._seen.pop(str(content["view"]), None)
