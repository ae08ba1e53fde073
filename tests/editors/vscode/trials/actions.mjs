// What is done on request: filling holes and formatting Markdown.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { fillUntilFilled, ONE_HOLE, TWO_HOLES } from "./holes.mjs";
import { changeAll, rename } from "./places.mjs";
import { newName } from "./samples.mjs";

/** Has all holes filled, ticks what is shown of it, and chooses. */
async function fillAllAnd(editor, choice) {
  await editor.run("Lacuna: Fill all holes");
  const preview = editor.page.locator(".bulk-edit-panel");
  // There is none where the model has nothing for any hole.
  const isShown = await preview.waitFor({ timeout: 5_000 }).then(() => true, () => false);
  if (!isShown) {
    return;
  }
  await preview.locator(".monaco-list-row .edit-checkbox, .monaco-list-row [role=checkbox]").first().click();
  await editor.screenshot(`fill-all-${choice.toLowerCase()}`);
  await preview.locator(".monaco-button", { hasText: choice }).click();
  await preview.waitFor({ state: "hidden" });
}

export const actions = {
  "fills a hole through the light bulb": async ({ editor }) => {
    const { name, text } = await fillUntilFilled(editor, ONE_HOLE, async () => {
      await editor.page.locator(".codicon-gutter-lightbulb, .lightBulbWidget").first().click();
      const entry = editor.page.locator(".action-widget .monaco-list-row", { hasText: "Fill this hole" });
      await entry.waitFor();
      await editor.screenshot("light-bulb");
      await entry.click();
    });
    await editor.press("Control+Z");
    await editor.saves(name, text);
  },

  "fills all holes of a file": async ({ editor }) => {
    const { name, text } = await fillUntilFilled(editor, TWO_HOLES, () => fillAllAnd(editor, "Apply"));
    await editor.press("Control+Z");
    await editor.saves(name, text);
    await fillAllAnd(editor, "Discard");
    await editor.saves(name, text);
  },

  "takes a change to the other places that want it": async ({ editor }) => {
    const { name, expected } = await rename(editor, "total_weight", "whole_weight");
    await changeAll(editor);
    await editor.untilSaves(name, (saved) => saved === expected);
  },

  "says so where there is no hole": async ({ editor }) => {
    const name = newName("rs");
    await editor.openNew(name, "use std::fmt;\n");
    await editor.run("Lacuna: Fill all holes");
    await editor.untilNotified("there is no hole in this file");
    await editor.dismissNotifications();
    await editor.saves(name, "use std::fmt;\n");
  },

  "formats a Markdown file": async ({ editor, binary, root }) => {
    const name = newName("md");
    const text = await readFile(`${root}/fixtures/samples/notes.md`, "utf8");
    await editor.openNew(name, text);
    // The command line is told apart from the editor only by how the text comes and goes.
    const { stdout: expected } = await promisify(execFile)(binary, ["format", editor.file(name)], { timeout: 60_000 });
    await editor.run("Lacuna: Format this Markdown");
    await editor.untilSaves(name, (saved) => saved === expected);
    await editor.press("Control+Home");
    await editor.screenshot("markdown");
  },

  "formats Markdown as the editor's formatter": async ({ editor }) => {
    const name = newName("md");
    await editor.openNew(name, "# Title\n* one\n* two\n");
    await editor.run("Format Document");
    await editor.untilSaves(name, (saved) => saved === "# Title\n\n* one\n* two\n");
  },
};
