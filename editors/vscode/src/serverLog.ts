/** The server's log on its way to the editor's. */

export interface LogLine {
  level: "error" | "warn" | "info";
  text: string;
}

/** Reads a line that the server has written to its standard error. */
export function readLogLine(line: string): LogLine {
  const match = /^\d{4}-\d\d-\d\dT[\d:.]+Z\s+(ERROR|WARN|INFO|DEBUG|TRACE)\s+(.*)$/.exec(line);
  const [, level, text] = match ?? [];
  if (level === undefined || text === undefined) {
    // What a panic says, for one.
    return { level: "error", text: line };
  }
  switch (level) {
    case "ERROR":
      return { level: "error", text };
    case "WARN":
      return { level: "warn", text };
    default:
      // The server writes only what its setting asks for; the editor's own level must not hide that again.
      return { level: "info", text };
  }
}
