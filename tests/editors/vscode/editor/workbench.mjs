// Visual Studio Code's own code in a browser: code-server and chromium, with nothing of this machine's user in them.
import { spawn, execFile } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import * as path from "node:path";
import { promisify } from "node:util";
import { pause, until } from "../wait.mjs";
import { Editor } from "./editor.mjs";

const START_LIMIT_MS = 60_000;
const CLOSE_LIMIT_MS = 5_000;
const WINDOW = { width: 1000, height: 640 };

/** What a user would have set, as far as trials depend on it. */
const SETTINGS = {
  "chat.disableAIFeatures": true,
  "workbench.startupEditor": "none",
  "workbench.tips.enabled": false,
  "workbench.reduceMotion": "on",
  "workbench.colorTheme": "Default Dark Modern",
  "telemetry.telemetryLevel": "off",
  "update.mode": "none",
  "extensions.autoCheckUpdates": false,
  "extensions.ignoreRecommendations": true,
  "git.enabled": false,
  "files.autoSave": "off",
  "editor.fontFamily": "DejaVu Sans Mono",
  "editor.minimap.enabled": false,
  "editor.lightbulb.enabled": "on",
  "editor.lineNumbersMinChars": 3,
  "workbench.editor.enablePreview": false,
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "workbench.layoutControl.enabled": false,
  "window.commandCenter": false,
  // However unsure the model is: trials are about what becomes of what it says.
  "lacuna.inlineCompletion.minConfidence": 0,
  // Menus of words would come between typing and ghost text; the trial about menus switches them on.
  "editor.quickSuggestions": { other: "off", comments: "off", strings: "off" },
  "editor.suggestOnTriggerCharacters": false,
};

/** The editor has the command, but no key for it. */
const KEYS = [{ key: "ctrl+alt+l", command: "editor.action.inlineSuggest.acceptNextLine" }];

/** The folders and programs of one run. */
export class Workplace {
  constructor({ tools, nodeFolder, chromium, extension, output }) {
    Object.assign(this, { tools, nodeFolder, chromium, extension, output });
    this.require = createRequire(path.join(tools, "package.json"));
    this.opened = [];
  }

  /** Starts code-server on a new folder with the given files, and opens a window on it. */
  async open(name, { files = {}, settings = {}, machine = {}, environment = {} } = {}) {
    const home = path.join(this.output, name);
    const folder = path.join(home, "workspace");
    const user = path.join(home, "user");
    const extensions = path.join(home, "extensions");
    await mkdir(path.join(user, "User"), { recursive: true });
    await mkdir(path.join(user, "Machine"), { recursive: true });
    await mkdir(folder, { recursive: true });
    const settingsFile = path.join(user, "User", "settings.json");
    await writeFile(settingsFile, JSON.stringify({ ...SETTINGS, ...settings }, null, 2));
    await writeFile(path.join(user, "User", "keybindings.json"), JSON.stringify(KEYS));
    // What is a machine's own, as the path of a program, is read from there alone.
    await writeFile(path.join(user, "Machine", "settings.json"), JSON.stringify(machine));
    for (const [file, text] of Object.entries(files)) {
      await writeFile(path.join(folder, file), text);
    }
    const env = {
      ...process.env,
      HOME: home,
      XDG_CONFIG_HOME: path.join(home, "config"),
      XDG_DATA_HOME: path.join(home, "data"),
      XDG_CACHE_HOME: path.join(home, "cache"),
      XDG_STATE_HOME: path.join(home, "state"),
      ...environment,
    };
    const arguments_ = [
      this.require.resolve("code-server"),
      ...["--user-data-dir", user, "--extensions-dir", extensions],
    ];
    const node = path.join(this.nodeFolder, "bin", "node");
    await promisify(execFile)(node, [...arguments_, "--install-extension", this.extension], {
      env,
      timeout: START_LIMIT_MS,
    });
    const port = await freePort();
    const log = createWriteStream(path.join(home, "code-server.log"));
    const server = spawn(
      node,
      [
        ...arguments_,
        ...["--bind-addr", `127.0.0.1:${port}`, "--auth", "none"],
        ...["--disable-telemetry", "--disable-update-check", "--disable-workspace-trust", folder],
      ],
      { env, stdio: ["ignore", "pipe", "pipe"], detached: true },
    );
    server.stdout.pipe(log);
    server.stderr.pipe(log);
    const workbench = new Workbench({ workplace: this, name, home, folder, settingsFile, server, port });
    this.opened.push(workbench);
    await until("code-server answers", () => answers(port), START_LIMIT_MS);
    await workbench.openWindow();
    return workbench;
  }

  async close() {
    for (const workbench of this.opened.splice(0)) {
      await workbench.close();
    }
  }
}

export class Workbench {
  constructor(parts) {
    Object.assign(this, parts);
    this.windows = [];
  }

  /** Opens a window on the folder. */
  async openWindow() {
    const { chromium } = this.workplace.require("playwright-core");
    const profile = path.join(this.home, `chromium-${this.windows.length}`);
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: this.workplace.chromium,
      headless: true,
      viewport: WINDOW,
      args: [
        ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"],
        ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
      ],
      timeout: START_LIMIT_MS,
    });
    const page = context.pages()[0] ?? (await context.newPage());
    page.setDefaultTimeout(15_000);
    const editor = new Editor(this, page, context);
    this.windows.push(editor);
    await page.goto(`http://127.0.0.1:${this.port}/?folder=${encodeURIComponent(this.folder)}`, {
      timeout: START_LIMIT_MS,
    });
    await until("the window is there", () => page.locator(".monaco-workbench .statusbar").isVisible(), START_LIMIT_MS);
    return editor;
  }

  /** Sets the settings that are this machine's own. */
  setMachine(settings) {
    return writeFile(path.join(this.home, "user", "Machine", "settings.json"), JSON.stringify(settings));
  }

  async closeWindow(editor) {
    this.windows = this.windows.filter((window) => window !== editor);
    // Left for another page, it says goodbye; closed, it would be waited for in case that it comes back.
    await editor.page.goto("about:blank");
    await editor.context.close();
  }

  get editor() {
    return this.windows[0];
  }

  async close() {
    for (const editor of this.windows.splice(0)) {
      // A browser that hangs must not keep the rest from being ended; it has no way to outlive this process.
      await Promise.race([editor.context.close(), pause(CLOSE_LIMIT_MS)]);
    }
    const ended = new Promise((resolve) => this.server.once("exit", resolve));
    if (this.server.exitCode === null && this.server.signalCode === null) {
      try {
        // The extension hosts and the language servers are in its process group.
        process.kill(-this.server.pid, "SIGTERM");
      } catch {
        return;
      }
      const killer = setTimeout(() => process.kill(-this.server.pid, "SIGKILL"), CLOSE_LIMIT_MS);
      await ended;
      clearTimeout(killer);
    }
  }
}

async function answers(port) {
  try {
    return (await fetch(`http://127.0.0.1:${port}/healthz`)).ok;
  } catch {
    return false;
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
