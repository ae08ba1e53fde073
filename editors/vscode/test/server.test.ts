import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Deaths } from "../src/deaths.ts";
import { Mutex } from "../src/mutex.ts";
import { readLogLine } from "../src/serverLog.ts";

describe("a server that dies", () => {
  test("is started again, but not for ever", () => {
    const deaths = new Deaths();
    assert.deepEqual([0, 1, 2, 3, 4].map((time) => deaths.note(time)), [true, true, true, false, false]);
    deaths.forget();
    assert.ok(deaths.note(5));
  });

  test("now and then is always started again", () => {
    const deaths = new Deaths();
    for (let hour = 0; hour < 20; hour += 1) {
      assert.ok(deaths.note(hour * 3_600_000));
    }
  });
});

test("tasks run one after the other, whatever becomes of them", async () => {
  const mutex = new Mutex();
  const seen: string[] = [];
  const task = (name: string, fails: boolean) =>
    mutex.run(async () => {
      seen.push(`${name} begins`);
      await Promise.resolve();
      seen.push(`${name} ends`);
      if (fails) {
        throw new Error(name);
      }
      return name;
    });
  const first = task("first", true);
  const second = task("second", false);
  await assert.rejects(first, /first/);
  assert.equal(await second, "second");
  assert.deepEqual(seen, ["first begins", "first ends", "second begins", "second ends"]);
});

test("the server's log keeps its levels", () => {
  const line = (level: string) => `2026-01-02T03:04:05.678901Z ${level} lacuna_server::lsp: Something: else`;
  const text = "lacuna_server::lsp: Something: else";
  assert.deepEqual(readLogLine(line("ERROR")), { level: "error", text });
  assert.deepEqual(readLogLine(line(" WARN")), { level: "warn", text });
  assert.deepEqual(readLogLine(line("DEBUG")), { level: "info", text });
  assert.deepEqual(readLogLine("thread panicked"), { level: "error", text: "thread panicked" });
});
