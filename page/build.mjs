// Bundles src/ and style/ into the package: story.js and story.css.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";

const out = "../tensorflowlite/story/page";
const licences = await Promise.all(
  ["@dagrejs/dagre", "@dagrejs/graphlib"].map(
    async (name) => `${name}\n\n${await readFile(`node_modules/${name}/LICENSE`, "utf8")}`,
  ),
);

// The tests compare this digest with the sources, so that no old bundle stays unnoticed.
const names = ["build.mjs", "package-lock.json"];
for (const folder of ["src", "style"]) {
  for (const name of await readdir(folder)) names.push(`${folder}/${name}`);
}
const digest = createHash("sha256");
for (const name of names.sort()) {
  digest.update(`${name}\0`);
  digest.update(await readFile(name));
}
const banner = [
  `/*! The page of a story; of the sources ${digest.digest("hex")}`,
  "Bundled here:",
  ...licences.map((one) => one.trim()),
].join("\n\n");

const common = { bundle: true, minify: true, legalComments: "inline", logLevel: "warning" };
await build({
  ...common,
  entryPoints: ["src/main.ts"],
  outfile: `${out}/story.js`,
  target: ["es2022"],
  format: "iife",
  charset: "utf8",
  banner: { js: `${banner}\n*/` },
});
await build({
  ...common,
  entryPoints: ["style/main.css"],
  outfile: `${out}/story.css`,
  target: ["chrome120", "firefox120", "safari17"],
});
