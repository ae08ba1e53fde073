// Ghost text, and what can be done with it by the editor's own keys.
import assert from "node:assert/strict";
import { never, until } from "../wait.mjs";
import { newName, typeUntilGhost, typeUntitledUntilGhost } from "./samples.mjs";

const hasWords = (ghost) => /\w[^\w]+\w/.test(ghost);

export const typing = {
  "accepts with Tab what is shown": async ({ editor }) => {
    const { name, before, ghost, after } = await typeUntilGhost(editor);
    await editor.screenshot("ghost-text");
    await editor.saves(name, before + after);
    await editor.press("Tab");
    await editor.saves(name, before + ghost + after);
  },

  "accepts a word, and then the rest": async ({ editor }) => {
    const { name, before, ghost, after } = await typeUntilGhost(editor, hasWords);
    await editor.press("Control+ArrowRight");
    const rest = await until("the rest of the ghost text is shown", async () => {
      const shown = await editor.ghost();
      return shown !== undefined && shown.length < ghost.length && ghost.endsWith(shown) && shown;
    });
    const word = ghost.slice(0, ghost.length - rest.length);
    assert.ok(word.trim() !== "" && !hasWords(word), `“${word}” is to be one word of “${ghost}”`);
    await editor.saves(name, before + word + after);
    await editor.press("Tab");
    await editor.saves(name, before + ghost + after);
  },

  "keeps what is shown while its beginning is typed": async ({ editor }) => {
    const { name, before, ghost, after } = await typeUntilGhost(editor, (ghost) => /^\w{3}/.test(ghost));
    const typed = ghost.slice(0, 2);
    await editor.type(typed);
    const rest = ghost.slice(typed.length);
    await until("the rest is shown", async () => (await editor.ghost()) === rest);
    await editor.saves(name, before + typed + after);
    await editor.press("Tab");
    await editor.saves(name, before + ghost + after);
  },

  "lets something else be typed over it": async ({ editor }) => {
    const { name, before, ghost, after } = await typeUntilGhost(editor);
    const other = ghost.startsWith("q") ? "z" : "q";
    await editor.type(other);
    await until("the old ghost text is gone", async () => (await editor.ghost()) !== ghost);
    await editor.saves(name, before + other + after);
  },

  "takes an accepted one back with undo": async ({ editor }) => {
    const { name, before, ghost, after } = await typeUntilGhost(editor);
    await editor.press("Tab");
    await editor.saves(name, before + ghost + after);
    await editor.press("Control+Z");
    await editor.saves(name, before + after);
  },

  "shows another one on demand": async ({ editor }) => {
    let second;
    const hasSecond = async (first) => {
      await editor.press("Alt+Backslash");
      await editor.untilGhost("the completion that was asked for is shown");
      await editor.press("Alt+BracketRight");
      second = await until(
        "another one is shown",
        async () => {
          const shown = await editor.ghost();
          return shown !== undefined && shown !== first && shown;
        },
        2_000,
      ).catch(() => undefined);
      return second !== undefined;
    };
    const { name, before, after } = await typeUntilGhost(editor, hasSecond);
    await editor.press("Tab");
    await editor.saves(name, before + second + after);
  },

  "goes away with Escape, and leaves Tab to indent": async ({ editor }) => {
    const { name, before, after } = await typeUntilGhost(editor);
    await editor.press("Escape");
    await until("the ghost text is gone", async () => (await editor.ghost()) === undefined);
    await editor.press("Home", "Tab");
    const lines = before.split("\n");
    const last = lines.pop();
    const indentation = /^ */.exec(last)[0];
    await editor.saves(name, [...lines, `${indentation}    ${last.slice(indentation.length)}${after}`].join("\n"));
  },

  "leaves Tab alone where nothing is shown": async ({ editor }) => {
    const name = newName("py");
    await editor.openNew(name, "first = 1\nsecond = 2\n");
    await editor.press("Control+Home", "Tab", "ArrowDown", "Home", "Shift+End", "Tab");
    await editor.saves(name, "    first = 1\n    second = 2\n");
    await editor.press("Shift+Tab");
    await editor.saves(name, "    first = 1\nsecond = 2\n");
  },

  "shows nothing beside a menu that does not extend its selected item": async ({ editor }) => {
    const name = newName("py");
    const words = "remarkable_first = 1\nremarkable_second = 2\n";
    await editor.openNew(name, words);
    await editor.type("rem");
    await editor.press("Control+Space");
    const selected = editor.page.locator(".suggest-widget.visible .monaco-list-row.focused");
    await selected.waitFor();
    await never(
      "ghost text that does not extend the selected item",
      async () => {
        const ghost = await editor.ghost();
        const label = await selected.getAttribute("aria-label").catch(() => null);
        return ghost !== undefined && label !== null && !`rem${ghost}`.startsWith(label.split(",")[0]) && { ghost, label };
      },
      1_500,
    );
    const label = (await selected.getAttribute("aria-label")).split(",")[0];
    await editor.press("Tab");
    await editor.saves(name, words + label);
  },

  "survives that a file is reverted, closed and opened again": async ({ editor }) => {
    const { name, before, ghost, after } = await typeUntilGhost(editor);
    await editor.saves(name, before + after);
    await editor.press("Tab");
    await editor.run("File: Revert File");
    await editor.saves(name, before + after);
    await editor.closeFile();
    await editor.open(name);
    for (const _ of after) {
      await editor.press("ArrowLeft");
    }
    // The last character once more, so that the editor asks.
    await editor.press("Backspace");
    await editor.type(before.at(-1));
    await editor.untilGhost();
    await editor.press("Tab");
    // What was shown for the text without its last character may give way to another one until the key is there.
    const isLonger = (text) => text.startsWith(before) && text.trimEnd().length > (before + after).length;
    await editor.saves(name, isLonger);
    assert.ok(ghost.length > 0);
  },

  "follows a file to its new name": async ({ editor }) => {
    const { name, before, ghost, after } = await typeUntilGhost(editor);
    await editor.saves(name, before + after);
    const renamed = `renamed-${name}`;
    await editor.rename(renamed);
    await editor.saves(renamed, before + after);
    // The document is a new one now, and the answer of the old one may be gone.
    await editor.press("End", ...Array.from(after, () => "ArrowLeft"), "Backspace");
    await editor.type(before.at(-1));
    const again = await editor.untilGhost();
    await editor.press("Tab");
    await editor.saves(renamed, (text) => text.startsWith(before + again));
    assert.ok(ghost.length > 0);
  },

  "works in a document without a file": async ({ editor }) => {
    await editor.run("File: New Untitled Text File");
    await editor.untilActive("Untitled-1");
    const { name, before, ghost } = await typeUntitledUntilGhost(editor);
    await editor.press("Tab");
    await editor.saveAs(name);
    await editor.saves(name, before + ghost);
  },
};
