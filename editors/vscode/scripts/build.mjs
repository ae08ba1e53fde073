// Bundles the extension into one file: `node scripts/build.mjs [--watch]`.
import { build, context } from "esbuild";

const options = {
  entryPoints: ["src/extension.ts"],
  outfile: "dist/extension.cjs",
  bundle: true,
  // The editor loads extensions as CommonJS.
  format: "cjs",
  platform: "node",
  // What the oldest editor that `engines` allows runs on.
  target: "node20",
  external: ["vscode"],
  minify: true,
  legalComments: "none",
  logLevel: "warning",
};

if (process.argv.includes("--watch")) {
  await (await context(options)).watch();
} else {
  await build(options);
}
