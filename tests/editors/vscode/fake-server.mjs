#!/usr/bin/env node
// A language server that says what a trial has it say, and when: for what a real one does too fast, or too seldom.
//
// It offers one code action, “Fill this hole”. Once that is chosen it sends whatever the trial puts into the folder
// LACUNA_FAKE_FOLDER: the files 1.json, 2.json and so on, each {"notify": METHOD, "params"} or, as the last one, the
// answer {"edit"} or {"error"}. Its inline completion is always the text of the file `inline`, if there is one. Where the
// folder holds a file named `die`, it ends at once when it is started.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";

const POLL_MS = 10;
/** Nothing that a trial waits for takes longer. */
const LIFE_MS = 5 * 60_000;
/** Of the protocol: nothing was wrong with the request, and yet it could not be done. */
const REQUEST_FAILED = -32803;

const folder = process.env.LACUNA_FAKE_FOLDER;
setTimeout(() => process.exit(1), LIFE_MS).unref();
if (existsSync(path.join(folder, "die"))) {
  process.exit(1);
}

const capabilities = {
  textDocumentSync: 2,
  inlineCompletionProvider: {},
  codeActionProvider: { codeActionKinds: ["refactor.rewrite"], resolveProvider: true },
};
const answers = {
  initialize: () => ({ capabilities }),
  shutdown: () => null,
  "textDocument/codeAction": () => [{ title: "Fill this hole", kind: "refactor.rewrite", data: {} }],
  "textDocument/inlineCompletion": ({ position }) => {
    const file = path.join(folder, "inline");
    const range = { start: position, end: position };
    return existsSync(file) ? { items: [{ insertText: readFileSync(file, "utf8"), range }] } : null;
  },
  "codeAction/resolve": async (action) => ({ ...action, edit: await play() }),
};

async function play() {
  for (let index = 1; ; index += 1) {
    const file = path.join(folder, `${index}.json`);
    while (!existsSync(file)) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    const { notify, params, edit, error } = JSON.parse(readFileSync(file, "utf8"));
    if (!notify) {
      writeFileSync(path.join(folder, "done"), "");
      if (error) {
        throw new Error(error);
      }
      return edit;
    }
    send({ method: notify, params });
  }
}

async function receive({ id, method, params }) {
  if (method === "initialized") {
    send({ method: "lacuna/status", params: { health: "ok", message: "pretending", model: null, device: null } });
  } else if (method === "exit") {
    process.exit(0);
  } else if (id !== undefined && method) {
    try {
      send({ id, result: (await answers[method]?.(params)) ?? null });
    } catch (error) {
      send({ id, error: { code: REQUEST_FAILED, message: error.message } });
    }
  }
}

function send(message) {
  const body = Buffer.from(JSON.stringify({ jsonrpc: "2.0", ...message }));
  process.stdout.write(Buffer.concat([Buffer.from(`Content-Length: ${body.length}\r\n\r\n`), body]));
}

let received = Buffer.alloc(0);
process.stdin.on("data", (data) => {
  received = Buffer.concat([received, data]);
  for (;;) {
    const headerEnd = received.indexOf("\r\n\r\n");
    const length = Number(/Content-Length: (\d+)/i.exec(received.subarray(0, headerEnd).toString())?.[1]);
    if (headerEnd < 0 || received.length < headerEnd + 4 + length) {
      return;
    }
    const body = received.subarray(headerEnd + 4, headerEnd + 4 + length);
    received = received.subarray(headerEnd + 4 + length);
    void receive(JSON.parse(body.toString()));
  }
});
process.stdin.on("end", () => process.exit(0));
