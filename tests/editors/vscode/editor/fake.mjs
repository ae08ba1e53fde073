// The trials' side of the pretended server.
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import { serversOf } from "./processes.mjs";

export class Fake {
  /** The folder is the one that the server finds its messages in. */
  constructor(folder) {
    this.folder = folder;
    this.file = fileURLToPath(new URL("../fake-server.mjs", import.meta.url));
    this.said = 0;
  }

  /** Forgets all that was said. */
  async reset() {
    await rm(this.folder, { recursive: true, force: true });
    await mkdir(this.folder, { recursive: true });
    this.said = 0;
  }

  async put(name, text) {
    // It must never be read while half of it is written.
    const draft = path.join(this.folder, `.${name}`);
    await writeFile(draft, text);
    await rename(draft, path.join(this.folder, name));
  }

  /** Has the server send a message, once all before it have been sent. */
  say(message) {
    this.said += 1;
    return this.put(`${this.said}.json`, JSON.stringify(message));
  }

  /** Whether the server has given its answer. */
  async isDone() {
    return (await readdir(this.folder)).includes("done");
  }

  async kill(workbench) {
    for (const id of await serversOf(workbench, this.file)) {
      process.kill(id, "SIGKILL");
    }
  }
}
