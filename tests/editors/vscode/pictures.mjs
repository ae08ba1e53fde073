// The pictures of the extension's README: what the real server does in the real editor.
import { copyFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { chooseFill } from "./trials/holes.mjs";
import { until } from "./wait.mjs";

/** Nothing around the text that has no part in it. */
const SETTINGS = {
  "workbench.activityBar.location": "hidden",
  "breadcrumbs.enabled": false,
  "editor.stickyScroll.enabled": false,
  "editor.scrollbar.vertical": "hidden",
  "editor.scrollbar.horizontal": "hidden",
};
const WINDOW = { width: 720, height: 350 };

/** A model that has never two kinds of text in a hole would have this go on for ever. */
const PICTURES_AT_MOST = 10;

export async function takePictures(begin, root) {
  const { editor, workbench } = await begin({ settings: SETTINGS });
  await editor.run("View: Toggle Primary Side Bar Visibility");
  await editor.page.setViewportSize(WINDOW);
  for (const [name, scene] of Object.entries({ "ghost-text": ghostText, denoising, menu })) {
    if (name === "denoising") {
      await writeFile(editor.file(`${name}.rs`), UNLIKE_ANY);
    } else {
      await copyFile(path.join(root, "fixtures", "samples", "ledger.rs"), editor.file(`${name}.rs`));
    }
    await editor.open(`${name}.rs`);
    if (!(await scene(editor, name))) {
      console.log(`${name}.png stays as it was: the fills were over before they could be pictured`);
      continue;
    }
    const taken = path.join(workbench.workplace.output, `${name}.png`);
    await copyFile(taken, path.join(root, "editors", "vscode", "images", `${name}.png`));
    console.log(`${name}.png`);
  }
}

/** Begins of functions that the model may have something for. */
const TYPED = ["pub fn checked_mul(self, other: Self) -> ", "pub fn is_zero(", "pub fn checked_mul(", "pub fn checked_mul(self, other: ", "pub fn zero() -> "];

async function ghostText(editor, name) {
  for (const typed of TYPED) {
    await editor.goTo(21, 1);
    await editor.press("End", "Enter", "Enter");
    await editor.type(typed);
    if (await editor.untilGhost("ghost text is shown", 3_000).catch(() => undefined)) {
      await editor.screenshot(name);
      return true;
    }
    await editor.run("File: Revert File");
  }
  throw new Error("The model has nothing for the picture of ghost text; it needs other beginnings.");
}

/** A hole that is like nothing else in its file: one whose text stands there already is filled within a step or two. */
const UNLIKE_ANY = `use std::io::{self, BufRead};

/// The lines that are not empty, in order.
pub fn lines(input: impl BufRead) -> io::Result<Vec<String>> {
    todo!()
}
`;

/** A picture counts if the hole had text of several kinds in it before and after it was taken. */
async function denoising(editor, name) {
  const isMixed = async () => new Set((await editor.drawn()).map(({ color }) => color)).size > 1;
  for (let attempt = 1; attempt <= PICTURES_AT_MOST; attempt += 1) {
    await editor.goTo(5, 8);
    await chooseFill(editor);
    const wasMixed = await until("the hole is drawn with text of several kinds", isMixed, 2_000).catch(() => false);
    if (wasMixed) {
      await editor.screenshot(name);
      if (await isMixed()) {
        return true;
      }
    }
    await until("the drawing is gone", async () => (await editor.drawn()).length === 0);
    // The fill, if there was one, is undone by opening the file again.
    await editor.run("File: Revert File");
  }
  return false;
}

async function menu(editor, name) {
  await editor.page.locator('.statusbar-item[id^="lacuna"] a').click();
  await editor.page.locator(".quick-input-list .monaco-list-row").first().waitFor();
  await editor.screenshot(name);
  return true;
}
