"""The live view: an anywidget that shows a tree and reports what the reader does.

The browser gets one synced value, `whole`: the number of the page and the page, a tree as JSON. After that it gets
`{"number": N, "patch": PATCH}` (`patches.py`) for each further page, and `{"heard": true}` for each action, which may
not change the page. It sends messages: `{"action": NAME, "values": {field: text}}` for a click or a submitted form,
`{"shown": bool, "view": ID}` when the view comes on screen, stays there (every minute) or leaves, and `{"missed":
true}` if a patch does not fit the page before: then the whole page is sent.

Knows: anywidget. Must not know: what is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import anywidget
import traitlets

from labkit.widgets.patches import Tree, make_patch
from labkit.widgets.tree import JsonWriter, Node

_HERE = Path(__file__).parent
_FRONT = ("layout.js", "kernel.js", "trees.js", "focus.js", "view.js")  # one module, joined

SHOWN_SECONDS = 300.0
"""How many seconds a view counts as on screen without a message, since a busy kernel receives none."""


class View(anywidget.AnyWidget):
    """A tree on a page.

    Args:
        on_action: called with the action's name and the fields of its form, on the thread of the message.
        on_shown: called when it comes into sight.
        floats: whether it lies over the page until it is closed, instead of being displayed in a cell.
    """

    _esm = "".join((_HERE / name).read_text(encoding="utf-8") for name in _FRONT)
    _css = _HERE / "view.css"
    whole = traitlets.Any().tag(sync=True, to_json=lambda _value, view: list(view.numbered))
    floats = traitlets.Bool(default_value=False).tag(sync=True)

    def __init__(
        self,
        *,
        page: Node,
        on_action: Callable[[str, Mapping[str, str]], None],
        on_shown: Callable[[], None] = lambda: None,
        floats: bool = False,
    ) -> None:
        self._writer = JsonWriter()
        self.numbered: tuple[int, Tree] = (0, self._writer.write(page))  # a page opened later asks for it, too
        super().__init__(floats=floats)
        self._on_action = on_action
        self._on_shown = on_shown
        self._seen: dict[str, float] = {"displayed": time.monotonic()}
        self.on_msg(self._receive)

    @property
    def page(self) -> Tree:
        """The shown tree, as JSON."""
        return self.numbered[1]

    def show(self, page: Node) -> None:
        """Show another tree; only the changes are sent."""
        number, before = self.numbered
        tree = self._writer.write(page)
        patch = make_patch(before, tree)
        if patch is not None:
            self.numbered = (number + 1, tree)
            self.send({"number": number + 1, "patch": patch})

    def close(self) -> None:
        """Take it off the page."""
        if self.floats:
            self.numbered = (self.numbered[0] + 1, None)
            self.send_state("whole")
        super().close()

    @property
    def is_shown(self) -> bool:
        """Whether somebody has it on screen, as far as is known."""
        return any(time.monotonic() - seen < SHOWN_SECONDS for seen in list(self._seen.values()))

    def _receive(self, _widget: object, content: object, _buffers: object) -> None:
        if not isinstance(content, dict):
            return
        if "action" in content:
            fields = content.get("values")
            values = fields if isinstance(fields, dict) else {}
            self._on_action(str(content["action"]), {str(key): str(value) for key, value in values.items()})
            self.send({"heard": True})
        elif "missed" in content:
            self.send_state("whole")
        elif "view" in content:
            self._seen.pop("displayed", None)
            if content.get("shown"):
                self._seen[str(content["view"])] = time.monotonic()
                self._on_shown()
            else:
                self._seen.pop(str(content["view"]), None)
