// A function with two calls, which want its new name when it is renamed.
import { until } from "../wait.mjs";
import { newName } from "./samples.mjs";

const textWith = (name) =>
  `fn ${name}(items: &[u8]) -> u8 {\n    items.iter().sum()\n}\n\nfn main() {\n` +
  `    let first = ${name}(&[1]);\n    show(${name}(&[2]));\n}\n`;

/**
 * Renames the function where it is declared, and has the command go to the first call. Gives the file's name, and its text
 * with the new name everywhere.
 */
export async function rename(editor, from, to) {
  const name = newName("rs");
  await editor.openNew(name, textWith(from));
  await editor.goTo(1, 4);
  await editor.press("Control+Shift+ArrowRight");
  await editor.type(to);
  await editor.press("Escape");
  // Places are looked for once typing rests, and the command says so where there is none. Where there is one the editor gets the focus with it:
  // what would be typed for another command then would go into the text.
  const isThere = editor.page.locator(".statusbar-item", { hasText: /^Ln 6,/ });
  await until("the next place is shown", async () => {
    await editor.run("Lacuna: Go to the next place that wants the last change");
    const hasCome = await isThere.waitFor({ timeout: 2000 }).then(
      () => true,
      () => false,
    );
    if (!hasCome) await editor.dismissNotifications();
    return hasCome;
  });
  return { name, expected: textWith(to) };
}

/** Chooses the action that makes the change at all places. */
export async function changeAll(editor) {
  await editor.press("Control+.");
  const entry = editor.page.locator(".action-widget .monaco-list-row", { hasText: "at all 2 places" });
  await entry.waitFor();
  await editor.screenshot("next-place");
  await entry.click();
}
