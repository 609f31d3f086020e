// Where the focus is when a panel is laid out anew, so that a reader who uses the keyboard never loses the place.
// One module with layout.js, kernel.js, trees.js and view.js: view.py joins them.
// Knows: what the Tab key stops at. Must not know: the kernel, what is shown.

const STOPS = "button:not([disabled]), summary, input, select, [role=treeitem][tabindex='0'], pre[tabindex='0']"; // of the Tab key

// What has the focus before a page is laid out, and what the Tab key stops at before it, the nearest first.
function rememberFocus(el, root) {
  const had = document.activeElement;
  if (!el.contains(had)) return { had: null, tree: null, earlier: [] };
  const stops = [...root.querySelectorAll(STOPS)];
  const earlier = stops.slice(0, Math.max(0, stops.indexOf(had))).reverse();
  return { had, tree: had.closest("[role=tree]"), earlier };
}

// Whether the focus is here or nowhere, so that it may be moved.
const isFree = (el) => document.activeElement === document.body || el.contains(document.activeElement);

const focusOn = (element) => element.focus({ preventScroll: true });

// Browsers drop the focus of what is moved on the page.
function giveFocusBack({ had }) {
  if (had && had.isConnected && document.activeElement === document.body) focusOn(had);
}

// If what had the focus is gone, the next key goes on from what came before it.
function passFocusOn(el, root, { had, tree, earlier }) {
  if (!had || !isFree(el) || el.contains(document.activeElement)) return;
  const row = tree && tree.isConnected && tree.querySelector("[tabindex='0']");
  const before = earlier.find((each) => each.isConnected && each.checkVisibility());
  focusOn(row || before || root);
}
