// What `lacuna stats` says of what the user did.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import * as path from "node:path";
import { promisify } from "node:util";
import { restartServer } from "../editor/processes.mjs";
import { changeAll, rename } from "./places.mjs";

/** What is counted of next places when the server has written all of it, which it does when it ends. */
async function counted(context) {
  const { workbench, binary } = context;
  await restartServer(context);
  const env = { ...process.env, XDG_STATE_HOME: path.join(workbench.home, "state") };
  const { stdout } = await promisify(execFile)(binary, ["stats", "--json"], { env, timeout: 10_000 });
  return JSON.parse(stdout).total.next_places;
}

/** Asserts that of some counts so many more were counted, and nothing else. */
function assertMore(before, after, expected) {
  const more = (name) => after[name] - (before[name] ?? 0);
  const found = Object.fromEntries(Object.keys(after).map((name) => [name, more(name)]).filter(([, count]) => count !== 0));
  assert.deepEqual(found, expected);
}

export const counts = {
  "counts next places that are changed by an action": async (context) => {
    const { editor } = context;
    const before = await counted(context);
    const { name, expected } = await rename(editor, "total_weight", "whole_weight");
    await changeAll(editor);
    await editor.untilSaves(name, (saved) => saved === expected);
    const after = await counted(context);
    assertMore(before.fates, after.fates, { accepted: 2 });
    assertMore(before.accepted_by, after.accepted_by, { action: 2 });
    assertMore(before.shown_by, after.shown_by, { action: 2, command: 1 });
  },

  "counts a next place that is accepted in the line": async (context) => {
    const { editor } = context;
    const before = await counted(context);
    // The editor shows what goes on from what stands there.
    const { name, expected } = await rename(editor, "total", "total_weight");
    await editor.goTo(6, "    let first = total".length + 1);
    await editor.run("Trigger Inline Suggestion");
    assert.equal(await editor.untilGhost(), "_weight");
    await editor.press("Tab");
    await editor.saves(name, expected.replace("show(total_weight", "show(total"));
    const after = await counted(context);
    assertMore(before.accepted_by, after.accepted_by, { line: 1 });
    assertMore(before.shown_by, after.shown_by, { line: 1, command: 1 });
    assert.equal(after.fates.accepted - (before.fates.accepted ?? 0), 1);
  },
};
