/** What the status bar says. */
import type { DocumentStatus, ServerStatus } from "./protocol.ts";

/** How the server's process stands. */
export type Running = "starting" | "running" | "stopped" | "missing";

export interface Situation {
  running: Running;
  /** The last that the server has said about itself. */
  server: ServerStatus | undefined;
  /** Whether Lacuna is on at all. */
  isEnabled: boolean;
  /** The language of the document in the active editor, and whether Lacuna is on for it. */
  language: { id: string; isOn: boolean } | undefined;
  /** Why the last completion in that document did not come. */
  silence: string | null;
}

export interface StatusText {
  /** With the editor's icon names in `$(...)`. */
  text: string;
  /** Sentences, one a line. */
  lines: string[];
  severity: "none" | "warning" | "error";
}

export function statusText(situation: Situation): StatusText {
  const { text, first, severity } = headline(situation);
  const lines = [first];
  if (situation.running === "running") {
    const { server, silence } = situation;
    if (server?.model) {
      lines.push(`Model: ${server.model}${server.device ? ` on ${server.device}` : ""}.`);
    }
    if (silence !== null) {
      lines.push(noCompletion(silence));
    }
  }
  return { text, lines, severity };
}

/** The answer to the command `lacuna.status` in sentences. */
export function statusSentences(status: DocumentStatus): string {
  const model = status.model ? `; ${status.model}${status.device ? ` on ${status.device}` : ""}` : "";
  const silence = status.silence === null ? "" : ` ${noCompletion(status.silence)}`;
  return `Lacuna: ${status.message}${model}.${silence}`;
}

interface Headline {
  text: string;
  first: string;
  severity: StatusText["severity"];
}

function headline({ running, server, isEnabled, language }: Situation): Headline {
  switch (running) {
    case "missing":
      return { text: "$(error) Lacuna", first: "The lacuna binary was not found.", severity: "error" };
    case "stopped":
      return { text: "$(error) Lacuna", first: "The server does not run.", severity: "error" };
    case "starting":
      return { text: "$(loading~spin) Lacuna", first: "The server is starting.", severity: "none" };
    case "running":
      break;
  }
  if (!isEnabled) {
    return { text: "$(circle-slash) Lacuna", first: "Lacuna is switched off.", severity: "none" };
  }
  if (language && !language.isOn) {
    return { text: "$(circle-slash) Lacuna", first: `Lacuna is switched off for ${language.id}.`, severity: "none" };
  }
  const first = server ? sentence(server.message) : "The model is loading.";
  switch (server?.health) {
    case "error":
      return { text: "$(error) Lacuna", first, severity: "error" };
    case "warning":
      return { text: "$(warning) Lacuna", first, severity: "warning" };
    case "ok":
      return { text: "$(check) Lacuna", first, severity: "none" };
    case "loading":
    case undefined:
      return { text: "$(loading~spin) Lacuna", first, severity: "none" };
  }
}

function noCompletion(silence: string): string {
  return `No completion here: ${sentence(silence)}`;
}

function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
