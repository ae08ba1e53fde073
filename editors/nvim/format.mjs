// Runs StyLua's library, which comes without a program: node format.mjs [--fix] FOLDER...
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const stylua = createRequire(import.meta.url)(process.env.STYLUA);
const { CallParenType, Config, IndentType, LuaVersion, OutputVerification, QuoteStyle } = stylua;

// The names of stylua.toml, and what the library calls their values.
const kinds = {
  syntax: (value) => LuaVersion[value],
  column_width: Number,
  indent_type: (value) => IndentType[value],
  indent_width: Number,
  quote_style: (value) => QuoteStyle[value],
  call_parentheses: (value) => CallParenType[value],
};

function configuration(file) {
  const config = Config.new();
  for (const line of readFileSync(file, "utf8").split("\n").filter((line) => line.trim() !== "")) {
    const [, name, value] = line.match(/^(\w+) = "?(\w+)"?$/) ?? [];
    const known = kinds[name]?.(value);
    if (known === undefined || Number.isNaN(known)) {
      throw new Error(`stylua.toml: this script does not know \`${line}\``);
    }
    config[name] = known;
  }
  return config;
}

const fixes = process.argv.includes("--fix");
const folders = process.argv.slice(2).filter((argument) => argument !== "--fix");
let wrong = 0;
for (const folder of folders) {
  for (const name of readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".lua"))) {
    const file = path.join(folder, name);
    const text = readFileSync(file, "utf8");
    const formatted = stylua.formatCode(text, configuration("stylua.toml"), undefined, OutputVerification.Full);
    if (formatted === text) continue;
    if (fixes) {
      writeFileSync(file, formatted);
    } else {
      console.error(`${file} is not formatted; \`editors/nvim/lint --fix\` does it`);
      wrong += 1;
    }
  }
}
process.exit(wrong === 0 ? 0 : 1);
