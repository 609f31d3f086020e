// <labkit-console>: a machine's serial console in a page, over one of Jupyter's terminals.
//
// Attributes: data-machine (JSON: lab, machine, home, uri), data-state, data-texts (JSON), all from the panel.
// It asks the server for the machine's terminal, shows what comes, sends what is typed, and says how it stands: at its
// foot, or where the lines would be while there are none. When the machine ends the terminal ends; it asks again every
// few seconds, and as soon as data-state tells. No kernel takes part.
//
// Knows: xterm.js, Jupyter's terminal messages. Must not know: machines.
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import xtermStyle from "@xterm/xterm/css/xterm.css";
import style from "./console.css";
import { askForTerminal, openTab, openTerminal } from "./jupyter.js";
import { onLook, readLook } from "./look.js";

const ROWS = 24;
const SCROLLBACK = 10000; // lines
const ASK_AGAIN = 2000; // ms
const READ_ALOUD = "labkit-console-screen-reader";

function element(name, className, ...children) {
  const made = document.createElement(name);
  made.className = className;
  made.append(...children);
  return made;
}

function addStyle() {
  if (document.getElementById("labkit-console-style")) return;
  const sheet = element("style", "", xtermStyle, style);
  sheet.id = "labkit-console-style";
  document.head.append(sheet);
}

class LabkitConsole extends HTMLElement {
  static observedAttributes = ["data-state", "data-machine", "data-texts"];

  connectedCallback() {
    addStyle();
    this.ended = new AbortController();
    this.lay();
    this.makeTerminal();
    this.connect();
  }

  disconnectedCallback() {
    this.ended.abort();
    clearTimeout(this.timer);
    this.socket?.close();
    this.socket = undefined;
    this.sizes.disconnect();
    this.endLook();
    this.terminal.dispose();
    this.replaceChildren();
  }

  attributeChangedCallback(name, before, after) {
    if (before === null || before === after || !this.isConnected || !this.terminal) return;
    if (name === "data-texts") this.label();
    else this.connect();
  }

  // --- what is on the page -----------------------------------------------------------------------

  lay() {
    this.screen = element("div", "labkit-console-screen");
    this.screen.dataset.lmSuppressShortcuts = "true"; // JupyterLab's own keys are off while the terminal has the focus
    this.said = element("span", "labkit-console-said");
    this.said.setAttribute("role", "status");
    this.out = element("button", "labkit-button");
    this.out.type = "button";
    this.out.addEventListener("click", () => this.openTab());
    this.aloud = element("input", "");
    this.aloud.type = "checkbox";
    this.aloud.checked = localStorage.getItem(READ_ALOUD) === "yes";
    this.aloud.addEventListener("change", () => {
      localStorage.setItem(READ_ALOUD, this.aloud.checked ? "yes" : "no");
      this.terminal.options.screenReaderMode = this.aloud.checked;
    });
    this.aloudWords = element("span", "");
    const aloud = element("label", "labkit-console-aloud", this.aloud, " ", this.aloudWords);
    this.foot = element("div", "labkit-console-foot", this.said, this.out, aloud);
    this.keys = element("div", "labkit-quiet");
    this.isBlank = true;
    this.replaceChildren(this.screen, this.foot, this.keys);
    this.label();
  }

  // In the language in force, also when it is switched.
  label() {
    const before = Object.entries(this.texts ?? {});
    this.texts = JSON.parse(this.dataset.texts);
    const said = before.find(([, text]) => text === this.said.textContent);
    if (said) this.said.textContent = this.texts[said[0]];
    this.out.textContent = this.texts.tab;
    this.labelOut();
    this.aloudWords.textContent = this.texts.aloud;
    this.keys.textContent = this.texts.keys;
    this.terminal?.textarea.setAttribute("aria-label", this.texts.label);
    this.terminal?.textarea.setAttribute("aria-description", this.texts.keys);
  }

  say(tone, text) {
    const place = this.isBlank && tone !== "good" ? this.screen : this.foot;
    if (this.said.parentNode !== place) place.prepend(this.said);
    if (this.said.textContent === text) return;
    this.said.className = `labkit-console-said labkit-${tone}`;
    this.said.textContent = text;
    this.out.setAttribute("aria-disabled", String(tone !== "good"));
    this.labelOut();
  }

  labelOut() {
    this.out.title = this.out.ariaDisabled === "true" ? this.said.textContent : this.texts.tabTip;
  }

  makeTerminal() {
    this.terminal = new Terminal({
      ...readLook(this),
      rows: ROWS,
      scrollback: SCROLLBACK,
      cursorBlink: false,
      minimumContrastRatio: 4.5,
      screenReaderMode: this.aloud.checked,
      convertEol: false,
    });
    this.fit = new FitAddon();
    this.terminal.loadAddon(this.fit);
    this.terminal.open(this.screen);
    this.label();
    this.terminal.attachCustomKeyEventHandler((event) => this.onKey(event));
    this.terminal.onData((data) => this.send("stdin", data));
    this.terminal.onResize(() => this.sendSize());
    const { height } = this.terminal.element.querySelector(".xterm-screen").getBoundingClientRect();
    this.screen.style.height = `${Math.ceil(height) + 12}px`;
    this.sizes = new ResizeObserver(() => this.refit());
    this.sizes.observe(this.screen);
    this.endLook = onLook(() => requestAnimationFrame(() => this.relook()));
  }

  relook() {
    if (this.ended.signal.aborted) return;
    const { theme, fontFamily, fontSize } = readLook(this);
    Object.assign(this.terminal.options, { theme, fontFamily, fontSize });
    this.refit();
  }

  refit() {
    if (this.screen.clientWidth) this.fit.fit();
  }

  // --- keys ----------------------------------------------------------------------------------------

  onKey(event) {
    if (event.type !== "keydown" || !event.ctrlKey || !event.shiftKey) return true;
    if (event.code === "ArrowDown") {
      event.preventDefault();
      this.out.focus();
      return false;
    }
    if (event.code === "KeyC") {
      event.preventDefault();
      if (this.terminal.hasSelection()) void copy(this.terminal.getSelection());
      this.terminal.focus();
      return false;
    }
    return event.code !== "KeyV"; // the browser pastes, and xterm hears it
  }

  // --- the terminal --------------------------------------------------------------------------------

  machine() {
    return JSON.parse(this.dataset.machine);
  }

  async connect() {
    clearTimeout(this.timer);
    if (this.socket || this.asking) return;
    const { signal } = this.ended;
    this.asking = true;
    const answer = await askForTerminal(this.machine());
    this.asking = false;
    if (signal.aborted) return;
    if (answer.status === 200) this.open(answer.name);
    else this.wait(answer);
  }

  wait({ status, message, hint }) {
    const known = { 0: this.texts.lost, 403: this.texts.refused, 409: this.texts.off };
    if (status === 404) this.say("bad", hint === undefined ? this.texts.missing : this.texts.gone);
    else this.say(status === 409 ? "calm" : "bad", known[status] ?? [message, hint].filter(Boolean).join(" "));
    this.timer = setTimeout(() => this.connect(), ASK_AGAIN);
  }

  open(name) {
    const socket = (this.socket = openTerminal(name));
    socket.addEventListener("open", () => {
      // Everything since it was switched on comes again. What a machine printed before it ended stays.
      if (this.died) this.terminal.write("\r\n");
      else this.terminal.reset();
      this.died = false;
      this.say("good", this.texts.on);
      this.refit();
      this.sendSize();
    });
    socket.addEventListener("message", ({ data }) => {
      const [kind, text] = JSON.parse(data);
      if (kind === "stdout") this.write(text);
      if (kind === "disconnect") this.died = true;
    });
    socket.addEventListener("close", () => {
      if (this.socket !== socket) return;
      this.socket = undefined;
      if (!this.died) this.say("bad", this.texts.lost);
      this.timer = setTimeout(() => this.connect(), this.died ? 0 : ASK_AGAIN);
    });
  }

  write(text) {
    this.isBlank = false;
    this.terminal.write(text);
  }

  send(...message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  sendSize() {
    const { rows, cols } = this.terminal;
    this.dataset.columns = cols;
    this.send("set_size", rows, cols, this.screen.clientHeight, this.screen.clientWidth);
  }

  async openTab() {
    if (this.out.ariaDisabled === "true") return;
    const answer = await askForTerminal(this.machine());
    if (answer.status === 200) openTab(answer.name);
    else this.wait(answer);
  }
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    document.execCommand("copy"); // no permission: xterm hands over its selection
  }
}

if (!customElements.get("labkit-console")) customElements.define("labkit-console", LabkitConsole);
