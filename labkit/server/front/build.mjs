// Bundles the console's front end: `node build.mjs FOLDER` writes console.js and LICENSES.txt there.
// Knows: esbuild, what is bundled. Must not know: where it is installed.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

const into = process.argv[2];
await build({
  entryPoints: ["console.js"],
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  loader: { ".css": "text" },
  outfile: join(into, "console.js"),
  logLevel: "warning",
});

const { dependencies } = JSON.parse(await readFile("package.json", "utf8"));
const licences = Object.entries(dependencies).map(async ([name, version]) => {
  const text = await readFile(join("node_modules", name, "LICENSE"), "utf8");
  return `${name} ${version}\n\n${text.trim()}\n`;
});
await writeFile(join(into, "LICENSES.txt"), (await Promise.all(licences)).join(`\n${"-".repeat(80)}\n\n`));
