/** What the server says beyond the Language Server Protocol. */
import type { Range } from "vscode-languageserver-protocol";

/** `lacuna/status`. */
export interface ServerStatus {
  health: "ok" | "warning" | "loading" | "error";
  /** One sentence for the user. */
  message: string;
  model: string | null;
  device: string | null;
}

/** What the server's command `lacuna.status` answers. */
export interface DocumentStatus extends ServerStatus {
  /** Why the last completion in the document did not come. */
  silence: string | null;
}

/** `lacuna/draft`: the holes of one fill after one of its steps. */
export interface Draft {
  uri: string;
  /** The document's version that the ranges are in. */
  version: number;
  /** Tells fills apart. */
  id: number;
  step: number;
  limit: number;
  /** The fill has ended, however that came about; there are no holes. */
  done: boolean;
  holes: DraftHole[];
}

export interface DraftHole {
  range: Range;
  pieces: DraftPiece[];
}

export interface DraftPiece {
  text: string;
  settled: boolean;
  certainty: number;
}
