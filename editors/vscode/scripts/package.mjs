// Makes lacuna-VERSION.vsix: `node scripts/package.mjs [OUTPUT] [--target PLATFORM]`.
//
// A `server/` folder with the binary in it goes along, for packages of one platform.
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("..", import.meta.url));
const root = fileURLToPath(new URL("../../..", import.meta.url));
const licences = ["LICENSE-MIT", "LICENSE-APACHE"];
const [output, ...rest] = process.argv.slice(2);
const out = output && !output.startsWith("--") ? ["--out", output] : output ? [output] : [];

// The licences belong to the whole repository, and are copied only for as long as the package is being made.
for (const licence of licences) {
  copyFileSync(`${root}/${licence}`, `${folder}/${licence}`);
}
try {
  const vsce = fileURLToPath(new URL("../node_modules/@vscode/vsce/vsce", import.meta.url));
  // The bundle holds every dependency. There is no repository to link the pictures to; they are in the package.
  const flags = ["package", "--no-dependencies", "--no-rewrite-relative-links", "--allow-missing-repository", "--skip-license"];
  execFileSync(process.execPath, [vsce, ...flags, ...out, ...rest], { cwd: folder, stdio: "inherit" });
} finally {
  for (const licence of licences) {
    rmSync(`${folder}/${licence}`);
  }
}
