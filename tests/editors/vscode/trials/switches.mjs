// Switching off and on, and what the status bar says.
import assert from "node:assert/strict";
import { newName, PLAIN, typeUntilGhost } from "./samples.mjs";

/** Longer than an answer takes. */
const QUIET_MS = 1_500;

export const switches = {
  "is silent when it is switched off, and not when it is on again": async ({ editor }) => {
    const sample = await typeUntilGhost(editor);
    const { name, before, after } = sample;
    await editor.run("Lacuna: Toggle");
    await editor.untilStatus("Lacuna is switched off.");
    await typeAgain(editor, before);
    await editor.noGhost("ghost text while all is switched off", QUIET_MS);
    await editor.screenshot("switched-off");
    await editor.run("Lacuna: Toggle");
    await editor.untilStatus("Ready");
    await typeAgain(editor, before);
    const ghost = await editor.untilGhost();
    await editor.press("Tab");
    await editor.saves(name, before + ghost + after);
  },

  "is silent in one language alone": async ({ editor }) => {
    const { name, before, after } = await typeUntilGhost(editor);
    await editor.run("Lacuna: Toggle for this language");
    await editor.untilStatus("Lacuna is switched off for");
    await typeAgain(editor, before);
    await editor.noGhost("ghost text while its language is switched off", QUIET_MS);
    await editor.saves(name, before + after);
    const other = await typeUntilGhost(editor, () => true, PLAIN);
    await editor.saves(other.name, other.before);
    await editor.open(name);
    await editor.run("Lacuna: Toggle for this language");
    await editor.untilStatus("Ready");
  },

  "says why there is no completion": async ({ editor }) => {
    const name = newName("py");
    await editor.openNew(name, "one = 1\n");
    await editor.press("Control+Home", "ArrowRight", "ArrowRight");
    await editor.type("c");
    await editor.untilStatus("No completion here: Text follows on the line.");
    await editor.saves(name, "once = 1\n");
    await editor.run("Lacuna: Show status");
    await editor.untilNotified("No completion here: Text follows on the line.");
    await editor.dismissNotifications();
  },

  "never reads a file that may hold a secret, and says so": async ({ editor }) => {
    await editor.openNew("secrets.py", "self.a = a\nself.b = b\n");
    await editor.type("self.c = ");
    await editor.untilStatus("No completion here");
    await editor.noGhost("ghost text in a file that may hold a secret", QUIET_MS);
    await editor.saves("secrets.py", "self.a = a\nself.b = b\nself.c = ");
  },

  "opens a menu from the status bar": async ({ editor }) => {
    await editor.openNew(newName("py"), "");
    await editor.page.locator('.statusbar-item[id^="lacuna"] a').click();
    const entries = editor.page.locator(".quick-input-list .monaco-list-row");
    await entries.first().waitFor();
    const labels = (await entries.allTextContents()).join("\n");
    for (const label of ["Switch off", "Switch off for python", "Fill all holes", "Show status", "Show log", "Restart"]) {
      assert.ok(labels.includes(label), `the menu has “${label}”: ${labels}`);
    }
    await editor.screenshot("menu");
    await editor.press("Escape");
  },

  "shows its log": async ({ editor }) => {
    await editor.run("Lacuna: Show log");
    await editor.page.locator(".panel .view-lines", { hasText: "Starting" }).waitFor();
    await editor.run("View: Toggle Panel Visibility");
  },
};

/** Types the last character before the caret anew, so that the editor asks for a completion. */
async function typeAgain(editor, before) {
  await editor.press("Backspace");
  await editor.type(before.at(-1));
}
