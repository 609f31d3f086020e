// A panel and the kernel it belongs to: whether that is still there, and how a page stops what it does.
// One module with layout.js, trees.js, focus.js and view.js: view.py joins them.
// Knows: the widget manager's session. Must not know: pages, what is shown.

const LEFT = new Set(["restarting", "autorestarting", "starting", "terminating", "dead"]); // who says this knows no model

// Sets the model's "left" for good when the kernel that made it was restarted, died, was shut down or exchanged.
// JupyterLab tells the page that restarts a kernel. Another page hears the old one take its leave and, unless it joins
// too late, the new one start; whatever it hears from then on comes from another process.
function followKernel(model) {
  const manager = model.widget_manager;
  const session = manager.context?.sessionContext; // of a notebook; other pages have a kernel alone
  const { statusChanged: states, iopubMessage: messages } = session ?? manager.kernel ?? {};
  const maker = manager.kernel?.id;
  let speaker; // the process of the kernel
  const leave = () => model.set("left", true);
  const onStatus = (_sender, status) => LEFT.has(status) && leave();
  const onKernel = (_sender, { newValue }) => newValue?.id !== maker && leave();
  const onMessage = (_sender, { header }) => {
    speaker ??= header.session;
    if (header.session !== speaker || header.msg_type === "shutdown_reply") leave();
  };
  model.on("comm_live_update", leave);
  messages?.connect(onMessage);
  states?.connect(onStatus);
  session?.kernelChanged.connect(onKernel);
  return () => {
    model.off("comm_live_update", leave);
    messages?.disconnect(onMessage);
    states?.disconnect(onStatus);
    session?.kernelChanged.disconnect(onKernel);
  };
}

// Interrupts what the kernel does, as the front end's own button.
function interruptKernel(model) {
  void model.widget_manager.kernel?.interrupt();
}

