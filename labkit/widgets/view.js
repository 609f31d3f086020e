// A view of a panel: lays out the page that the kernel sends, and tells the kernel what the reader does.
// One module with layout.js, kernel.js, trees.js and focus.js: view.py joins them.
// Knows: the messages of view.py, keys and clicks. Must not know: what is shown.

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

// Hears the keys that are pressed in a panel; `choose` is called with the row of a tree that a key leads to.
function listenToKeys(el, choose, signal) {
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
  window.addEventListener("keydown", onKey, { capture: true, signal });
  // What a console takes must reach it; behind it the key ends, too.
  el.addEventListener("keydown", (event) => event.target.closest(TAKES_ALL) && event.stopPropagation(), { signal });
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

// What a click asks of the page itself: to copy, to run cells again, to open a notebook, to write larger.
function serve(target) {
  const copied = target.closest("[data-copy]");
  if (copied) {
    copy(copied.dataset.copy);
    copied.classList.add("labkit-copied");
    setTimeout(() => copied.classList.remove("labkit-copied"), 1200);
  }
  const again = target.closest("[data-run-again]");
  if (again) again.dispatchEvent(new CustomEvent("labkit-run-again", { bubbles: true }));
  const opener = target.closest("[data-open]");
  if (opener) {
    const detail = { path: opener.dataset.open, section: opener.dataset.section };
    document.dispatchEvent(new CustomEvent("labkit-open-notebook", { detail }));
  }
  if (target.closest("[data-large]")) setLarge(!whole.classList.contains(LARGE));
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
    const focus = rememberFocus(el, root);
    const chosen = chosenOf(el);
    appeared.length = 0;
    patch(root, shown, next, uid);
    shown = next;
    giveFocusBack(focus);
    rove(el);
    if (chosenOf(el) !== chosen) bringIntoSight(el);
    const news = appeared[appeared.length - 1];
    if (asked && news) {
      asked = false;
      const free = isFree(el);
      news.scrollIntoView({ block: "nearest" });
      if (free) focusOn(news);
    } else {
      passFocusOn(el, root, focus);
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
    serve(event.target);
    const pressed = event.target.closest("button[data-action], summary[data-action]");
    if (pressed) ask(pressed);
    const item = event.target.closest("[role=treeitem]");
    if (item) focusOn(item);
    if (item) choose(item);
  });
  listen("focusin", () => rove(el));
  listen("input", () => filter(el));
  listen("submit", (event) => {
    event.preventDefault();
    const held = event.target.querySelector("[type=submit][aria-disabled=true]");
    if (event.target.dataset.action && !held) ask(event.target);
  });
  listenToKeys(el, choose, stop.signal);

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
