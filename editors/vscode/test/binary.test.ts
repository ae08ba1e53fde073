import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { findBinary, type Surroundings } from "../src/binary.ts";

const FOLDERS = "/usr/local/bin:bin:/usr/bin";

function find(files: string[], changes: Partial<Surroundings> = {}) {
  return findBinary({
    configured: "",
    extensionFolder: "/extension",
    searchPath: FOLDERS,
    home: "/home/me",
    isWindows: false,
    isExecutable: (file) => files.includes(file),
    ...changes,
  });
}

const found = (file: string) => ({ kind: "found", file });

describe("the binary", () => {
  test("is the one that the setting names, and no other", () => {
    const files = ["/mine/lacuna", "/home/me/own/lacuna", "/usr/bin/lacuna"];
    assert.deepEqual(find(files, { configured: " /mine/lacuna " }), found("/mine/lacuna"));
    assert.deepEqual(find(files, { configured: "~/own/lacuna" }), found("/home/me/own/lacuna"));
    assert.deepEqual(find(files, { configured: "/gone/lacuna" }), { kind: "wrong", file: "/gone/lacuna" });
  });

  test("is never taken from the folder that happens to be open", () => {
    const files = ["bin/lacuna", "lacuna"];
    assert.deepEqual(find(files, { configured: "bin/lacuna" }), { kind: "wrong", file: "bin/lacuna" });
    assert.deepEqual(find(files), { kind: "missing" });
  });

  test("is looked for in the extension, on the path and where Cargo puts it, in this order", () => {
    const all = ["/extension/server/lacuna", "/usr/local/bin/lacuna", "/usr/bin/lacuna", "/home/me/.cargo/bin/lacuna"];
    all.forEach((file, index) => {
      assert.deepEqual(find(all.slice(index)), found(file));
    });
    assert.deepEqual(find([]), { kind: "missing" });
  });

  test("has another name on Windows", () => {
    const windows = { isWindows: true, searchPath: "C:\\tools;D:\\more", home: "C:\\me" };
    assert.deepEqual(find(["D:\\more\\lacuna.exe"], windows), found("D:\\more\\lacuna.exe"));
    assert.deepEqual(find(["C:\\me\\own\\l.exe"], { ...windows, configured: "~\\own\\l.exe" }), found("C:\\me\\own\\l.exe"));
  });
});
