/** The status bar item. */
import * as vscode from "vscode";
import { SCHEMES } from "./client.ts";
import type { ServerStatus } from "./protocol.ts";
import type { Server } from "./server.ts";
import { isOn } from "./settings.ts";
import { statusText, type Situation } from "./statusText.ts";

/** Typing brings many answers in a row, of which the last one's reason is worth a question. */
const REST_MS = 250;

export class StatusBar implements vscode.Disposable {
  readonly #server: Server;
  readonly #item = vscode.window.createStatusBarItem("lacuna", vscode.StatusBarAlignment.Right, 100);
  readonly #subscriptions: { dispose(): unknown }[];
  #status: ServerStatus | undefined;
  #silence: string | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(server: Server, menuCommand: string) {
    this.#server = server;
    this.#item.name = "Lacuna";
    this.#item.command = menuCommand;
    this.#subscriptions = [
      this.#item,
      server.onRunning(() => {
        this.#status = undefined;
        this.#silence = null;
        this.#show();
      }),
      server.onStatus((status) => {
        // A warning is about one document, and the reason for its silence.
        if (status.health === "warning") {
          this.#askSoon();
        } else {
          this.#status = status;
          this.#show();
        }
      }),
      server.onAnswered(({ document, hasItems }) => {
        if (document !== vscode.window.activeTextEditor?.document) {
          return;
        }
        if (hasItems) {
          this.#setSilence(null);
        } else {
          this.#askSoon();
        }
      }),
      vscode.window.onDidChangeActiveTextEditor(() => {
        this.#silence = null;
        this.#show();
        this.#askSoon();
      }),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration("lacuna")) {
          this.#show();
        }
      }),
    ];
    this.#show();
    this.#item.show();
  }

  /** What the status bar says now, a sentence a line. */
  lines(): string[] {
    return statusText(this.#situation()).lines;
  }

  dispose(): void {
    clearTimeout(this.#timer);
    for (const subscription of this.#subscriptions) {
      subscription.dispose();
    }
  }

  #askSoon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      void this.#ask();
    }, REST_MS);
  }

  /** Asks why the last completion in the active document did not come. */
  async #ask(): Promise<void> {
    const document = vscode.window.activeTextEditor?.document;
    if (this.#server.running !== "running" || !isServed(document)) {
      return;
    }
    try {
      const { silence } = await this.#server.status(document);
      if (document === vscode.window.activeTextEditor?.document) {
        this.#setSilence(silence);
      }
    } catch {
      // The server has just gone, which is shown as such.
    }
  }

  #setSilence(silence: string | null): void {
    clearTimeout(this.#timer);
    this.#silence = silence;
    this.#show();
  }

  #situation(): Situation {
    const section = vscode.workspace.getConfiguration().get<Record<string, unknown>>("lacuna", {});
    const document = vscode.window.activeTextEditor?.document;
    const language = isServed(document)
      ? { id: document.languageId, isOn: isOn(section, document.languageId) }
      : undefined;
    const isEnabled = section.enable !== false;
    return { running: this.#server.running, server: this.#status, isEnabled, language, silence: this.#silence };
  }

  #show(): void {
    const { text, lines, severity } = statusText(this.#situation());
    this.#item.text = text;
    this.#item.tooltip = lines.join("\n");
    this.#item.accessibilityInformation = { label: `Lacuna: ${lines.join(" ")}` };
    this.#item.backgroundColor =
      severity === "none" ? undefined : new vscode.ThemeColor(`statusBarItem.${severity}Background`);
  }
}

function isServed(document: vscode.TextDocument | undefined): document is vscode.TextDocument {
  return document !== undefined && SCHEMES.includes(document.uri.scheme);
}
