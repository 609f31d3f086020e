// A panel and the kernel it belongs to: whether that is still there, and how a page stops what it does.
// One module with layout.js and view.js: view.py joins them.
// Knows: the widget manager's session. Must not know: pages, what is shown.

const LEFT = new Set(["restarting", "autorestarting", "starting", "terminating", "dead"]); // who says this knows no model

// Sets the model's "left" for good when the kernel that made it was restarted, died, was shut down or exchanged.
// JupyterLab tells the page that restarts a kernel, another page only hears the new one start.
function followKernel(model) {
  const manager = model.widget_manager;
  const session = manager.context?.sessionContext; // of a notebook; other pages have a kernel alone
  const states = (session ?? manager.kernel)?.statusChanged;
  const maker = manager.kernel?.id;
  const leave = () => model.set("left", true);
  const onStatus = (_sender, status) => LEFT.has(status) && leave();
  const onKernel = (_sender, { newValue }) => newValue?.id !== maker && leave();
  model.on("comm_live_update", leave);
  states?.connect(onStatus);
  session?.kernelChanged.connect(onKernel);
  return () => {
    model.off("comm_live_update", leave);
    states?.disconnect(onStatus);
    session?.kernelChanged.disconnect(onKernel);
  };
}

// Interrupts what the kernel does, as the front end's own button.
function interruptKernel(model) {
  void model.widget_manager.kernel?.interrupt();
}

