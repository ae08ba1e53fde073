/** The denoising view: holes drawn in place while their text condenses. */
import * as vscode from "vscode";
import { layOut, type DraftLine } from "./draftLayout.ts";
import type { Draft } from "./protocol.ts";

/** A fill that no step is heard of for this long is taken for ended. */
const SILENCE_LIMIT_MS = 30_000;

interface Drawing {
  id: number;
  timer: NodeJS.Timeout;
}

export class DraftView implements vscode.Disposable {
  /** By the document's URI. A document shows one fill at a time, the one that was heard of last. */
  readonly #drawings = new Map<string, Drawing>();
  readonly #subscriptions: { dispose(): unknown }[];
  /** Takes no room, and shows nothing of the text that is to be replaced. */
  readonly #hidden = vscode.window.createTextEditorDecorationType({ opacity: "0", letterSpacing: "-1ch" });
  readonly #shown = vscode.window.createTextEditorDecorationType({
    rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed,
  });

  constructor() {
    this.#subscriptions = [
      this.#hidden,
      this.#shown,
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
    clearTimeout(this.#drawings.get(uri)?.timer);
    const timer = setTimeout(() => {
      this.#clear(uri);
    }, SILENCE_LIMIT_MS);
    this.#drawings.set(uri, { id: draft.id, timer });
    const lines = draft.holes.flatMap((hole) => layOut(hole, (line) => document.lineAt(line).text.length));
    for (const editor of editorsOf(uri)) {
      editor.setDecorations(this.#hidden, lines.map(rangeOf));
      editor.setDecorations(this.#shown, lines.flatMap(decorations));
    }
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
    for (const editor of editorsOf(uri)) {
      editor.setDecorations(this.#hidden, []);
      editor.setDecorations(this.#shown, []);
    }
  }
}

function editorsOf(uri: string): vscode.TextEditor[] {
  return vscode.window.visibleTextEditors.filter((editor) => editor.document.uri.toString() === uri);
}

function rangeOf({ line, startCharacter, endCharacter }: DraftLine): vscode.Range {
  return new vscode.Range(line, startCharacter, line, endCharacter);
}

function decorations({ line, startCharacter, runs }: DraftLine): vscode.DecorationOptions[] {
  return runs.map(({ text, settled }) => ({
    range: new vscode.Range(line, startCharacter, line, startCharacter),
    renderOptions: {
      before: {
        // A browser would make one space of several.
        contentText: text.replaceAll(" ", "\u00a0"),
        color: new vscode.ThemeColor(settled ? "editor.foreground" : "editorGhostText.foreground"),
      },
    },
  }));
}
