import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { statusSentences, statusText, type Situation } from "../src/statusText.ts";

const READY: Situation = {
  running: "running",
  server: { health: "ok", message: "ready", model: "nano", device: "cpu, 2 threads" },
  isEnabled: true,
  language: { id: "rust", isOn: true },
  silence: null,
};

function lines(changes: Partial<Situation>): string[] {
  return statusText({ ...READY, ...changes }).lines;
}

describe("the status bar", () => {
  test("says what serves, and on what", () => {
    const { text, lines, severity } = statusText(READY);
    assert.deepEqual([text, severity], ["$(check) Lacuna", "none"]);
    assert.deepEqual(lines, ["Ready.", "Model: nano on cpu, 2 threads."]);
  });

  test("says why there was no completion", () => {
    assert.equal(lines({ silence: "text follows on the line" }).at(-1), "No completion here: Text follows on the line.");
    assert.equal(lines({ silence: "It does not fit." }).at(-1), "No completion here: It does not fit.");
  });

  test("shows what is off", () => {
    assert.equal(lines({ isEnabled: false })[0], "Lacuna is switched off.");
    assert.equal(lines({ language: { id: "rust", isOn: false } })[0], "Lacuna is switched off for rust.");
    assert.equal(statusText({ ...READY, isEnabled: false }).text, "$(circle-slash) Lacuna");
  });

  test("shows what is wrong before all else", () => {
    for (const running of ["missing", "stopped"] as const) {
      const status = statusText({ ...READY, running, isEnabled: false });
      assert.equal(status.severity, "error");
      assert.equal(status.lines.length, 1);
    }
    const server = { health: "error", message: "no such folder", model: null, device: null } as const;
    assert.deepEqual(statusText({ ...READY, server }).lines, ["No such folder."]);
    assert.equal(statusText({ ...READY, server }).severity, "error");
  });

  test("shows that something is under way", () => {
    assert.match(statusText({ ...READY, running: "starting" }).text, /loading/);
    assert.match(statusText({ ...READY, server: undefined }).text, /loading/);
  });
});

test("a message says all of it", () => {
  const status = { health: "ok", message: "ready", model: "nano", device: "cpu", silence: null } as const;
  assert.equal(statusSentences(status), "Lacuna: ready; nano on cpu.");
  const silent = { ...status, model: null, silence: "the caret has only moved back" };
  assert.equal(statusSentences(silent), "Lacuna: ready. No completion here: The caret has only moved back.");
});
