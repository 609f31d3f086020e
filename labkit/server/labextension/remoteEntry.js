// An extension of JupyterLab, small enough to be written as JupyterLab loads it: nothing is built.
// Knows: JupyterLab's command that opens a terminal by name, the cells of notebooks. Must not know: consoles, machines.
(() => {
  // Of a panel whose kernel has ended, ipywidgets only says so, once the page is loaded again. Its still version is
  // beside it in the notebook: it is shown instead.
  const LOST = "Error displaying widget: model not found";
  const VIEW = "application/vnd.jupyter.widget-view+json"; // with our `note`, in the language that the panel had

  function findOutput(app, node) {
    for (const { content } of app.shell.widgets("main")) {
      const area = content?.widgets?.find?.((cell) => cell.node.contains(node))?.outputArea;
      const at = area?.widgets.findIndex((output) => output.node.contains(node)) ?? -1;
      if (at >= 0) return { data: area.model.get(at).data, metadata: area.model.get(at).metadata, content };
    }
    return undefined;
  }

  // What a panel says that is a picture of the past, and the button that lets its cells run again.
  function noteOf(view) {
    const note = document.createElement("div");
    note.setAttribute("role", "note");
    note.style.cssText = "border-left: 4px solid var(--jp-warn-color1); padding: 0 0.9em 0.4em";
    note.append(Object.assign(document.createElement("p"), { textContent: view.note }));
    if (view.run) {
      const [textContent, what] = view.run;
      const button = Object.assign(document.createElement("button"), { type: "button", className: "jp-mod-styled", textContent });
      button.dataset.runAgain = what;
      button.addEventListener("click", () => button.dispatchEvent(new CustomEvent("labkit-run-again", { bubbles: true })));
      note.append(button);
    }
    return note;
  }

  function showStill(app, node) {
    const { data, content } = findOutput(app, node) ?? {};
    if (!data?.[VIEW]?.note) return;
    const still = document.createElement("div");
    still.innerHTML = content.rendermime.sanitizer.sanitize(String(data["text/html"] ?? ""));
    node.classList.add("jp-RenderedHTMLCommon");
    node.replaceChildren(noteOf(data[VIEW]), still);
  }

  // A drawing's text is what it shows, in words. JupyterLab gives pictures no description of their own.
  // Drawings are made for a light page: on a dark one they are turned over, light for dark, with the hues as they are.
  function describe(app, image) {
    const output = findOutput(app, image);
    image.alt = String(output?.data["text/plain"] ?? "");
    image.classList.toggle("labkit-drawing", Boolean(output?.metadata?.["image/png"]?.alt));
  }

  // In a notebook that is not trusted JupyterLab shows the still version by itself, and does not say so.
  function noteStill(app, node) {
    const { data } = findOutput(app, node) ?? {};
    if (data?.[VIEW]?.note) node.prepend(noteOf(data[VIEW]));
  }

  function notebooks(app) {
    return [...app.shell.widgets("main")].map(({ content }) => content).filter((content) => content?.widgets?.[0]?.model?.sharedModel);
  }

  const isCode = (cell) => cell.model.type === "code";
  const heading = (cell) => (cell.model.type === "markdown" ? /^(#{2,3}) /m.exec(cell.model.sharedModel.source)?.[1] : undefined);

  // An explanation opens once what it explains, the cell above, has been run in this notebook; the reader may close it.
  const opened = new WeakSet();
  function openExplanations(app) {
    for (const { widgets } of notebooks(app)) {
      let above;
      for (const cell of widgets) {
        if (isCode(cell)) above = cell;
        else if (above?.model.executionCount && /-(explain|precision)$/.test(cell.model.id)) {
          for (const fold of cell.node.querySelectorAll("details")) {
            if (!opened.has(fold)) fold.open = true;
            opened.add(fold);
          }
        }
      }
    }
  }

  // The set-up cells, the first cell of the section (or all down to this one), this one: those that a panel needs.
  function cellsToRun(cells, at, what) {
    const first = cells.findIndex((cell) => heading(cell) === "##");
    const setUp = cells.slice(0, first < 0 ? at : Math.min(first, at)).filter(isCode);
    const start = cells.slice(0, at + 1).findLastIndex(heading);
    const section = cells.slice(start + 1, at).filter(isCode);
    const needed = what === "section" ? section : section.slice(0, 1);
    return [...new Set([...setUp, ...(start < 0 ? [] : needed), cells[at]])];
  }

  async function runAgain(app, event) {
    const node = event.target;
    const content = notebooks(app).find(({ widgets }) => widgets.some((cell) => cell.node.contains(node)));
    if (!content) return;
    const at = content.widgets.findIndex((cell) => cell.node.contains(node));
    for (const cell of cellsToRun([...content.widgets], at, node.dataset.runAgain)) {
      content.deselectAll();
      content.activeCellIndex = content.widgets.indexOf(cell);
      await app.commands.execute("notebook:run-cell");
    }
  }

  const DARK = "[data-jp-theme-light='false'] img.labkit-drawing { filter: invert(0.93) hue-rotate(180deg); background: none; }";

  function followPage(app) {
    document.head.append(Object.assign(document.createElement("style"), { textContent: DARK }));
    let due = false;
    const look = () => {
      due = false;
      for (const node of document.querySelectorAll(".jp-OutputArea-output.jupyter-widgets")) {
        if (node.textContent === LOST) showStill(app, node);
      }
      for (const image of document.querySelectorAll(".jp-RenderedImage img:not([alt])")) describe(app, image);
      for (const node of document.querySelectorAll(".jp-OutputArea-output.jp-RenderedHTMLCommon:not(.jupyter-widgets, .labkit-looked)")) {
        node.classList.add("labkit-looked");
        noteStill(app, node);
      }
      openExplanations(app);
    };
    const observer = new MutationObserver(() => {
      if (!due) requestAnimationFrame(look);
      due = true;
    });
    observer.observe(document.body, { childList: true, subtree: true, characterData: true });
    look();
  }

  // Opens a notebook of the course, at a section.
  async function openNotebook(app, { path, section }) {
    const here = app.shell.currentWidget?.context?.path ?? "";
    const folder = here.split("/").slice(0, -2).join("/"); // where the folders of the editions are
    const widget = await app.commands.execute("docmanager:open", { path: folder ? `${folder}/${path}` : path });
    await widget?.context?.ready;
    const content = widget?.content;
    const at = content?.widgets?.findIndex((cell) => cell.model.type === "markdown" && cell.model.sharedModel.source.startsWith(`## ${section}`));
    if (!section || !(at >= 0)) return;
    content.activeCellIndex = at;
    await content.scrollToItem?.(at, "start");
  }

  // Notebook 7 has the command that opens a terminal, too, and no place for it: its shell, unlike JupyterLab's, has one
  // document, and knows no mode of showing one or several.
  const hasTabs = (app) => "mode" in app.shell;

  // The address that the page was opened with, before JupyterLab goes on to another.
  const address = /\/(?:lab|doc)\/tree\/([^?#]+)/.exec(location.pathname)?.[1];

  // An old address of a notebook leads nowhere: JupyterLab says that alone; labkit's server knows what may be meant.
  async function hintAt(app, path) {
    const { contents, serverSettings } = app.serviceManager;
    const missing = await contents.get(path, { content: false }).then(() => false, ({ response }) => response?.status === 404);
    if (!missing) return;
    const url = `${serverSettings.baseUrl}labkit/address?path=${encodeURIComponent(path)}`;
    const headers = serverSettings.token ? { Authorization: `token ${serverSettings.token}` } : {};
    const answer = await fetch(url, { headers, credentials: "same-origin" });
    if (!answer.ok) return;
    const hint = await answer.json();
    const actions = hint.path ? [{ label: hint.label, commandId: "docmanager:open", args: { path: hint.path }, displayType: "accent" }] : [];
    await app.commands.execute("apputils:notify", { message: hint.message, type: "warning", options: { autoClose: false, actions } });
  }

  const plugin = {
    id: "labkit:notebooks",
    description: "Opens a terminal as a tab when a page asks for it; says of panels of an earlier kernel that they are old, and runs " +
      "their cells again; opens explanations once their cells have run; describes pictures.",
    autoStart: true,
    activate: (app) => {
      document.addEventListener("labkit-open-terminal", (event) => {
        if (!hasTabs(app)) return; // it goes unheard: the page opens a window itself
        event.preventDefault();
        void app.commands.execute("terminal:open", { name: event.detail.name });
      });
      document.addEventListener("labkit-run-again", (event) => void runAgain(app, event));
      document.addEventListener("labkit-open-notebook", ({ detail }) => void openNotebook(app, detail));
      document.documentElement.classList.add("labkit-hears-run-again");
      void app.restored.then(() => followPage(app));
      if (address) void app.started.then(() => hintAt(app, decodeURIComponent(address))); // a dialog holds back the rest
    },
  };
  const extension = { __esModule: true, default: plugin };
  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB.labkit = { init: () => undefined, get: () => Promise.resolve(() => extension) };
})();
