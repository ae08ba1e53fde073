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

  /**
   * Opens the editor's input line by a key, types into it and chooses the entry with a label. What
   * still goes on in the editor may take the focus away and close the line again, so that it is tried until it works.
   */
  async #choose(key, typed, label) {
    const input = this.page.locator(".quick-input-widget input");
    // After the label stand the keys, or that it was used recently.
    const row = ".quick-input-list .monaco-list-row";
    const entry = this.page.locator(`${row}[aria-label="${label}"], ${row}[aria-label^="${label},"]`).first();
    await until(`the editor's input line offers “${label}” for “${typed}”`, async () => {
      await this.page.keyboard.press(key);
      try {
        await input.fill(typed, { timeout: 2_000 });
        await entry.click({ timeout: 3_000 });
        return true;
      } catch {
        await this.page.keyboard.press("Escape");
        return false;
      }
    });
  }

  /** Opens a file of the folder, with the caret at its end. */
  async open(name) {
    // By its whole path it is found even if it has just been made.
    await this.#choose("Control+P", this.file(name), name);
    await this.untilActive(name);
    await this.page.keyboard.press("Control+End");
  }

  /** Writes a file anew, and opens it with the caret at its end. */
  async openNew(name, text) {
    await writeFile(this.file(name), text);
    await this.open(name);
  }

  /** Closes the file that is shown, and has been saved. */
  async closeFile() {
    await until("the file is saved", async () => (await this.page.locator(".tab.active.dirty").count()) === 0);
    const name = await this.activeName();
    // A browser keeps the usual key to itself.
    await this.page.locator(".tab.active.selected .tab-actions .action-label").click();
    await until(`${name} is closed`, async () => (await this.page.locator(`.tab[data-resource-name="${name}"]`).count()) === 0);
  }

  async untilActive(name) {
    await until(`the editor shows ${name}`, async () => {
      return (await this.activeName()) === name && (await this.page.locator(".editor-instance .monaco-editor.focused").count()) > 0;
    });
  }

  /** Runs a command of the palette by its title. */
  run(title) {
    return this.#choose("F1", `>${title}`, title);
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

  /** Saves again and again until the file has a text that a function says yes to: when it comes about is not ours. */
  async untilSaves(name, isRight) {
    let text;
    try {
      await until("the text is right", async () => {
        await this.page.keyboard.press("Control+S");
        text = await readFile(this.file(name), "utf8");
        // While the file is being written, it is empty.
        return text !== "" && isRight(text);
      });
    } catch {
      throw new Error(`${name} has the text ${JSON.stringify(text)} and does not come to what was expected: ${isRight}.`);
    }
  }

  /** Saves a document that has no file yet under the name that the editor proposes, which is its first line. */
  async saveAs(firstLine) {
    await this.page.keyboard.press("Control+S");
    const input = this.page.locator(".quick-input-widget input");
    await until("the editor proposes a name", async () => (await input.inputValue()).endsWith(`/${firstLine}`));
    await this.page.keyboard.press("Enter");
    await this.untilActive(firstLine);
  }

  /** Renames the file that is shown. */
  async rename(name) {
    await this.run("File: Reveal Active File in Explorer View");
    const row = this.page.locator(".explorer-folders-view .monaco-list-row.focused");
    await row.waitFor();
    await this.page.keyboard.press("F2");
    const input = this.page.locator(".explorer-folders-view .monaco-inputbox input");
    await input.waitFor();
    await input.fill(name);
    await this.page.keyboard.press("Enter");
    await until(`the tab has the name ${name}`, async () => (await this.activeName()) === name);
    await this.run("View: Focus Active Editor Group");
    await this.untilActive(name);
  }

  activeName() {
    return this.page.locator(".tab.active.selected").first().getAttribute("data-resource-name").catch(() => null);
  }

  /** Puts the caret at a line and a column, which count from 1. */
  async goTo(line, column) {
    await this.page.keyboard.press("Control+G");
    const input = this.page.locator(".quick-input-widget input");
    await input.waitFor();
    await input.fill(`:${line}:${column}`);
    await this.page.keyboard.press("Enter");
    await input.waitFor({ state: "hidden" });
  }

  /** The text of a line that is visible, as it is shown, ghost text and all. */
  async line(number) {
    const text = await this.page.evaluate((number) => {
      const lines = [...document.querySelectorAll(".editor-group-container.active .view-lines .view-line")];
      lines.sort((first, second) => Number.parseFloat(first.style.top) - Number.parseFloat(second.style.top));
      const visible = (node) => getComputedStyle(node).opacity !== "0";
      return [...lines[number - 1].querySelectorAll("span > span")].filter(visible).map((span) => span.textContent).join("");
    }, number);
    return text.replaceAll("\u00a0", " ");
  }

  /** What the denoising view draws, in the order in which it is seen. */
  async drawn() {
    const runs = await this.page.evaluate(() =>
      [...document.querySelectorAll('.view-lines [class*="ced-"]')]
        .map((span) => ({ span, style: getComputedStyle(span, "::before") }))
        .filter(({ style }) => /^".+"$/.test(style.content))
        .map(({ span, style }) => ({ text: JSON.parse(style.content), color: style.color, x: span.getBoundingClientRect().x }))
        .sort((first, second) => first.x - second.x),
    );
    return runs.map(({ text, color }) => ({ text: text.replaceAll("\u00a0", " "), color }));
  }

  /** Begins to look at every frame for a drawing. */
  watchDrawings() {
    return this.page.evaluate(() => {
      globalThis.hasDrawn = false;
      const look = () => {
        globalThis.hasDrawn = [...document.querySelectorAll('.view-lines [class*="ced-"]')].some((span) =>
          /^".+"$/.test(getComputedStyle(span, "::before").content),
        );
        if (!globalThis.hasDrawn) {
          requestAnimationFrame(look);
        }
      };
      look();
    });
  }

  /** Whether there was a drawing in any frame since then. */
  hasDrawn() {
    return this.page.evaluate(() => globalThis.hasDrawn);
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

  untilNotified(text) {
    return until(`a notification says “${text}”`, async () =>
      (await this.notifications()).some((message) => message.includes(text)),
    );
  }

  async dismissNotifications() {
    await this.run("Notifications: Clear All Notifications");
    await until("no notification is shown", async () => (await this.notifications()).length === 0);
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
