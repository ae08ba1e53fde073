// The processes of a language server, as Linux tells of them.
import { readdir, readFile } from "node:fs/promises";
import { until } from "../wait.mjs";

/** The ids of the processes that run a program with an argument `lsp` for a workbench. */
export async function serversOf(workbench, program) {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(ids.map((id) => isServer(id, workbench, program)));
  return ids.filter((_, index) => found[index]).map(Number);
}

/** Has the server restarted on request: behind it another one serves, and the old one is gone. */
export async function restartServer({ editor, workbench, binary }) {
  const before = await serversOf(workbench, binary);
  await editor.run("Lacuna: Restart");
  await until("another server runs, and the old one does not", async () => {
    const now = await serversOf(workbench, binary);
    return now.length === 1 && !before.includes(now[0]);
  });
  await editor.untilStatus("Ready");
}

async function isServer(id, workbench, program) {
  try {
    const words = (await readFile(`/proc/${id}/cmdline`, "utf8")).split("\0");
    const environment = (await readFile(`/proc/${id}/environ`, "utf8")).split("\0");
    return words.includes(program) && words.includes("lsp") && environment.includes(`HOME=${workbench.home}`);
  } catch {
    // It has just ended.
    return false;
  }
}
