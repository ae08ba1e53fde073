/** The denoising view: holes drawn in place while their text condenses. */
import * as vscode from "vscode";
import { layOut, MAX_RUNS, type DraftLine, type Kind } from "./draftLayout.ts";
import type { Draft } from "./protocol.ts";

/** A fill that no step is heard of for this long is taken for ended. */
const SILENCE_LIMIT_MS = 30_000;

/** As package.json defines them. */
const COLORS: Record<Kind, string> = {
  settled: "lacuna.draft.settled",
  likely: "lacuna.draft.likely",
  uncertain: "lacuna.draft.uncertain",
};

interface Drawing {
  id: number;
  timer: NodeJS.Timeout;
  /** How many of the types are in use. */
  runs: number;
}

export class DraftView implements vscode.Disposable {
  /** By the document's URI. A document shows one fill at a time, the one that was heard of last. */
  readonly #drawings = new Map<string, Drawing>();
  readonly #subscriptions: { dispose(): unknown }[];
  /** Takes no room, and shows nothing of the text that is to be replaced. */
  readonly #hidden = vscode.window.createTextEditorDecorationType({ opacity: "0", letterSpacing: "-1ch" });
  /** One type for each run of a line. */
  readonly #runs = orderedTypes(MAX_RUNS);

  constructor() {
    this.#subscriptions = [
      this.#hidden,
      ...this.#runs,
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        if (contentChanges.length > 0) {
          this.#clear(document.uri.toString());
        }
      }),
      vscode.workspace.onDidCloseTextDocument((document) => {
        this.#clear(document.uri.toString());
      }),
    ];
  }

  /** Draws a step, or takes the drawing away when the fill has ended. */
  show(draft: Draft): void {
    const uri = vscode.Uri.parse(draft.uri, true).toString();
    const document = vscode.workspace.textDocuments.find((open) => open.uri.toString() === uri);
    if (draft.done) {
      if (this.#drawings.get(uri)?.id === draft.id) {
        this.#clear(uri);
      }
      return;
    }
    if (document?.version !== draft.version) {
      return;
    }
    const before = this.#drawings.get(uri);
    clearTimeout(before?.timer);
    const timer = setTimeout(() => {
      this.#clear(uri);
    }, SILENCE_LIMIT_MS);
    const lines = draft.holes.flatMap((hole) => layOut(hole, (line) => document.lineAt(line).text.length));
    const runs = Math.max(0, ...lines.map((line) => line.runs.length));
    this.#draw(uri, lines, Math.max(runs, before?.runs ?? 0));
    this.#drawings.set(uri, { id: draft.id, timer, runs });
  }

  /** Takes everything away, because nothing more will be heard of it. */
  clear(): void {
    for (const uri of [...this.#drawings.keys()]) {
      this.#clear(uri);
    }
  }

  dispose(): void {
    this.clear();
    for (const subscription of this.#subscriptions) {
      subscription.dispose();
    }
  }

  #clear(uri: string): void {
    const drawing = this.#drawings.get(uri);
    if (!drawing) {
      return;
    }
    clearTimeout(drawing.timer);
    this.#drawings.delete(uri);
    this.#draw(uri, [], drawing.runs);
  }

  /** Draws lines in place of what was drawn before, which had at most so many runs in a line. */
  #draw(uri: string, lines: DraftLine[], runs: number): void {
    for (const editor of editorsOf(uri)) {
      editor.setDecorations(this.#hidden, lines.map(rangeOf));
      this.#runs.slice(0, runs).forEach((type, index) => {
        editor.setDecorations(
          type,
          lines.flatMap((line) => decoration(line, index)),
        );
      });
    }
  }
}

/**
 * Types whose decorations stand in their order where they are at one place. The editor puts such decorations in the
 * order of their classes' names, which begin with the types' keys, and these end in a number without leading zeros.
 */
function orderedTypes(count: number): vscode.TextEditorDecorationType[] {
  const types = Array.from({ length: count }, () =>
    vscode.window.createTextEditorDecorationType({
      rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed,
    }),
  );
  return types.sort((first, second) => (first.key < second.key ? -1 : 1));
}

function editorsOf(uri: string): vscode.TextEditor[] {
  return vscode.window.visibleTextEditors.filter((editor) => editor.document.uri.toString() === uri);
}

function rangeOf({ line, startCharacter, endCharacter }: DraftLine): vscode.Range {
  return new vscode.Range(line, startCharacter, line, endCharacter);
}

function decoration({ line, startCharacter, runs }: DraftLine, index: number): vscode.DecorationOptions[] {
  const run = runs[index];
  if (!run) {
    return [];
  }
  const before = {
    // A browser would make one space of several.
    contentText: run.text.replaceAll(" ", "\u00a0"),
    color: new vscode.ThemeColor(COLORS[run.kind]),
  };
  return [{ range: new vscode.Range(line, startCharacter, line, startCharacter), renderOptions: { before } }];
}
