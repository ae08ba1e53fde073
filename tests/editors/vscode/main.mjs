// Runs the trials: `node main.mjs [--only TEXT]`. The script `run` beside it sets up what this needs.
import { mkdir, rm } from "node:fs/promises";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Workplace } from "./editor/workbench.mjs";
import { Fake } from "./editor/fake.mjs";
import { actions } from "./trials/actions.mjs";
import { drafts } from "./trials/drafts.mjs";
import { server } from "./trials/server.mjs";
import { switches } from "./trials/switches.mjs";
import { untilAwake } from "./trials/samples.mjs";
import { typing } from "./trials/typing.mjs";

/** Whatever hangs, the whole ends by itself. */
const TOTAL_LIMIT_MS = 8 * 60_000;
const TRIAL_LIMIT_MS = 90_000;

const { values: options } = parseArgs({ options: { only: { type: "string" } } });
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

const guard = setTimeout(() => {
  console.error(`The trials have not ended within ${TOTAL_LIMIT_MS / 60_000} minutes.`);
  void workplace.close().finally(() => process.exit(1));
}, TOTAL_LIMIT_MS);

const failures = [];
let passed = 0;
let openings = 0;
const began = performance.now();
try {
  let context;
  for (const [name, trial] of Object.entries({ ...typing, ...actions, ...switches, ...drafts, ...server })) {
    if (options.only === undefined || name.includes(options.only)) {
      context ??= await begin();
      if (!(await attempt(name, trial, context))) {
        // Whatever it has left behind is not to fail the next one, too.
        await workplace.close();
        context = undefined;
      }
    }
  }
} catch (error) {
  failures.push("the editor");
  console.error(`The editor did not come up: ${error.stack}`);
} finally {
  await workplace.close();
  clearTimeout(guard);
}

if (passed === 0 && failures.length === 0) {
  failures.push("no trial has this name");
}
const seconds = ((performance.now() - began) / 1000).toFixed(0);
console.log(`${passed} of ${passed + failures.length} trials passed in ${seconds} s; screenshots are in ${output}.`);
if (failures.length > 0) {
  console.error(`Failed: ${failures.join("; ")}.`);
  process.exitCode = 1;
}

/** Opens an editor, and waits until it is ready to be used. */
async function begin() {
  openings += 1;
  const fake = new Fake(path.join(output, `fake-${openings}`));
  await fake.reset();
  const workbench = await workplace.open(`editor-${openings}`, {
    machine: { "lacuna.path": binary },
    environment: { LACUNA_FAKE_FOLDER: fake.folder },
  });
  const { editor } = workbench;
  await untilAwake(editor);
  return { editor, workbench, workplace, binary, root, fake };
}

async function attempt(name, trial, context) {
  const start = performance.now();
  const seconds = () => ((performance.now() - start) / 1000).toFixed(1);
  try {
    await limited(trial(context));
    passed += 1;
    console.log(`ok      ${name} (${seconds()} s)`);
    return true;
  } catch (error) {
    failures.push(name);
    console.error(`FAILED  ${name} (${seconds()} s): ${error.stack}`);
    await context.editor.screenshot(`failed-${failures.length}`).catch(() => undefined);
    return false;
  }
}

function limited(promise) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`It has not ended within ${TRIAL_LIMIT_MS / 1000} s.`)), TRIAL_LIMIT_MS);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}
