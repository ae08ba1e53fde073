/** The server's process: found, started, watched and started again. */
import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import * as vscode from "vscode";
import {
  ExecuteCommandRequest,
  MessageType,
  ShowMessageNotification,
  State,
  type LanguageClient,
} from "vscode-languageclient/node";
import { findBinary, type Found } from "./binary.ts";
import { createClient, reason, type Connection } from "./client.ts";
import { Deaths } from "./deaths.ts";
import { Mutex } from "./mutex.ts";
import type { Draft, DocumentStatus, ServerStatus } from "./protocol.ts";
import type { Running } from "./statusText.ts";

/** How long the server may take to start, and to end when it is asked to. */
const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 2_000;

/** How the message begins that the server shows when it is asked for its status. */
const STATUS_MESSAGE = "Lacuna: ";

/** What came of asking for a completion in a document. */
export interface Answered {
  document: vscode.TextDocument;
  hasItems: boolean;
}

export class Server implements vscode.Disposable {
  readonly #extension: vscode.Extension<unknown>;
  readonly #log: vscode.LogOutputChannel;
  readonly #deaths = new Deaths();
  /** Starting and stopping follow one another, however fast somebody clicks. */
  readonly #turns = new Mutex();
  readonly #runningChanged = new vscode.EventEmitter<Running>();
  readonly #statusCame = new vscode.EventEmitter<ServerStatus>();
  readonly #draftCame = new vscode.EventEmitter<Draft>();
  readonly #answered = new vscode.EventEmitter<Answered>();
  #running: Running = "stopped";
  #connection: Connection | undefined;
  /** How many messages are still to come that only repeat an answer to a question for the status. */
  #repetitionsDue = 0;
  #hasToldMissing = false;

  readonly onRunning = this.#runningChanged.event;
  readonly onStatus = this.#statusCame.event;
  readonly onDraft = this.#draftCame.event;
  readonly onAnswered = this.#answered.event;

  constructor(extension: vscode.Extension<unknown>, log: vscode.LogOutputChannel) {
    this.#extension = extension;
    this.#log = log;
  }

  get running(): Running {
    return this.#running;
  }

  /** Starts the server, or stops and starts it. */
  restart(): Promise<void> {
    this.#deaths.forget();
    return this.#turns.run(async () => {
      await this.#stop();
      await this.#start();
    });
  }

  stop(): Promise<void> {
    return this.#turns.run(() => this.#stop());
  }

  /** Has the server carry out one of its commands on a document. */
  async execute(command: string, document: vscode.TextDocument): Promise<void> {
    const client = this.#client();
    try {
      await client.sendRequest(ExecuteCommandRequest.type, {
        command,
        arguments: [client.code2ProtocolConverter.asUri(document.uri)],
      });
    } catch (error) {
      // What a client says of a connection that is gone is for its developers.
      throw this.#connection?.client === client && client.state === State.Running
        ? error
        : new Error("the server ended before it was done; nothing was changed");
    }
  }

  /** Tells the server, for its own counts, that all of a completion or of a next place's item was accepted. Other things it sees by itself. */
  accepted(uri: vscode.Uri, characters: number): void {
    if (this.#connection && this.#running === "running") {
      const { client } = this.#connection;
      const feedback = { uri: client.code2ProtocolConverter.asUri(uri), kind: "accepted", characters };
      void client.sendNotification("lacuna/feedback", feedback);
    }
  }

  /** How things stand, and why the last completion in a document did not come. */
  async status(document: vscode.TextDocument | undefined): Promise<DocumentStatus> {
    const client = this.#client();
    // The server shows the answer as a message, too, which may come before or after the answer itself.
    this.#repetitionsDue += 1;
    try {
      return (await client.sendRequest(ExecuteCommandRequest.type, {
        command: "lacuna.status",
        arguments: document ? [client.code2ProtocolConverter.asUri(document.uri)] : [],
      })) as DocumentStatus;
    } catch (error) {
      this.#repetitionsDue = Math.max(0, this.#repetitionsDue - 1);
      throw error;
    }
  }

  dispose(): void {
    void this.stop();
    this.#runningChanged.dispose();
    this.#statusCame.dispose();
    this.#draftCame.dispose();
    this.#answered.dispose();
  }

  #client(): LanguageClient {
    if (!this.#connection || this.#running !== "running") {
      throw new Error("the server does not run; “Lacuna: Restart” starts it");
    }
    return this.#connection.client;
  }

  async #start(): Promise<void> {
    const found = this.#find();
    if (found.kind !== "found") {
      this.#set("missing");
      this.#tellMissing(found);
      return;
    }
    this.#hasToldMissing = false;
    this.#log.info(`Starting ${found.file}`);
    const connection = createClient(found.file, this.#log, {
      died: () => this.#died(connection),
      answered: (document, hasItems) => {
        this.#answered.fire({ document, hasItems });
      },
    });
    this.#connection = connection;
    this.#listen(connection);
    this.#set("starting");
    try {
      await withLimit(connection.client.start(), START_LIMIT_MS, "it has not answered for half a minute");
    } catch (error) {
      // One that dies while it starts is counted where deaths are.
      if (!connection.hasDied()) {
        await this.#stop();
        this.#tellFailure(`Lacuna's server ${found.file} could not be started: ${reason(error)}.`);
      }
    }
  }

  async #stop(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection) {
      try {
        await connection.client.dispose(STOP_LIMIT_MS);
      } catch (error) {
        // A client that is still starting refuses to stop; ending its process ends it.
        this.#log.debug(`The server was ended without a farewell: ${reason(error)}`);
      }
      const process = connection.process();
      if (process?.exitCode === null && process.signalCode === null) {
        process.kill("SIGKILL");
      }
    }
    this.#set("stopped");
  }

  #listen(connection: Connection): void {
    const { client } = connection;
    const isCurrent = () => this.#connection === connection;
    client.onDidChangeState(({ newState }) => {
      if (isCurrent()) {
        this.#set(newState === State.Running ? "running" : newState === State.Starting ? "starting" : "stopped");
      }
    });
    client.onNotification("lacuna/status", (status: ServerStatus) => {
      this.#statusCame.fire(status);
    });
    client.onNotification("lacuna/draft", (draft: Draft) => {
      this.#draftCame.fire(draft);
    });
    client.onNotification(ShowMessageNotification.type, ({ type, message }) => {
      if (type === MessageType.Error) {
        void vscode.window.showErrorMessage(message);
      } else if (type === MessageType.Warning) {
        void vscode.window.showWarningMessage(message);
      } else if (this.#repetitionsDue > 0 && message.startsWith(STATUS_MESSAGE)) {
        this.#repetitionsDue -= 1;
      } else {
        void vscode.window.showInformationMessage(message);
      }
    });
  }

  #died(connection: Connection): boolean {
    if (this.#connection !== connection) {
      return false;
    }
    if (this.#deaths.note(Date.now())) {
      this.#log.warn("The server has died, and is started again");
      return true;
    }
    this.#tellFailure("Lacuna's server has died several times within a few minutes, and was not started again.");
    return false;
  }

  #find(): Found {
    return findBinary({
      configured: vscode.workspace.getConfiguration("lacuna").get("path", ""),
      extensionFolder: this.#extension.extensionPath,
      searchPath: process.env.PATH ?? "",
      home: homedir(),
      isWindows: process.platform === "win32",
      isExecutable,
    });
  }

  #tellMissing(found: Exclude<Found, { kind: "found" }>): void {
    if (this.#hasToldMissing) {
      return;
    }
    this.#hasToldMissing = true;
    const message =
      found.kind === "wrong"
        ? `Lacuna is off: the setting “lacuna.path” names ${found.file}, which is no program's absolute path.`
        : "Lacuna is off: there is no lacuna binary on PATH. Install it, or name it in the settings.";
    void offer(message, {
      "Open Settings": () => vscode.commands.executeCommand("workbench.action.openSettings", "lacuna.path"),
      // The extension's own page, which begins with that.
      "How to Install": () => vscode.commands.executeCommand("extension.open", this.#extension.id),
    });
  }

  #tellFailure(message: string): void {
    void offer(message, {
      Restart: () => this.restart(),
      "Show Log": () => {
        this.#log.show();
      },
    });
  }

  #set(running: Running): void {
    if (running === "starting") {
      this.#repetitionsDue = 0;
    }
    if (running !== this.#running) {
      this.#running = running;
      this.#runningChanged.fire(running);
    }
  }
}

/** Shows an error with buttons, and does what is chosen. */
async function offer(message: string, choices: Record<string, () => unknown>): Promise<void> {
  const chosen = await vscode.window.showErrorMessage(message, ...Object.keys(choices));
  if (chosen !== undefined) {
    await choices[chosen]?.();
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

async function withLimit<T>(promise: Promise<T>, limitMs: number, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(message));
    }, limitMs);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}
