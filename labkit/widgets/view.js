// A view of a panel: lays out the page that the kernel sends, and tells the kernel what the reader does.
// One module with layout.js and kernel.js: view.py joins them.
// Knows: the messages of view.py, trees to choose from, focus. Must not know: what is shown.

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea"); // no permission: the old way
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

function fieldsOf(element) {
  const form = element.closest("form");
  const values = { ...element.dataset };
  delete values.action;
  if (form) for (const [name, value] of new FormData(form)) values[name] = value;
  return values;
}

// A tree is one stop of the Tab key: the row with the focus, else the chosen one. What is chosen, the kernel says.
const itemsOf = (tree) => [...tree.querySelectorAll("[role=treeitem]:not([hidden])")];
const STOPS = "button:not([disabled]), summary, input, select, [role=treeitem][tabindex='0'], pre[tabindex='0']"; // of the Tab key
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

// A front end has commands on keys: in JupyterLab `r` makes the cell raw, `dd` and `x` delete it, whatever of its output
// has the focus. A key pressed in a panel is the panel's and the browser's, and no front end's, whatever its rules are.
// Only these go on to it: Ctrl+S saves, Shift+Enter and Ctrl+Enter run the cell, Escape closes what it has opened.
const TAKES_ALL = "[data-lm-suppress-shortcuts]"; // a console: it hears all keys itself, and JupyterLab none
const isCombined = (event) => event.shiftKey || event.ctrlKey || event.metaKey || event.altKey;

function goesOn(event) {
  const commands = event.ctrlKey || event.metaKey;
  if (event.key === "Enter") return event.shiftKey !== commands && !event.altKey;
  if (event.key === "Escape") return true;
  return event.key.toLowerCase() === "s" && commands && !event.shiftKey && !event.altKey;
}

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

// Large letters, for a projector: one choice for all panels of this browser.
const LARGE = "labkit-large";
const whole = document.documentElement;
const remembered = () => {
  try {
    return localStorage.getItem(LARGE) === "yes";
  } catch {
    return whole.classList.contains(LARGE); // no storage here: as long as the page is open
  }
};

function setLarge(isLarge) {
  try {
    localStorage.setItem(LARGE, isLarge ? "yes" : "no");
  } catch {
    // see `remembered`
  }
  whole.classList.toggle(LARGE, isLarge);
  for (const button of document.querySelectorAll(".labkit [data-large]")) button.ariaPressed = String(isLarge);
}

function render({ model, el }) {
  const uid = "labkit-" + Math.random().toString(36).slice(2, 10);
  const stop = new AbortController();
  let [, shown] = model.get("whole");
  let root = build(shown, uid, false);
  el.classList.add("labkit");
  el.append(root);
  rove(el);
  requestAnimationFrame(() => {
    setLarge(remembered());
    bringIntoSight(el);
  });

  let asked = false; // whether the reader waits for an answer here
  const onPage = () => {
    const [, next] = model.get("whole");
    if (!next) return; // taken off the page
    const before = document.activeElement;
    const held = el.contains(before);
    const branches = held && before.closest("[role=tree]");
    const stops = held ? [...root.querySelectorAll(STOPS)] : [];
    const earlier = stops.slice(0, Math.max(0, stops.indexOf(before))).reverse();
    const chosen = () => el.querySelector("[aria-selected=true]")?.dataset.subject;
    const old = chosen();
    appeared.length = 0;
    patch(root, shown, next, uid);
    shown = next;
    if (held && before.isConnected && document.activeElement === document.body) before.focus({ preventScroll: true });
    rove(el);
    if (chosen() !== old) bringIntoSight(el);
    const free = document.activeElement === document.body || el.contains(document.activeElement);
    const news = appeared[appeared.length - 1];
    if (asked && news) {
      asked = false;
      news.scrollIntoView({ block: "nearest" });
      if (free) news.focus({ preventScroll: true });
    } else if (held && free && !el.contains(document.activeElement)) {
      // What had the focus is gone: the next key goes on from what came before it.
      const heir = branches && branches.isConnected && branches.querySelector("[tabindex='0']");
      const next = earlier.find((each) => each.isConnected && each.checkVisibility());
      (heir || next || root).focus({ preventScroll: true });
    }
    filter(el);
    requestAnimationFrame(() => {
      for (const pane of el.querySelectorAll("[data-follow]")) pane.scrollTop = pane.scrollHeight;
    });
  };
  const onHeard = (message) => {
    if (!message.heard) return;
    for (const pressed of el.querySelectorAll(".labkit-sent")) pressed.classList.remove("labkit-sent");
  };
  // Nobody hears what is asked of a kernel that has left: nothing can be asked, and the panel says why.
  const onLeft = () => {
    if (!model.get("left")) return;
    el.classList.add("labkit-left");
    for (const each of el.querySelectorAll("button[data-action], form :is(button, input, select)")) each.disabled = true;
  };
  const ask = (element) => {
    if (model.get("left") || element.getAttribute("aria-disabled") === "true") return;
    element.classList.add("labkit-sent"); // until the kernel answers
    asked = true;
    // While a cell runs no message reaches the kernel: what it waits for is cancelled by an interrupt.
    if (model.get("floats")) return interruptKernel(model);
    model.send({ action: element.dataset.action, values: fieldsOf(element) });
  };
  let rest;
  const choose = (item) => {
    clearTimeout(rest);
    rest = setTimeout(() => item.getAttribute("aria-selected") === "true" || ask(item), REST);
  };
  const listen = (kind, handler) => el.addEventListener(kind, handler, { signal: stop.signal });
  listen("click", (event) => {
    const copied = event.target.closest("[data-copy]");
    if (copied) {
      copy(copied.dataset.copy);
      copied.classList.add("labkit-copied");
      setTimeout(() => copied.classList.remove("labkit-copied"), 1200);
    }
    const again = event.target.closest("[data-run-again]");
    if (again) again.dispatchEvent(new CustomEvent("labkit-run-again", { bubbles: true }));
    const opener = event.target.closest("[data-open]");
    if (opener) {
      const detail = { path: opener.dataset.open, section: opener.dataset.section };
      document.dispatchEvent(new CustomEvent("labkit-open-notebook", { detail }));
    }
    const pressed = event.target.closest("button[data-action], summary[data-action]");
    if (pressed) ask(pressed);
    if (event.target.closest("[data-large]")) setLarge(!whole.classList.contains(LARGE));
    const item = event.target.closest("[role=treeitem]");
    if (item) item.focus({ preventScroll: true });
    if (item) choose(item);
  });
  listen("focusin", () => rove(el));
  listen("input", () => filter(el));
  listen("submit", (event) => {
    event.preventDefault();
    const held = event.target.querySelector("[type=submit][aria-disabled=true]");
    if (event.target.dataset.action && !held) ask(event.target);
  });
  const onTreeKey = (event) => {
    if (!event.target.matches("[role=treeitem]") || isCombined(event)) return;
    const goal = goalOf(event.target, event.key);
    if (!goal) return;
    event.preventDefault();
    goal.focus();
    choose(goal);
  };
  const onFieldKey = (event) => {
    // Not every browser does this by itself inside JupyterLab.
    if (event.key !== "Enter" || isCombined(event) || !event.target.matches("form input")) return;
    event.preventDefault();
    event.target.form.requestSubmit();
  };
  // The window hears a key before any front end does, which listens on the document.
  const onKey = (event) => {
    if (!el.contains(event.target) || event.target.closest(TAKES_ALL) || goesOn(event)) return;
    event.stopImmediatePropagation();
    onTreeKey(event);
    onFieldKey(event);
  };
  window.addEventListener("keydown", onKey, { capture: true, signal: stop.signal });
  // What a console takes must reach it; behind it the key ends, too.
  listen("keydown", (event) => event.target.closest(TAKES_ALL) && event.stopPropagation());

  const say = (isShown) => model.get("left") || model.send({ view: uid, shown: isShown });
  let visible = null;
  const watch = new IntersectionObserver((entries) => {
    const now = entries[entries.length - 1].isIntersecting;
    if (now !== visible) say((visible = now));
  });
  watch.observe(el);
  const still = setInterval(() => visible && say(true), 60000);
  model.on("change:whole", onPage);
  model.on("msg:custom", onHeard);
  model.on("change:left", onLeft);
  onLeft();
  return () => {
    model.off("change:whole", onPage);
    model.off("msg:custom", onHeard);
    model.off("change:left", onLeft);
    stop.abort();
    clearTimeout(rest);
    watch.disconnect();
    clearInterval(still);
    if (visible) say(false);
  };
}

// Once for each model: its page is kept up with the patches, for all views of it.
function initialize({ model }) {
  const onMessage = (message) => {
    if (!message.patch) return;
    const [number, page] = model.get("whole");
    if (message.number === number + 1) model.set("whole", [message.number, applyPatch(page, message.patch)]);
    else if (message.number > number) model.send({ missed: true });
  };
  model.on("msg:custom", onMessage);
  const unfollow = followKernel(model);
  const end = model.get("floats") ? float(model) : () => {};
  return () => {
    model.off("msg:custom", onMessage);
    unfollow();
    end();
  };
}

// An act that a cell waits for lies over the page: there is no output of it.
function float(model) {
  const el = document.createElement("div");
  el.classList.add("labkit-float");
  document.body.append(el);
  const stop = render({ model, el });
  const end = () => {
    stop();
    el.remove();
  };
  model.on("change:whole", () => model.get("whole")[1] || end());
  model.on("change:left", end);
  return end;
}

export default { initialize, render };
