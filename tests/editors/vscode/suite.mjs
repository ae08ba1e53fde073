// All trials, one after the other, in one editor for as long as they pass.
import { actions } from "./trials/actions.mjs";
import { counts } from "./trials/counts.mjs";
import { drafts } from "./trials/drafts.mjs";
import { lines } from "./trials/lines.mjs";
import { server } from "./trials/server.mjs";
import { switches } from "./trials/switches.mjs";
import { typing } from "./trials/typing.mjs";

const TRIALS = { ...typing, ...lines, ...actions, ...switches, ...drafts, ...counts, ...server };
const LIMIT_MS = 90_000;

/** Runs the trials with a text in their names, or all. Gives whether all of them passed. */
export async function runTrials(begin, workplace, only = "") {
  const chosen = Object.entries(TRIALS).filter(([name]) => name.includes(only));
  if (chosen.length === 0) {
    console.error(`No trial has “${only}” in its name.`);
    return false;
  }
  const failures = [];
  const start = performance.now();
  let context;
  for (const [name, trial] of chosen) {
    context ??= await begin();
    if (!(await passes(name, trial, context, failures))) {
      // Whatever it has left behind is not to fail the next one, too.
      await workplace.close();
      context = undefined;
    }
  }
  const passed = chosen.length - failures.length;
  console.log(`${passed} of ${chosen.length} trials passed in ${secondsSince(start)} s.`);
  console.log(`Screenshots and logs are in ${workplace.output}.`);
  if (failures.length > 0) {
    console.error(`Failed: ${failures.join("; ")}.`);
  }
  return failures.length === 0;
}

async function passes(name, trial, context, failures) {
  const start = performance.now();
  try {
    await limited(trial(context));
    console.log(`ok      ${name} (${secondsSince(start)} s)`);
    return true;
  } catch (error) {
    failures.push(name);
    console.error(`FAILED  ${name} (${secondsSince(start)} s): ${error.stack}`);
    // The editor may be what has failed.
    await context.editor.screenshot(`failed-${failures.length}`).catch(() => undefined);
    return false;
  }
}

function limited(promise) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`It has not ended within ${LIMIT_MS / 1000} s.`)), LIMIT_MS);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

function secondsSince(start) {
  return ((performance.now() - start) / 1000).toFixed(1);
}
