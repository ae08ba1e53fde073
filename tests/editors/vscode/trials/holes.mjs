// Files with holes that the embedded model may have something for, gone through until it does.
import { readFile } from "node:fs/promises";
import { until } from "../wait.mjs";
import { newName } from "./samples.mjs";

export const ONE_HOLE = [
  "fn f(a: u32) -> u32 {\n    let b = todo!();\n    a + b\n}\n",
  "fn f(v: &[u32]) -> u32 {\n    let b = v[todo!()];\n    b\n}\n",
  "fn f() {\n    let b = g(todo!());\n}\n",
];
export const TWO_HOLES = [
  "fn f(v: &[u32]) -> u32 {\n    v[todo!()] + v[todo!()]\n}\n",
  "fn f(a: u32) -> u32 {\n    let b = todo!();\n    let c = todo!();\n    a + b + c\n}\n",
  "fn f() -> u32 {\n    let a: u32 = todo!();\n    let b: u32 = todo!();\n    a + b\n}\n",
];

/** What an answer takes, and what an editor takes to put it in. */
const FILL_LIMIT_MS = 5_000;

/**
 * Opens files, one after the other, and has them filled by `act`, until all holes of one are filled. Gives its name and
 * what it was before; it is saved.
 */
export async function fillUntilFilled(editor, files, act) {
  for (const text of files) {
    const name = newName("rs");
    await editor.openNew(name, text);
    // Where the first hole is.
    await editor.goTo(2, text.split("\n")[1].indexOf("todo!()") + 1);
    await act(name);
    const isFilled = await until(
      "the holes are filled",
      async () => {
        await editor.press("Control+S");
        return holdsFills(await readFile(editor.file(name), "utf8"), text);
      },
      FILL_LIMIT_MS,
    ).catch(() => false);
    if (isFilled) {
      return { name, text };
    }
    await editor.dismissNotifications();
  }
  throw new Error("The model has filled no file's holes; the trial needs other files.");
}

/** Whether a text is another one with something else in place of each hole. */
function holdsFills(text, holes) {
  const parts = holes.split("todo!()").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return !text.includes("todo!()") && new RegExp(`^${parts.join("[^]+")}$`).test(text);
}

/** Chooses “Fill this hole” among what can be done at the caret. */
export async function chooseFill(editor) {
  await editor.press("Control+.");
  const entry = editor.page.locator(".action-widget .monaco-list-row", { hasText: "Fill this hole" });
  await entry.waitFor();
  await entry.click();
}
