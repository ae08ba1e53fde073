/** The language client: everything between the editor and one process of the server. */
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import * as vscode from "vscode";
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  RevealOutputChannelOn,
  type ErrorHandler,
  type LanguageClientOptions,
  type Middleware,
} from "vscode-languageclient/node";
import { readLogLine } from "./serverLog.ts";
import { forServer } from "./settings.ts";

/** Where documents that people edit come from; not logs, nor older versions in a comparison. */
export const SCHEMES = ["file", "untitled", "vscode-userdata", "vscode-notebook-cell", "vscode-vfs"];

/** What the editor runs when a completion is accepted. */
export const ACCEPTED = "lacuna.completionAccepted";

/** What the owner of a client decides. */
export interface Decisions {
  /** The server has died. Gives whether it is to be started again. */
  died: () => boolean;
  /** The server was asked for a completion, and had one or not. */
  answered: (document: vscode.TextDocument, hasItems: boolean) => void;
}

/** Logs what goes wrong. What the user has to know is said by whoever knows the way out. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

export interface Connection {
  client: LanguageClient;
  /** The process of the server, once there is one. */
  process: () => ChildProcess | undefined;
  /** Whether a process of this client has ended without being asked to. */
  hasDied: () => boolean;
}

export function createClient(file: string, log: vscode.LogOutputChannel, decisions: Decisions): Connection {
  let process: ChildProcess | undefined;
  let hasDied = false;
  const died = () => {
    hasDied = true;
    return decisions.died();
  };
  const options: LanguageClientOptions = {
    documentSelector: SCHEMES.map((scheme) => ({ scheme })),
    outputChannel: log,
    revealOutputChannelOn: RevealOutputChannelOn.Never,
    initializationOptions: () => sectionForServer(),
    initializationFailedHandler: () => false,
    errorHandler: errorHandler(died),
    middleware: middleware(decisions),
    stdioOptions: {
      stdout: () => {
        // The protocol's alone.
      },
      stderr: (input) => {
        createInterface({ input, crlfDelay: Infinity }).on("line", (line) => {
          const { level, text } = readLogLine(line);
          log[level](text);
        });
      },
    },
  };
  const start = () => {
    const started = spawn(file, ["lsp"], { stdio: "pipe" });
    process = started;
    return new Promise<ChildProcess>((resolve, reject) => {
      started.once("spawn", () => {
        resolve(started);
      });
      started.once("error", reject);
      // Writing to a server that has just died is no error of its own.
      started.stdin.on("error", (error) => {
        log.debug(`Writing to the server failed: ${error.message}`);
      });
    });
  };
  const client = new QuietClient("lacuna", "Lacuna", start, options);
  return { client, process: () => process, hasDied: () => hasDied };
}

function sectionForServer(): Record<string, unknown> {
  return forServer(vscode.workspace.getConfiguration().get<Record<string, unknown>>("lacuna", {}));
}

function errorHandler(died: Decisions["died"]): ErrorHandler {
  return {
    // A connection that no longer works is closed soon after.
    error: () => ({ action: ErrorAction.Continue, handled: true }),
    closed: () => ({ action: died() ? CloseAction.Restart : CloseAction.DoNotRestart, handled: true }),
  };
}

function middleware(decisions: Decisions): Middleware {
  return {
    workspace: {
      configuration: (params) => params.items.map((item) => (item.section === "lacuna" ? sectionForServer() : null)),
    },
    provideInlineCompletionItems: async (document, position, context, token, next) => {
      const answer = await next(document, position, context, token);
      const items = Array.isArray(answer) ? answer : answer?.items;
      if (!token.isCancellationRequested) {
        decisions.answered(document, items !== undefined && items.length > 0);
      }
      for (const item of items ?? []) {
        const text = typeof item.insertText === "string" ? item.insertText : item.insertText.value;
        item.command ??= { title: "", command: ACCEPTED, arguments: [document.uri, Array.from(text).length] };
      }
      return answer;
    },
    resolveCodeAction: async (action, token, next) => {
      try {
        return await next(action, token);
      } catch (error) {
        if (!(error instanceof vscode.CancellationError)) {
          void vscode.window.showInformationMessage(`${action.title}: ${reason(error)}.`);
        }
        // Without an edit, choosing it changes nothing.
        return action;
      }
    },
  };
}

/** What an error says, as the end of a sentence that the caller begins. */
export function reason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/[.\s]+$/, "");
}
