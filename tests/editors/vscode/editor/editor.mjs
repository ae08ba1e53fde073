// One window of the editor, as a person has it: keys go in, and what is seen and what is saved come out.
import { readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { never, until } from "../wait.mjs";

export class Editor {
  constructor(workbench, page, context) {
    Object.assign(this, { workbench, page, context });
  }

  file(name) {
    return path.join(this.workbench.folder, name);
  }

  press(...keys) {
    return keys.reduce((before, key) => before.then(() => this.page.keyboard.press(key)), Promise.resolve());
  }

  type(text) {
    return this.page.keyboard.type(text, { delay: 5 });
  }

  /** Opens a file of the folder, with the caret at its end. */
  async open(name) {
    const { page } = this;
    await page.keyboard.press("Control+P");
    const input = page.locator(".quick-input-widget input");
    await input.waitFor();
    // By its whole path it is found even if it has just been made.
    await input.fill(this.file(name));
    const row = page.locator(".quick-input-list .monaco-list-row", { hasText: name }).first();
    await row.waitFor();
    await page.keyboard.press("Enter");
    await this.untilActive(name);
    await page.keyboard.press("Control+End");
  }

  /** Writes a file anew, and opens it with the caret at its end. */
  async openNew(name, text) {
    await writeFile(this.file(name), text);
    await this.open(name);
  }

  /** Closes the file that is shown, and has been saved. */
  async closeFile() {
    await until("the file is saved", async () => (await this.page.locator(".tab.active.dirty").count()) === 0);
    const name = await this.page.locator(".tab.active.selected").first().getAttribute("data-resource-name");
    // A browser keeps the usual key to itself.
    await this.page.locator(".tab.active.selected .tab-actions .action-label").click();
    await until(`${name} is closed`, async () => (await this.page.locator(`.tab[data-resource-name="${name}"]`).count()) === 0);
  }

  async untilActive(name) {
    await until(`the editor shows ${name}`, async () => {
      const tab = await this.page.locator(".tab.active.selected").first().getAttribute("data-resource-name").catch(() => null);
      return tab === name && (await this.page.locator(".editor-instance .monaco-editor.focused").count()) > 0;
    });
  }

  /** Runs a command of the palette by its title. */
  async run(title) {
    const { page } = this;
    await page.keyboard.press("F1");
    const input = page.locator(".quick-input-widget input");
    await input.waitFor();
    await input.fill(`>${title}`);
    const row = page.locator(".quick-input-list .monaco-list-row").first();
    await until(`the palette offers “${title}”`, async () =>
      (await row.getAttribute("aria-label").catch(() => ""))?.includes(title),
    );
    await page.keyboard.press("Enter");
    await page.locator(".quick-input-widget input").waitFor({ state: "hidden" });
  }

  /** Saves, and waits until the file has the text, or one that a function says yes to. Gives the text. */
  async saves(name, expected, limitMs = undefined) {
    await this.page.keyboard.press("Control+S");
    let text;
    const isRight = typeof expected === "function" ? expected : (saved) => saved === expected;
    try {
      return await until(
        "the file is saved",
        async () => {
          text = await readFile(this.file(name), "utf8");
          return isRight(text) && { text };
        },
        limitMs,
      ).then((found) => found.text);
    } catch {
      const wanted = typeof expected === "function" ? `one with ${expected}` : JSON.stringify(expected);
      throw new Error(`${name} has the text ${JSON.stringify(text)}, not ${wanted}.`);
    }
  }

  /** The ghost text that is shown, or undefined. */
  async ghost() {
    const text = await this.page.evaluate(() => {
      const parts = (selector) =>
        [...document.querySelectorAll(`.editor-group-container.active ${selector}`)].map((part) => part.textContent);
      const inline = parts(".view-lines .ghost-text-decoration, .view-lines .ghost-text-decoration-preview").join("");
      const below = parts(".view-zones .suggest-preview-text .view-line");
      return [inline, ...below].join("\n");
    });
    return text === "" ? undefined : text.replaceAll("\u00a0", " ");
  }

  /** Waits for ghost text, and for it to rest: it changes when the next answer comes. */
  async untilGhost(what = "ghost text is shown", limitMs = undefined) {
    let last;
    let since = 0;
    return until(
      what,
      async () => {
        const ghost = await this.ghost();
        if (ghost !== last) {
          last = ghost;
          since = performance.now();
        }
        return ghost !== undefined && performance.now() - since > 250 && ghost;
      },
      limitMs,
    );
  }

  noGhost(what, durationMs) {
    return never(what, () => this.ghost(), durationMs);
  }

  /** The text of the notifications that are shown. */
  notifications() {
    return this.page.locator(".notification-toast .notification-list-item-message").allTextContents();
  }

  /** What the status bar's item says when one points at it. */
  async status() {
    const labels = await this.page
      .locator('.statusbar-item[id^="lacuna"] a')
      .evaluateAll((all) => all.map((item) => item.getAttribute("aria-label")));
    return labels[0];
  }

  async untilStatus(text, limitMs = undefined) {
    return until(`the status bar says “${text}”`, async () => (await this.status())?.includes(text), limitMs);
  }

  screenshot(name) {
    return this.page.screenshot({ path: path.join(this.workbench.workplace.output, `${name}.png`) });
  }
}
