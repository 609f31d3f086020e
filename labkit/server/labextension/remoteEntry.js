// An extension of JupyterLab, small enough to be written as JupyterLab loads it: nothing is built.
// Knows: JupyterLab's command that opens a terminal by name. Must not know: consoles.
(() => {
  const plugin = {
    id: "labkit:terminals",
    description: "Opens a terminal as a tab when a page asks for it.",
    autoStart: true,
    activate: (app) => {
      document.addEventListener("labkit-open-terminal", (event) => {
        event.preventDefault(); // it has been heard
        void app.commands.execute("terminal:open", { name: event.detail.name });
      });
    },
  };
  const extension = { __esModule: true, default: plugin };
  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB.labkit = { init: () => undefined, get: () => Promise.resolve(() => extension) };
})();
