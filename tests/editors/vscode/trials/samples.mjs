// Beginnings that the embedded model may have an end for. Nobody can say which end, nor that there is one at all: a
// trial goes through them until something is shown that it can use, and then asserts what becomes of exactly that.
import { until } from "../wait.mjs";

/** What the file has at first, what is typed, and what the editor itself puts after the caret. */
const BEGINNINGS = [
  {
    extension: "py",
    text: "def first(values):\n    total = 0\n    for value in values:\n        total += value\n    return total\n\n\ndef second(values):\n    total = 0\n    ",
    typed: "for ",
    closers: "",
  },
  {
    extension: "py",
    text: "def area(shape):\n    print(shape.width, shape.height)\n    print(shape.width, shape.depth)\n    ",
    typed: "print(",
    closers: ")",
  },
  {
    extension: "txt",
    text: "Dear all,\n\nplease find the minutes of our meeting below.\n\nDear all,\n\n",
    typed: "please find ",
    closers: "",
  },
  { extension: "py", text: "class A:\n    ", typed: "def __init__(", closers: ")" },
  { extension: "rs", text: "fn main() {\n    ", typed: "let x = vec![1, 2, 3", closers: "]" },
  { extension: "py", text: "self.a = a\nself.b = b\n", typed: "self.c = ", closers: "" },
  { extension: "rs", text: "", typed: "#[derive(Clone, ", closers: ")]" },
  { extension: "rs", text: "", typed: "use std::collections::", closers: "" },
  { extension: "py", text: "import os\n", typed: "import ", closers: "" },
  { extension: "rs", text: "fn f() {\n    let x = 1;\n    ", typed: "let y = ", closers: "" },
  { extension: "py", text: "for x in range(3):\n    print(x)\n", typed: "for y in ", closers: "" },
  { extension: "txt", text: "self.a = a\nself.b = b\n", typed: "self.c = ", closers: "" },
  { extension: "txt", text: "Dear all,\n\n", typed: "please find ", closers: "" },
  { extension: "txt", text: "apples and pears\n", typed: "apples ", closers: "" },
];

/** Those that are the same in a document without a language. */
export const PLAIN = BEGINNINGS.filter(({ extension }) => extension === "txt");

const ANSWER_LIMIT_MS = 10_000;

let files = 0;

/** A name that no file had before. */
export function newName(extension) {
  files += 1;
  return `sample${files}.${extension}`;
}

/**
 * Types beginnings, each into a new file, until there is ghost text that `isUsable`. Gives the file's name, the text
 * before and after the caret, and the ghost text.
 */
export async function typeUntilGhost(editor, isUsable = () => true, beginnings = BEGINNINGS) {
  for (const { extension, text, typed, closers } of beginnings) {
    const name = newName(extension);
    await editor.openNew(name, text);
    await editor.type(typed);
    const ghost = await answer(editor);
    if (ghost !== undefined && !ghost.includes("\n") && (await isUsable(ghost))) {
      return { name, before: text + typed, ghost, after: closers };
    }
    await editor.saves(name, text + typed + closers);
    await editor.closeFile();
  }
  throw new Error("The model has had no completion that this trial could use; it needs other beginnings.");
}

/**
 * Waits until a window that has just been opened asks for completions: the editor loads what asks for them only some
 * time after it shows the first file, and what is typed before that gets none.
 */
export async function untilAwake(editor) {
  await editor.untilStatus("Ready");
  const name = newName("py");
  await editor.openNew(name, "");
  await until("the editor asks for completions", async () => {
    await editor.type("if __name__ == ");
    const isAwake = await until(
      "an answer",
      async () => (await editor.ghost()) !== undefined || (await editor.status()).includes("No completion here"),
      1_000,
    ).catch(() => false);
    await editor.press("Control+A", "Delete");
    return isAwake;
  });
  await editor.saves(name, "");
  await editor.closeFile();
}

/** The same in a document that has no file yet, and is empty. The name is its first line. */
export async function typeUntitledUntilGhost(editor) {
  for (const { text, typed } of PLAIN) {
    await editor.type(text + typed);
    const ghost = await answer(editor);
    if (ghost !== undefined) {
      return { name: text.split("\n")[0], before: text + typed, ghost };
    }
    await editor.press("Control+A", "Delete");
  }
  throw new Error("The model has had no completion of plain text; the trial needs other beginnings.");
}

/** The ghost text, or undefined where the server says that there is none. */
async function answer(editor) {
  const isSilent = async () => (await editor.status())?.includes("No completion here");
  const shown = await until(
    "the server answers",
    async () => (await editor.ghost()) !== undefined || (await isSilent()),
    ANSWER_LIMIT_MS,
  ).then(() => editor.ghost());
  return shown === undefined ? undefined : editor.untilGhost();
}
