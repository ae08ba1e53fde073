// What the editor's user waits for: from a key to ghost text on the screen, and the extension's activation.
import { until } from "./wait.mjs";
import { newName } from "./trials/samples.mjs";

const ROUNDS = 30;
const ACTIVATIONS = 5;

/** Beginnings, and the key that is measured; most have an answer, and the others don't count. */
const BEGINNINGS = [
  ["py", "class A:\n    def __init__", "("],
  ["py", "self.a = a\nself.b = b\nself.c =", " "],
  ["rs", "fn main() {\n    let x = vec![1, 2, ", "3"],
  ["rs", "fn f() {\n    let x = 1;\n    let y =", " "],
  ["py", "import os\nimport", " "],
];
const COMMENT = { py: "#", rs: "//" };

/** Measures in an editor that is awake. Gives milliseconds. */
export async function measureAll({ editor, workbench }) {
  const activation = await measureActivation(workbench);
  return { unit: "ms", "key to ghost text": await measureKeys(editor), activation };
}

async function measureKeys(editor) {
  const fresh = [];
  const cached = [];
  const typedThrough = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const [extension, beginning, key] = BEGINNINGS[round % BEGINNINGS.length];
    // Another text each time, so that no answer is known.
    await editor.openNew(newName(extension), `${COMMENT[extension]} ${round}\n${beginning}`);
    const first = await timed(editor, key);
    if (first === undefined) {
      continue;
    }
    fresh.push(first);
    const ghost = await editor.untilGhost();
    await editor.press("Backspace", "Escape");
    await until("no ghost text is shown", async () => (await editor.ghost()) === undefined);
    const again = await timed(editor, key, ghost);
    if (again !== undefined) {
      cached.push(again);
    }
    if (/^\w\w/.test(ghost)) {
      const through = await timed(editor, ghost[0], ghost.slice(1));
      if (through !== undefined) {
        typedThrough.push(through);
      }
    }
    await editor.press("Control+S");
  }
  return { fresh: summary(fresh), cached: summary(cached), "typed through": summary(typedThrough) };
}

/** How long the editor says that the extension's activation took, in windows that are opened one after the other. */
async function measureActivation(workbench) {
  const times = [];
  for (let round = 0; round < ACTIVATIONS; round += 1) {
    const editor = await workbench.openWindow();
    await editor.untilStatus("Ready");
    await editor.run("Developer: Show Running Extensions");
    const row = editor.page.locator(".runtime-extensions-editor .monaco-list-row", { hasText: "Lacuna" }).first();
    const text = await until("the editor tells the activation's time", async () => {
      const shown = await row.textContent({ timeout: 1_000 }).catch(() => null);
      return /(\d+)\s*ms/.exec(shown ?? "")?.[1];
    });
    times.push(Number(text));
    await workbench.closeWindow(editor);
  }
  return summary(times);
}

/**
 * Presses a key. Gives the milliseconds until the frame in which ghost text was there, the wanted one if one is given,
 * or undefined if none came. The page itself looks at every change and takes the time.
 */
async function timed(editor, key, wanted = null) {
  const found = editor.page.evaluate(
    (wanted) =>
      new Promise((resolve) => {
        const LIMIT_MS = 5_000;
        let pressed;
        const shown = () => {
          const parts = document.querySelectorAll(
            ".editor-group-container.active .view-lines :is(.ghost-text-decoration, .ghost-text-decoration-preview)",
          );
          return [...parts].map((part) => part.textContent).join("").replaceAll("\u00a0", " ");
        };
        const end = (value) => {
          observer.disconnect();
          removeEventListener("keydown", press, true);
          clearTimeout(timer);
          resolve(value);
        };
        const look = () => {
          const text = shown();
          if (pressed !== undefined && text !== "" && (wanted === null || text === wanted)) {
            observer.disconnect();
            requestAnimationFrame(() => end(performance.now() - pressed));
          }
        };
        const press = () => {
          pressed ??= performance.now();
        };
        const observer = new MutationObserver(look);
        const timer = setTimeout(() => end(null), LIMIT_MS);
        addEventListener("keydown", press, true);
        observer.observe(document.querySelector(".editor-group-container.active"), {
          subtree: true,
          childList: true,
          characterData: true,
        });
        globalThis.isWatching = true;
      }),
    wanted,
  );
  await until("the page watches", () => editor.page.evaluate(() => globalThis.isWatching === true));
  await editor.page.keyboard.press(key === " " ? "Space" : key);
  const time = await found;
  await editor.page.evaluate(() => {
    globalThis.isWatching = false;
  });
  return time ?? undefined;
}

function summary(times) {
  const sorted = [...times].sort((first, second) => first - second);
  const at = (share) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN);
  return { count: sorted.length, p50: at(0.5), p95: at(0.95) };
}
