// Runs the trials, measures, or takes the pictures of the extension's README: `node main.mjs [--only TEXT | --measure |
// --screenshots]`. The script `run` beside it sets up what this needs.
import { mkdir, rm } from "node:fs/promises";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Fake } from "./editor/fake.mjs";
import { Workplace } from "./editor/workbench.mjs";
import { measureAll } from "./measure.mjs";
import { takePictures } from "./pictures.mjs";
import { runTrials } from "./suite.mjs";
import { untilAwake } from "./trials/samples.mjs";

/** Whatever hangs, the whole ends by itself. */
const TOTAL_LIMIT_MS = 8 * 60_000;
const FAREWELL_LIMIT_MS = 20_000;

const { values: options } = parseArgs({
  options: { only: { type: "string" }, measure: { type: "boolean" }, screenshots: { type: "boolean" } },
});
const setting = (name) => {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set; tests/editors/vscode/run sets it.`);
  }
  return value;
};

const binary = setting("LACUNA_BINARY");
const output = setting("LACUNA_TRIALS_OUTPUT");
const root = fileURLToPath(new URL("../../..", import.meta.url));
await rm(output, { recursive: true, force: true });
await mkdir(output, { recursive: true });

const workplace = new Workplace({
  tools: setting("LACUNA_TRIALS_TOOLS"),
  nodeFolder: setting("LACUNA_TRIALS_NODE"),
  chromium: setting("LACUNA_TRIALS_CHROMIUM"),
  extension: setting("LACUNA_TRIALS_EXTENSION"),
  output,
});

let openings = 0;

/** Opens an editor, and waits until it is ready to be used. */
async function begin(options = {}) {
  openings += 1;
  const fake = new Fake(path.join(output, `fake-${openings}`));
  await fake.reset();
  const workbench = await workplace.open(`editor-${openings}`, {
    machine: { "lacuna.path": binary },
    environment: { LACUNA_FAKE_FOLDER: fake.folder },
    ...options,
  });
  const { editor } = workbench;
  await untilAwake(editor);
  return { editor, workbench, workplace, binary, root, fake };
}

/** Ends at once, but for the processes that have to be ended first. */
function giveUp(reason) {
  console.error(reason);
  setTimeout(() => process.exit(1), FAREWELL_LIMIT_MS);
  void workplace.close().finally(() => process.exit(1));
}

const guard = setTimeout(giveUp, TOTAL_LIMIT_MS, `All of it has not ended within ${TOTAL_LIMIT_MS / 60_000} minutes.`);
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => giveUp(`Ended by ${signal}.`));
}

try {
  if (options.measure) {
    console.log(JSON.stringify(await measureAll(await begin()), null, 2));
  } else if (options.screenshots) {
    await takePictures(begin, root);
  } else if (!(await runTrials(begin, workplace, options.only))) {
    process.exitCode = 1;
  }
} catch (error) {
  console.error(error.stack);
  process.exitCode = 1;
} finally {
  await workplace.close();
  clearTimeout(guard);
}
