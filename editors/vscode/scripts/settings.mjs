// Writes the settings of package.json from the server's own schema, so that both always say the same.
//
//     node scripts/settings.mjs [--check]
//
// LACUNA_BINARY names the server; `lacuna` on PATH otherwise. With --check nothing is written, and the status is 1 if
// package.json is out of date.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

const CLIENT_SETTINGS = {
  "lacuna.path": {
    type: "string",
    default: "",
    // A folder that somebody opens must not choose which program runs.
    scope: "machine",
    markdownDescription:
      "The `lacuna` binary. Where this is empty, the one that came with the extension is used, else the one on `PATH`, else the one that Cargo installed.",
  },
  "lacuna.denoisingView": {
    type: "boolean",
    default: true,
    markdownDescription:
      "Whether a hole that you have asked to be filled is drawn as its text condenses, the fainter the less certain.",
  },
  "lacuna.trace.server": {
    type: "string",
    enum: ["messages", "compact", "verbose"],
    default: "messages",
    markdownDescription:
      "How much of the traffic with the server is written to the log while the log's level is *Trace* (**Developer: Set Log Level**). It holds the text of your documents.",
  },
};

/** The extension sets these itself. */
const KEPT_FROM_USERS = new Set(["lacuna.drafts"]);

/** A folder that somebody opens must not choose a file to write to, nor what is loaded and where. */
const SCOPES = {
  "lacuna.log.file": "machine",
  "lacuna.model": "machine-overridable",
  "lacuna.device": "machine-overridable",
  "lacuna.threads": "machine-overridable",
};

function flatten(prefix, schema, settings) {
  for (const [name, property] of Object.entries(schema.properties)) {
    const key = `${prefix}.${name}`;
    if (property.properties) {
      flatten(key, property, settings);
    } else if (!KEPT_FROM_USERS.has(key)) {
      settings[key] = setting(key, property);
    }
  }
}

function setting(key, { description, oneOf, ...property }) {
  const result = { ...property, markdownDescription: description };
  // The editor knows no such formats of numbers.
  delete result.format;
  if (typeof result.default === "number") {
    // The server computes with fewer digits than the schema has.
    result.default = Number(result.default.toPrecision(6));
  }
  if (oneOf) {
    result.type = "string";
    result.enum = oneOf.map((choice) => choice.const);
    result.enumDescriptions = oneOf.map((choice) => choice.description);
  }
  if (key in SCOPES) {
    result.scope = SCOPES[key];
  }
  return result;
}

const binary = process.env.LACUNA_BINARY || "lacuna";
let schema;
try {
  schema = JSON.parse(execFileSync(binary, ["lsp", "--schema"], { encoding: "utf8", timeout: 20_000 }));
} catch (error) {
  console.error(`\`${binary} lsp --schema\` failed (${error.message}); LACUNA_BINARY names another binary.`);
  process.exit(2);
}

const settings = {};
flatten("lacuna", schema, settings);
Object.assign(settings, CLIENT_SETTINGS);

const file = new URL("../package.json", import.meta.url);
const before = readFileSync(file, "utf8");
const manifest = JSON.parse(before);
manifest.contributes.configuration = { title: "Lacuna", properties: settings };
const after = `${JSON.stringify(manifest, null, 2)}\n`;

if (process.argv.includes("--check")) {
  if (after !== before) {
    console.error("The settings in package.json are not those of the server; `npm run settings` brings them up to date.");
    process.exit(1);
  }
} else {
  writeFileSync(file, after);
}
