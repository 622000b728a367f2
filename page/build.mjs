// Bundles src/ and style/ into the package: story.js and story.css.
import { build } from "esbuild";
import { readFile } from "node:fs/promises";

const out = "../tensorflowlite/story/page";
const licences = await Promise.all(
  ["@dagrejs/dagre", "@dagrejs/graphlib"].map(
    async (name) => `${name}\n\n${await readFile(`node_modules/${name}/LICENSE`, "utf8")}`,
  ),
);
const banner = `/*! Bundled here:\n\n${licences.map((one) => one.trim()).join("\n\n")}\n*/`;

const common = { bundle: true, minify: true, legalComments: "inline", logLevel: "info" };
await build({
  ...common,
  entryPoints: ["src/main.ts"],
  outfile: `${out}/story.js`,
  target: ["es2022"],
  format: "iife",
  charset: "utf8",
  banner: { js: banner },
});
await build({
  ...common,
  entryPoints: ["style/main.css"],
  outfile: `${out}/story.css`,
  target: ["chrome120", "firefox120", "safari17"],
});
