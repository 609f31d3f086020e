// How a page reaches Jupyter's server: its address, its token, a console's terminal.
// Knows: Jupyter's page configuration and addresses. Must not know: what is shown.

const config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "{}");
const base = new URL(config.baseUrl ?? document.body.dataset.baseUrl ?? "/", location.href);
const token = config.token ?? "";

/** Ask for a machine's terminal; returns {status, name, message, hint}; status 0: no answer. */
export async function askForTerminal(machine) {
  const headers = { "Content-Type": "application/json" };
  const xsrf = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie)?.[1];
  if (xsrf) headers["X-XSRFToken"] = xsrf;
  if (token) headers.Authorization = `token ${token}`;
  const request = { method: "POST", headers, body: JSON.stringify(machine), credentials: "same-origin" };
  try {
    const answer = await fetch(new URL("labkit/console", base), request);
    const body = await answer.json().catch(() => ({}));
    return { status: answer.status, ...body };
  } catch {
    return { status: 0 };
  }
}

/** Open the websocket of a named terminal. */
export function openTerminal(name) {
  const address = new URL(`terminals/websocket/${name}`, base);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  if (token) address.searchParams.set("token", token);
  return new WebSocket(address);
}

/** Show a named terminal as a tab: JupyterLab's own where our extension hears, else in a window. */
export function openTab(name) {
  const detail = { name };
  const unheard = document.dispatchEvent(new CustomEvent("labkit-open-terminal", { detail, cancelable: true }));
  if (unheard) window.open(new URL(`terminals/${name}`, base), "_blank", "noopener");
}
