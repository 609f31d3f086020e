// Lists of a panel that are chosen from and looked through: trees by the arrow keys, and fields that filter.
// One module with layout.js, kernel.js, focus.js and view.js: view.py joins them.
// Knows: rows and the Tab key. Must not know: the kernel, what a row stands for.

// A tree is one stop of the Tab key: the row with the focus, else the chosen one. What is chosen, the kernel says.
const itemsOf = (tree) => [...tree.querySelectorAll("[role=treeitem]:not([hidden])")];
const REST = 60; // milliseconds on a row until it counts as chosen: a held key passes over many

function rove(el) {
  for (const tree of el.querySelectorAll("[role=tree]")) {
    const items = itemsOf(tree);
    const isChosen = (item) => item.getAttribute("aria-selected") === "true";
    const stop = items.find((item) => item === document.activeElement) ?? items.find(isChosen) ?? items[0];
    for (const item of tree.querySelectorAll("[role=treeitem]")) item.tabIndex = item === stop ? 0 : -1;
  }
}

function bringIntoSight(el) {
  for (const item of el.querySelectorAll("[role=treeitem][aria-selected=true]")) {
    const pane = item.closest(".labkit-choose");
    const [row, seen] = [item.getBoundingClientRect(), pane.getBoundingClientRect()];
    if (row.top < seen.top) pane.scrollTop -= seen.top - row.top + row.height;
    if (row.bottom > seen.bottom) pane.scrollTop += row.bottom - seen.bottom + row.height;
  }
}

function goalOf(item, key) {
  const items = itemsOf(item.closest("[role=tree]"));
  const at = items.indexOf(item);
  const clamp = (place) => items[Math.max(0, Math.min(items.length - 1, place))];
  switch (key) {
    case "ArrowDown": return clamp(at + 1);
    case "ArrowUp": return clamp(at - 1);
    case "PageDown": return clamp(at + 10);
    case "PageUp": return clamp(at - 10);
    case "Home": return items[0];
    case "End": return items[items.length - 1];
    case "ArrowLeft": return items.find((other) => other.dataset.subject === item.dataset.below);
    case "ArrowRight": return items.find((other) => other.dataset.below === item.dataset.subject);
    case "Enter": case " ": return item;
  }
  if (key.length !== 1) return undefined;
  const begins = (other) => other.textContent.trim().toLowerCase().startsWith(key.toLowerCase());
  return [...items.slice(at + 1), ...items.slice(0, at)].find(begins);
}

const chosenOf = (el) => el.querySelector("[aria-selected=true]")?.dataset.subject;

// A field with data-filter leaves of the list of this name only what has its words among its data-words, and its
// data-found says how many that are. A tree is a list as long as something is typed: it has lost what leads from row to row.
function filter(el) {
  for (const field of el.querySelectorAll("[data-filter]")) {
    const list = el.querySelector(`[data-filtered="${field.dataset.filter}"]`);
    if (!list) continue;
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const all = [...list.querySelectorAll("[data-words]")];
    for (const each of all) each.hidden = !words.every((word) => each.dataset.words.includes(word));
    list.classList.toggle("labkit-narrowed", words.length > 0);
    const told = el.querySelector(`[data-found="${field.dataset.filter}"]`);
    const found = all.filter((each) => !each.hidden).length;
    told.textContent = words.length ? told.dataset.say.replace("{found}", found).replace("{all}", all.length) : "";
  }
  rove(el);
}
