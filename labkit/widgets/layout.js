// Lays out a tree of [tag, attributes, children] with as few changes to the page as it can, so that focus,
// text being typed and opened folds stay. Text is only ever set as text, never as markup.
// One module with kernel.js, trees.js, focus.js and view.js: view.py joins them.
// Knows: trees, patches. Must not know: what is shown, the kernel.

const SVG = new Set(["svg", "g", "path", "polygon", "polyline", "line", "rect", "circle", "title"]);
const LOCAL = new Set(["id", "for", "aria-describedby", "aria-labelledby"]);
const ONCE = new Set(["open"]); // afterwards the reader's choice
const HEADINGS = { h3: "3", h4: "4" }; // JupyterLab rewrites real ones, for its table of contents
const appeared = []; // what has come onto the page since the last look, and wants to be seen
const isText = (node) => typeof node === "string";
const keyOf = (node) => (isText(node) ? "#" : node[0] + "/" + (node[1].key ?? ""));

function build(node, uid, inSvg) {
  if (isText(node)) return document.createTextNode(node);
  const [name, attributes, children] = node;
  const svg = name === "svg" || (inSvg && SVG.has(name));
  const element = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name in HEADINGS ? "div" : name);
  if (name in HEADINGS) {
    element.setAttribute("role", "heading");
    element.setAttribute("aria-level", HEADINGS[name]);
  }
  setAttributes(element, {}, attributes, uid);
  if ("data-appear" in attributes) appeared.push(element);
  if ("data-module" in attributes) load(element);
  for (const child of children) element.append(build(child, uid, svg));
  return element;
}

// What is too large for a message is a custom element of a module that Jupyter's server has.
function load(element) {
  const config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "{}");
  const base = new URL(config.baseUrl ?? "/", location.href);
  import(new URL(element.dataset.module, base)).catch(() => {
    element.className = "labkit-note";
    element.textContent = element.dataset.missing;
  });
}

function setAttributes(element, before, after, uid) {
  for (const name of Object.keys(before)) {
    if (!(name in after) && name !== "key" && !ONCE.has(name)) element.removeAttribute(name);
  }
  for (const [name, value] of Object.entries(after)) {
    if (name === "key" || before[name] === value) continue;
    if (ONCE.has(name) && Object.keys(before).length) continue;
    if (name.startsWith("on")) continue;
    const text = LOCAL.has(name) ? value.split(" ").map((id) => `${uid}-${id}`).join(" ") : value;
    element.setAttribute(name, text);
    if (name === "value" && "value" in element) element.value = value;
  }
}

function patch(element, before, after, uid) {
  if (before === after) return;
  if (isText(after)) {
    if (before !== after) element.data = after;
    return;
  }
  setAttributes(element, before[1], after[1], uid);
  const spare = new Map(); // children on the page by key, in order
  const nodes = [...element.childNodes];
  before[2].forEach((child, index) => {
    const key = keyOf(child);
    if (!spare.has(key)) spare.set(key, []);
    spare.get(key).push([nodes[index], child]);
  });
  const inSvg = element.namespaceURI === "http://www.w3.org/2000/svg";
  const wanted = after[2].map((child) => {
    const match = spare.get(keyOf(child))?.shift();
    if (!match) return build(child, uid, inSvg);
    patch(match[0], match[1], child, uid);
    return match[0];
  });
  for (const rest of spare.values()) for (const [node] of rest) node.remove();
  wanted.forEach((node, index) => {
    if (element.childNodes[index] !== node) element.insertBefore(node, element.childNodes[index] ?? null);
  });
}

// What a patch (patches.py) makes of a tree; what it does not name stays the same object.
function applyPatch(before, change) {
  if (change.length === 1) return change[0];
  const [changed, children] = change;
  const attributes = { ...before[1], ...changed };
  for (const [name, value] of Object.entries(changed)) if (value === null) delete attributes[name];
  if (!Array.isArray(children)) {
    return [before[0], attributes, before[2].map((child, at) => (at in children ? applyPatch(child, children[at]) : child))];
  }
  const childOf = (entry) => {
    if (typeof entry === "number") return before[2][entry];
    return entry.length === 1 ? entry[0] : applyPatch(before[2][entry[0]], entry[1]);
  };
  return [before[0], attributes, children.map(childOf)];
}

