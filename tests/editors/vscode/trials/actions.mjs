// What is done on request: filling holes and formatting Markdown.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { newName } from "./samples.mjs";

/** Holes that are expressions: the model has something for these that fits. */
export const ONE_HOLE = "fn f(a: u32) -> u32 {\n    let b = todo!();\n    a + b\n}\n";
const TWO_HOLES = "fn f() -> u32 {\n    let a: u32 = todo!();\n    let b: u32 = todo!();\n    a + b\n}\n";

/** Whether a text is another one with something else in place of each hole. */
export function isFilled(text, holes) {
  const parts = holes.split("todo!()").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return !text.includes("todo!()") && new RegExp(`^${parts.join("[^]+")}$`).test(text);
}

export const actions = {
  "fills a hole through the light bulb": async ({ editor }) => {
    const name = newName("rs");
    await editor.openNew(name, ONE_HOLE);
    await editor.goTo(2, 16);
    await editor.page.locator(".codicon-gutter-lightbulb, .lightBulbWidget").first().click();
    const entry = editor.page.locator(".action-widget .monaco-list-row", { hasText: "Fill this hole" });
    await entry.waitFor();
    await editor.screenshot("light-bulb");
    await entry.click();
    await editor.untilSaves(name, (text) => isFilled(text, ONE_HOLE));
    await editor.press("Control+Z");
    await editor.saves(name, ONE_HOLE);
  },

  "fills all holes of a file": async ({ editor }) => {
    const name = newName("rs");
    await editor.openNew(name, TWO_HOLES);
    await editor.run("Lacuna: Fill all holes");
    await editor.untilSaves(name, (text) => isFilled(text, TWO_HOLES));
    await editor.press("Control+Z");
    await editor.saves(name, TWO_HOLES);
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
