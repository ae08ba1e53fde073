/** Where the text of a draft is drawn, while the document itself stays as it is. */
import type { DraftHole, DraftPiece } from "./protocol.ts";

/** How firm text is: it stays, it may well stay, or nobody knows. */
export type Kind = "settled" | "likely" | "uncertain";

/** Text of one kind. */
export interface Run {
  text: string;
  kind: Kind;
}

/** What is drawn in one line of the document, in place of the part of the hole that lies there. */
export interface DraftLine {
  line: number;
  startCharacter: number;
  endCharacter: number;
  runs: Run[];
}

/** An editor can't open lines for what is not in the document; this stands where the draft would begin one. */
const LINE_END = " ⏎ ";

/** How sure the model must be of text that may well stay. */
const LIKELY = 0.6;

/** Longer drafts are cut, because an editor lays out everything that is in a line. */
const MAX_LENGTH = 400;

/** How often the kind may change in a line; what follows is all of one kind. */
export const MAX_RUNS = 24;

/**
 * Lays out the draft of a hole. Each line of the hole shows the draft's line of the same number, and the last one also
 * all that follow. `lineLength` gives a line's length in UTF-16 code units.
 */
export function layOut(hole: DraftHole, lineLength: (line: number) => number): DraftLine[] {
  const { start, end } = hole.range;
  const draft = linesOf(hole.pieces);
  const lastInHole = end.line - start.line;
  return Array.from({ length: lastInHole + 1 }, (_, index) => {
    const isLast = index === lastInHole;
    const line = start.line + index;
    return {
      line,
      startCharacter: index === 0 ? start.character : 0,
      endCharacter: isLast ? end.character : lineLength(line),
      runs: cut(isLast ? join(draft.slice(index)) : (draft[index] ?? [])),
    };
  });
}

function linesOf(pieces: DraftPiece[]): Run[][] {
  const lines: Run[][] = [[]];
  for (const { text, settled, certainty } of pieces) {
    const kind = settled ? "settled" : certainty >= LIKELY ? "likely" : "uncertain";
    text.split(/\r\n|\r|\n/).forEach((part, index) => {
      if (index > 0) {
        lines.push([]);
      }
      append(lines.at(-1), { text: part, kind });
    });
  }
  return lines;
}

/** Puts lines behind one another, without the indentation that would tear them apart. */
function join(lines: Run[][]): Run[] {
  const joined: Run[] = [];
  lines.forEach((line, index) => {
    if (index > 0) {
      append(joined, { text: LINE_END, kind: "uncertain" });
    }
    let isIndentation = index > 0;
    for (const { text, kind } of line) {
      const kept = isIndentation ? text.trimStart() : text;
      isIndentation &&= kept === "";
      append(joined, { text: kept, kind });
    }
  });
  return joined;
}

function append(runs: Run[] | undefined, run: Run): void {
  const last = runs?.at(-1);
  if (run.text === "") {
    return;
  }
  if (last?.kind === run.kind) {
    last.text += run.text;
  } else {
    runs?.push({ ...run });
  }
}

function cut(runs: Run[]): Run[] {
  let left = MAX_LENGTH;
  const kept: Run[] = [];
  for (const { text, kind } of runs) {
    const characters = Array.from(text).slice(0, left);
    left -= characters.length;
    const last = kept.at(-1);
    if (last && kept.length === MAX_RUNS) {
      last.text += characters.join("");
      last.kind = "uncertain";
    } else if (characters.length > 0) {
      kept.push({ text: characters.join(""), kind });
    }
  }
  return kept;
}
