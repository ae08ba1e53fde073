/**
 * Lacuna in Visual Studio Code: starts the language server, and shows what the protocol has no words for.
 *
 * `server.ts` owns the process, `client.ts` the protocol's client, `status.ts` the status bar, `drafts.ts` the
 * denoising view and `commands.ts` the palette; what can be decided without the editor stands in files of its own.
 */
import * as vscode from "vscode";
import { ACCEPTED } from "./client.ts";
import { MENU, registerCommands } from "./commands.ts";
import { DraftView } from "./drafts.ts";
import { Server } from "./server.ts";
import { StatusBar } from "./status.ts";

let server: Server | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel("Lacuna", { log: true });
  const started = new Server(context.extension, log);
  server = started;
  const statusBar = new StatusBar(started, MENU);
  const drafts = new DraftView();
  context.subscriptions.push(
    log,
    started,
    statusBar,
    drafts,
    ...registerCommands({ server: started, log, statusBar }),
    vscode.commands.registerCommand(ACCEPTED, (uri: vscode.Uri, characters: number) => {
      started.accepted(uri, characters);
    }),
    started.onDraft((draft) => {
      if (isDrawing()) {
        drafts.show(draft);
      }
    }),
    started.onRunning((running) => {
      if (running !== "running") {
        drafts.clear();
      }
    }),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("lacuna.path")) {
        void started.restart();
      }
      if (!isDrawing()) {
        drafts.clear();
      }
    }),
  );
  // The editor goes on meanwhile; whatever goes wrong is told by the server's owner.
  void started.restart();
}

/** The editor waits for this before it ends, so that the server ends in order. */
export async function deactivate(): Promise<void> {
  await server?.stop();
}

function isDrawing(): boolean {
  return vscode.workspace.getConfiguration("lacuna").get("denoisingView", true);
}
