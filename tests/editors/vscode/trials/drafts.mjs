// The denoising view: seen while a fill is under way, and gone afterwards.
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { until } from "../wait.mjs";
import { chooseFill } from "./holes.mjs";
import { pretending } from "./pretended.mjs";
import { newName } from "./samples.mjs";

const TEXT = "fn f() -> u32 {\n    g(todo!(), 3)\n}\n";
const RANGE = { start: { line: 1, character: 6 }, end: { line: 1, character: 13 } };
const piece = (text, certainty) => ({ text, settled: certainty === 1, certainty });

/** Has the pretended server begin a fill, with a first step drawn. */
async function begin({ editor, fake }) {
  const name = newName("rs");
  await editor.openNew(name, TEXT);
  await editor.goTo(2, 10);
  await chooseFill(editor);
  const uri = pathToFileURL(editor.file(name)).href;
  const step = (step, pieces, changes = {}) => ({
    notify: "lacuna/draft",
    params: { uri, version: 1, id: 7, step, limit: 9, done: false, holes: [{ range: RANGE, pieces }], ...changes },
  });
  await fake.say(step(1, [piece("first", 1), piece("(rest", 0.4), piece(") ", 1), piece("+", 0.8), piece("\n    1", 0.2)]));
  await until("the draft is drawn", async () => (await editor.drawn()).length > 0);
  return { name, uri, step };
}

export const drafts = {
  "draws a hole condensing in place, and puts in what comes out": pretending(async (context) => {
    const { editor, fake } = context;
    const { name, uri, step } = await begin(context);
    const drawn = await editor.drawn();
    assert.deepEqual(
      drawn.map(({ text }) => text),
      ["first", "(rest", ") ", "+", " ⏎ 1"],
    );
    const colors = drawn.map(({ color }) => color);
    const [settled, uncertain, , likely] = colors;
    assert.equal(new Set(colors).size, 3, `three kinds have three colours: ${colors.join("; ")}`);
    assert.deepEqual(colors, [settled, uncertain, settled, likely, uncertain]);
    await editor.screenshot("draft");
    await fake.say(step(2, [piece("first(2) + 1", 1)]));
    await until("the next step is drawn", async () => (await editor.drawn()).map(({ text }) => text).join("|") === "first(2) + 1");
    await fake.say(step(0, [], { done: true, holes: [] }));
    await until("the draft is gone", async () => (await editor.drawn()).length === 0);
    await until("nothing of the hole is hidden any more", async () => (await editor.line(2)) === "    g(todo!(), 3)");
    await fake.say({ edit: { changes: { [uri]: [{ range: RANGE, newText: "first(2) + 1" }] } } });
    await editor.untilSaves(name, (text) => text === TEXT.replace("todo!()", "first(2) + 1"));
  }),

  "takes a draft away when the document changes": pretending(async (context) => {
    const { editor, fake } = context;
    const { name, step } = await begin(context);
    await editor.press("Control+Home");
    await editor.type("x");
    await until("the draft is gone", async () => (await editor.drawn()).length === 0);
    // A step that comes late is one of another version.
    await fake.say(step(2, [piece("late", 1)]));
    await fake.say(step(0, [], { done: true, holes: [] }));
    await fake.say({ edit: null });
    await until("all that was said has been heard", () => fake.isDone());
    await editor.saves(name, `x${TEXT}`);
    assert.deepEqual(await editor.drawn(), []);
  }),

  "takes a draft away when the server dies": pretending(async (context) => {
    const { editor, fake, workbench } = context;
    const { name } = await begin(context);
    await fake.kill(workbench);
    await until("the draft is gone", async () => (await editor.drawn()).length === 0);
    await editor.saves(name, TEXT);
  }),

  "takes a draft away when its file is closed": pretending(async (context) => {
    const { editor } = context;
    const { name } = await begin(context);
    await editor.closeFile();
    await editor.open(name);
    assert.deepEqual(await editor.drawn(), []);
  }),

  "says why a hole could not be filled": pretending(async (context) => {
    const { editor, fake } = context;
    const { name, step } = await begin(context);
    await fake.say(step(0, [], { done: true, holes: [] }));
    await fake.say({ error: "nothing fits here" });
    await editor.untilNotified("Fill this hole: nothing fits here.");
    await editor.dismissNotifications();
    await editor.saves(name, TEXT);
    assert.deepEqual(await editor.drawn(), []);
  }),

  "draws what the real server condenses": async ({ editor }) => {
    // So many holes that filling them takes longer than the editor needs to paint.
    const name = newName("rs");
    const holes = Array.from({ length: 16 }, (_, index) => `fn f${index}(v: &[u32]) -> u32 {\n    v[todo!()]\n}\n`);
    await editor.openNew(name, holes.join("\n"));
    await editor.press("Control+Home");
    await editor.watchDrawings();
    await editor.run("Lacuna: Fill all holes");
    await until("a draft was drawn", () => editor.hasDrawn());
    // Between two steps nothing may be drawn for a moment; a draft that stays behind never goes.
    let clearSince;
    await until("the drafts are gone for good", async () => {
      clearSince = (await editor.drawn()).length === 0 ? (clearSince ?? performance.now()) : undefined;
      return clearSince !== undefined && performance.now() - clearSince > 1_000;
    });
    await editor.page.locator(".bulk-edit-panel .monaco-button", { hasText: "Discard" }).click();
  },
};
