/** Where the server's binary is. */
import * as path from "node:path";

/** What the search depends on. */
export interface Surroundings {
  /** The setting `lacuna.path`; empty if it is not set. */
  configured: string;
  /** The extension's own folder, which in a platform's package holds the binary. */
  extensionFolder: string;
  /** The environment variable PATH. */
  searchPath: string;
  home: string;
  isWindows: boolean;
  isExecutable: (file: string) => boolean;
}

export type Found =
  | { kind: "found"; file: string }
  /** What the setting names is not there, or can't be run. */
  | { kind: "wrong"; file: string }
  | { kind: "missing" };

/** Looks where the setting says and nowhere else, or if it says nothing wherever a binary may be. */
export function findBinary(surroundings: Surroundings): Found {
  const { configured, home, isWindows, isExecutable } = surroundings;
  const paths = isWindows ? path.win32 : path.posix;
  const setting = configured.trim();
  if (setting !== "") {
    const file = setting.startsWith("~/") || setting.startsWith("~\\") ? paths.join(home, setting.slice(2)) : setting;
    return paths.isAbsolute(file) && isExecutable(file) ? { kind: "found", file } : { kind: "wrong", file };
  }
  const file = candidates(surroundings, paths).find(isExecutable);
  return file === undefined ? { kind: "missing" } : { kind: "found", file };
}

function candidates(surroundings: Surroundings, paths: path.PlatformPath): string[] {
  const { extensionFolder, searchPath, home, isWindows } = surroundings;
  const name = isWindows ? "lacuna.exe" : "lacuna";
  // A relative folder on PATH would mean another one in each workspace, whose program nobody chose.
  const folders = searchPath.split(paths.delimiter).filter((folder) => paths.isAbsolute(folder));
  return [
    paths.join(extensionFolder, "server", name),
    ...folders.map((folder) => paths.join(folder, name)),
    paths.join(home, ".cargo", "bin", name),
  ];
}
