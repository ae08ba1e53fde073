import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { forServer, isOn, withLanguageToggled } from "../src/settings.ts";

describe("the settings", () => {
  test("reach the server without the extension's own", () => {
    const section = { path: "/a", trace: { server: "verbose" }, denoisingView: true, enable: false, device: "cpu" };
    assert.deepEqual(forServer(section), { enable: false, device: "cpu", drafts: true });
  });

  test("ask for drafts only where they are drawn", () => {
    assert.equal(forServer({}).drafts, true);
    assert.equal(forServer({ denoisingView: false, drafts: true }).drafts, false);
  });

  test("that are misspelt reach the server, which says so", () => {
    assert.equal(forServer({ devise: "cpu" }).devise, "cpu");
  });

  test("switch everything off, or a language", () => {
    assert.ok(isOn({}, "rust"));
    assert.ok(!isOn({ enable: false }, "rust"));
    assert.ok(!isOn({ languages: { rust: false } }, "rust"));
    assert.ok(isOn({ languages: { rust: false } }, "python"));
  });

  test("of languages are switched over and back, and the others kept", () => {
    const languages = withLanguageToggled({ languages: { python: false } }, "rust");
    assert.deepEqual(languages, { python: false, rust: false });
    assert.deepEqual(withLanguageToggled({ languages }, "rust"), { python: false });
    assert.deepEqual(withLanguageToggled({ languages: { rust: true } }, "rust"), { rust: false });
  });
});
