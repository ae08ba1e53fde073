import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { layOut, MAX_RUNS } from "../src/draftLayout.ts";
import type { DraftPiece } from "../src/protocol.ts";

const LINE_LENGTH = 20;

/** Settled pieces are written in capitals, and what is likely begins with a capital. */
function pieces(...texts: string[]): DraftPiece[] {
  return texts.map((text) => ({
    text,
    settled: text === text.toUpperCase(),
    certainty: /^[A-Z]/.test(text) ? 0.8 : 0.3,
  }));
}

function lay(start: [number, number], end: [number, number], ...texts: string[]) {
  const position = ([line, character]: [number, number]) => ({ line, character });
  const hole = { range: { start: position(start), end: position(end) }, pieces: pieces(...texts) };
  return layOut(hole, () => LINE_LENGTH).map(({ line, startCharacter, endCharacter, runs }) => ({
    at: [line, startCharacter, endCharacter],
    text: runs.map((run) => run.text).join("|"),
    kinds: runs.map((run) => run.kind.charAt(0)).join(""),
  }));
}

describe("a draft", () => {
  test("takes the place of its hole", () => {
    assert.deepEqual(lay([3, 4], [3, 11], "LET X", " is ", "1;"), [
      { at: [3, 4, 11], text: "LET X| is |1;", kinds: "sus" },
    ]);
  });

  test("is drawn in as few pieces as it has kinds in a row", () => {
    assert.deepEqual(lay([0, 0], [0, 0], "A", "", "B", "c", "d", "Ef", "gh"), [
      { at: [0, 0, 0], text: "AB|cd|Ef|gh", kinds: "sulu" },
    ]);
  });

  test("stays in one line where its hole does", () => {
    const [line] = lay([0, 0], [0, 7], "IF A {\n", "    b", "\r\n}", "\n", "\nC");
    assert.equal(line?.text, "IF A {| ⏎ b ⏎ |}| ⏎  ⏎ |C");
  });

  test("goes line by line through a hole that has several", () => {
    assert.deepEqual(lay([1, 5], [3, 2], "A\n", "  b\n", "C\nD"), [
      { at: [1, 5, LINE_LENGTH], text: "A", kinds: "s" },
      { at: [2, 0, LINE_LENGTH], text: "  b", kinds: "u" },
      { at: [3, 0, 2], text: "C| ⏎ |D", kinds: "sus" },
    ]);
  });

  test("leaves the lines of its hole empty that it does not reach", () => {
    assert.deepEqual(
      lay([1, 5], [2, 2], "A").map(({ text }) => text),
      ["A", ""],
    );
  });

  test("is cut where an editor would have too much to draw", () => {
    const long = lay([0, 0], [0, 0], "😀".repeat(1000))[0]?.text ?? "";
    assert.equal(Array.from(long).length, 400);
    assert.ok(long.endsWith("😀"));
    const many = Array.from({ length: 3 * MAX_RUNS }, (_, index) => (index % 2 === 0 ? "A" : "b"));
    const [line] = lay([0, 0], [0, 0], ...many);
    assert.equal(line?.kinds.length, MAX_RUNS);
    assert.equal(line.text.replaceAll("|", ""), many.join(""));
    assert.ok(line.kinds.endsWith("u"));
  });
});
