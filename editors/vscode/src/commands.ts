/** The commands of the palette and of the status bar's menu. */
import * as vscode from "vscode";
import { reason } from "./client.ts";
import type { Server } from "./server.ts";
import { withLanguageToggled } from "./settings.ts";
import type { StatusBar } from "./status.ts";
import { statusSentences } from "./statusText.ts";

/** What the status bar's item opens. */
export const MENU = "lacuna.showMenu";

export interface Parts {
  server: Server;
  log: vscode.LogOutputChannel;
  statusBar: StatusBar;
}

/** Registers them all. The server's own commands have other names, because its client registers those itself. */
export function registerCommands(parts: Parts): vscode.Disposable[] {
  const { server, log, statusBar } = parts;
  const commands: Record<string, () => unknown> = {
    "lacuna.formatThisMarkdown": () => onDocument(server, "lacuna.formatMarkdown"),
    "lacuna.fillAllHoles": () => onDocument(server, "lacuna.fillAll"),
    "lacuna.goToNextPlace": () => onDocument(server, "lacuna.nextPlace"),
    "lacuna.restart": () => server.restart(),
    "lacuna.showLog": () => {
      log.show();
    },
    "lacuna.showStatus": () => showStatus(server, statusBar),
    "lacuna.toggle": () => toggle(),
    "lacuna.toggleLanguage": () => toggleLanguage(),
    [MENU]: () => showMenu(statusBar),
  };
  return Object.entries(commands).map(([id, run]) =>
    vscode.commands.registerCommand(id, async () => {
      try {
        await run();
      } catch (error) {
        void vscode.window.showErrorMessage(`Lacuna: ${reason(error)}.`);
      }
    }),
  );
}

async function onDocument(server: Server, command: string): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  if (!document) {
    throw new Error("open a document first");
  }
  await server.execute(command, document);
}

async function showStatus(server: Server, statusBar: StatusBar): Promise<void> {
  const message =
    server.running === "running"
      ? statusSentences(await server.status(vscode.window.activeTextEditor?.document))
      : statusBar.lines().join(" ");
  void vscode.window.showInformationMessage(message);
}

async function toggle(): Promise<void> {
  const settings = vscode.workspace.getConfiguration("lacuna");
  await settings.update("enable", !settings.get<boolean>("enable", true), targetOf(settings, "enable"));
}

async function toggleLanguage(): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  if (!document) {
    throw new Error("open a document of the language first");
  }
  const settings = vscode.workspace.getConfiguration("lacuna");
  const languages = withLanguageToggled({ languages: settings.get("languages") }, document.languageId);
  await settings.update("languages", languages, targetOf(settings, "languages"));
}

/** Where a setting is to be changed: where it counts. */
function targetOf(settings: vscode.WorkspaceConfiguration, name: string): vscode.ConfigurationTarget {
  const isOfWorkspace = settings.inspect(name)?.workspaceValue !== undefined;
  return isOfWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
}

async function showMenu(statusBar: StatusBar): Promise<void> {
  const settings = vscode.workspace.getConfiguration("lacuna");
  const isEnabled = settings.get<boolean>("enable", true);
  const document = vscode.window.activeTextEditor?.document;
  const entry = (label: string, command: string) => ({ label, command });
  const items = [entry(isEnabled ? "$(circle-slash) Switch off" : "$(check) Switch on", "lacuna.toggle")];
  if (document) {
    const { languageId } = document;
    const languages = settings.get<Record<string, boolean>>("languages", {});
    const label = languages[languageId] === false ? "$(check) Switch on for" : "$(circle-slash) Switch off for";
    items.push(entry(`${label} ${languageId}`, "lacuna.toggleLanguage"));
    items.push(entry("$(sparkle) Fill all holes", "lacuna.fillAllHoles"));
    if (languageId === "markdown") {
      items.push(entry("$(markdown) Format this Markdown", "lacuna.formatThisMarkdown"));
    }
  }
  items.push(entry("$(info) Show status", "lacuna.showStatus"));
  items.push(entry("$(output) Show log", "lacuna.showLog"));
  items.push(entry("$(refresh) Restart", "lacuna.restart"));
  const chosen = await vscode.window.showQuickPick(items, { title: statusBar.lines().join(" ") });
  if (chosen) {
    await vscode.commands.executeCommand(chosen.command);
  }
}
