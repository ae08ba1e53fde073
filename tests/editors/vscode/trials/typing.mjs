// Ghost text, and what can be done with it.
import { typeUntilGhost } from "./samples.mjs";

export const typing = {
  "accepts with Tab what is shown": async ({ editor }) => {
    const { name, before, ghost, after } = await typeUntilGhost(editor);
    await editor.screenshot("ghost-text");
    await editor.saves(name, before + after);
    await editor.press("Tab");
    await editor.saves(name, before + ghost + after);
  },
};
