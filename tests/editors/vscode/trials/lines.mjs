// Ghost text of several lines, which the embedded model seldom has.
import { until } from "../wait.mjs";
import { pretending } from "./pretended.mjs";
import { newName } from "./samples.mjs";

const BEFORE = "one = 1\n";
const AFTER = "\nlast = 9\n";
const LINES = "lpha = 😀(1)\n  beta(2)\n\ngamma(3)";

/** Types in a file's middle, and waits until all of it is shown. */
async function show({ editor, fake }) {
  await fake.put("inline", LINES);
  const name = newName("py");
  await editor.openNew(name, BEFORE + AFTER);
  await editor.goTo(2, 1);
  await editor.type("a");
  await until("all lines are shown", async () => (await editor.ghost()) === LINES);
  return name;
}

export const lines = {
  "accepts several lines": pretending(async (context) => {
    const { editor } = context;
    const name = await show(context);
    await editor.screenshot("lines");
    await editor.press("Tab");
    await editor.saves(name, `${BEFORE}a${LINES}${AFTER}`);
    await editor.press("Control+Z");
    await editor.saves(name, `${BEFORE}a${AFTER}`);
  }),

  "accepts one line of several": pretending(async (context) => {
    const { editor, fake } = context;
    const name = await show(context);
    // The editor asks for what comes after the accepted line.
    const accepted = LINES.slice(0, LINES.indexOf("\n") + 1);
    await fake.put("inline", LINES.slice(accepted.length));
    await editor.press("Control+Alt+L");
    await editor.saves(name, `${BEFORE}a${accepted}${AFTER}`);
    await until("the rest is shown", async () => (await editor.ghost()) === LINES.slice(accepted.length));
    await editor.press("Tab");
    await editor.saves(name, `${BEFORE}a${LINES}${AFTER}`);
  }),
};
