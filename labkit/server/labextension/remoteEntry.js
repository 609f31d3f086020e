// An extension of JupyterLab, small enough to be written as JupyterLab loads it: nothing is built.
// Knows: JupyterLab's command that opens a terminal by name, the outputs of notebooks. Must not know: consoles, machines.
(() => {
  // Of a panel whose kernel has ended, ipywidgets only says so, once the page is loaded again. Its still version is
  // beside it in the notebook: it is shown instead.
  const LOST = "Error displaying widget: model not found";
  const VIEW = "application/vnd.jupyter.widget-view+json"; // with our `note`, in the language that the panel had

  function findOutput(app, node) {
    for (const { content } of app.shell.widgets("main")) {
      const area = content?.widgets?.find?.((cell) => cell.node.contains(node))?.outputArea;
      const at = area?.widgets.findIndex((output) => output.node.contains(node)) ?? -1;
      if (at >= 0) return { data: area.model.get(at).data, content };
    }
    return undefined;
  }

  function showStill(app, node) {
    const { data, content } = findOutput(app, node) ?? {};
    if (!data?.[VIEW]?.note) return;
    const note = document.createElement("p");
    note.setAttribute("role", "note");
    note.textContent = data[VIEW].note;
    const still = document.createElement("div");
    still.innerHTML = content.rendermime.sanitizer.sanitize(String(data["text/html"] ?? ""));
    node.classList.add("jp-RenderedHTMLCommon");
    node.replaceChildren(note, still);
  }

  // A drawing's text is what it shows, in words. JupyterLab gives pictures no description of their own.
  function describe(app, image) {
    image.alt = String(findOutput(app, image)?.data["text/plain"] ?? "");
  }

  function followOutputs(app) {
    let due = false;
    const look = () => {
      due = false;
      for (const node of document.querySelectorAll(".jp-OutputArea-output.jupyter-widgets")) {
        if (node.textContent === LOST) showStill(app, node);
      }
      for (const image of document.querySelectorAll(".jp-RenderedImage img:not([alt])")) describe(app, image);
    };
    const observer = new MutationObserver(() => {
      if (!due) requestAnimationFrame(look);
      due = true;
    });
    observer.observe(document.body, { childList: true, subtree: true });
  }

  const plugin = {
    id: "labkit:notebooks",
    description: "Opens a terminal as a tab when a page asks for it; shows panels of an earlier kernel as they were saved; describes pictures.",
    autoStart: true,
    activate: (app) => {
      document.addEventListener("labkit-open-terminal", (event) => {
        event.preventDefault(); // it has been heard
        void app.commands.execute("terminal:open", { name: event.detail.name });
      });
      void app.restored.then(() => followOutputs(app));
    },
  };
  const extension = { __esModule: true, default: plugin };
  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB.labkit = { init: () => undefined, get: () => Promise.resolve(() => extension) };
})();
