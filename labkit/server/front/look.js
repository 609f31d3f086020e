// How a console looks: colours and letters from the page's theme, light or dark, at the page's size.
// Knows: JupyterLab's style variables. Must not know: what is printed.

const LIGHT = {
  black: "#1f1f1f", red: "#a3201a", green: "#17692e", yellow: "#7a4a00",
  blue: "#0b5cad", magenta: "#8a2b8f", cyan: "#0f6674", white: "#5f5f5f",
  brightBlack: "#595959", brightRed: "#c42b23", brightGreen: "#1d7f39", brightYellow: "#8f5a00",
  brightBlue: "#1570cc", brightMagenta: "#a136a6", brightCyan: "#147a8b", brightWhite: "#1f1f1f",
};
const DARK = {
  black: "#4a4a4a", red: "#ff9a90", green: "#8fdca2", yellow: "#ffce7a",
  blue: "#8cc4ff", magenta: "#e3a8e8", cyan: "#86d9e6", white: "#e0e0e0",
  brightBlack: "#9a9a9a", brightRed: "#ffb0a8", brightGreen: "#b0ebbf", brightYellow: "#ffdf9f",
  brightBlue: "#b3d8ff", brightMagenta: "#efc6f2", brightCyan: "#aeeaf3", brightWhite: "#ffffff",
};

/** Return xterm's options for the page as it is now. */
export function readLook(element) {
  const style = getComputedStyle(element);
  const read = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  const dark = document.body.dataset.jpThemeLight === "false";
  const text = read("--jp-content-font-color0", dark ? "#ffffff" : "#000000");
  return {
    fontFamily: read("--jp-code-font-family", "monospace"),
    fontSize: parseFloat(style.fontSize) || 13,
    theme: {
      ...(dark ? DARK : LIGHT),
      background: read("--jp-layout-color0", dark ? "#111111" : "#ffffff"),
      foreground: solid(text, dark),
      cursor: solid(text, dark),
      cursorAccent: dark ? "#000000" : "#ffffff",
      selectionBackground: dark ? "#3a5f8a" : "#b3d4f5",
    },
  };
}

// Themes write text as black or white that lets some of the ground through; a terminal wants the plain colour.
const solid = (colour, dark) => (colour.startsWith("#") ? colour : dark ? "#f0f0f0" : "#1a1a1a");

/** Call back when the theme or the size of letters changes; returns the call that ends it. */
export function onLook(changed) {
  const observer = new MutationObserver(changed);
  const attributeFilter = ["style", "class", "data-jp-theme-light", "data-jp-theme-name"];
  for (const each of [document.documentElement, document.body]) observer.observe(each, { attributeFilter });
  return () => observer.disconnect();
}
