//! Which language code is written in, by plain evidence.

use lacuna_engine::Language;

use crate::syntax::parse;

/// Code longer than this is judged by its beginning.
const LIMIT_BYTES: usize = 8 << 10;

/// Commands that a line of a shell session begins with.
const COMMANDS: &[&str] = &[
    "apt", "apt-get", "brew", "bun", "cargo", "cd", "chmod", "cmake", "cp", "curl", "deno", "docker", "git", "mkdir",
    "npm", "npx", "pip", "pip3", "pnpm", "podman", "python", "python3", "rustup", "sudo", "tar", "uv", "wget", "yarn",
];

/// The languages that the code may be in, as they are written behind a fence; none without plain evidence.
pub(super) fn languages_of(code: &str) -> Vec<&'static str> {
    let code = &code[..code.floor_char_boundary(LIMIT_BYTES)];
    let lines: Vec<_> = code.lines().filter(|line| !line.trim().is_empty()).collect();
    let Some(first) = lines.first().map(|line| line.trim()) else { return Vec::new() };
    if let Some(interpreter) = first.strip_prefix("#!") {
        return interpreter_language(interpreter).into_iter().collect();
    }
    if is_session(&lines) {
        return vec!["console"];
    }
    let rules: [(&'static str, bool); 11] = [
        ("sh", is_script(&lines)),
        ("json", is_json(code)),
        ("xml", first.starts_with("<?xml")),
        ("html", starts_with_any(&first.to_ascii_lowercase(), &["<!doctype html", "<html"])),
        ("diff", is_difference(&lines)),
        ("toml", is_toml(&lines)),
        ("rust", is_rust(code, &lines)),
        ("python", is_python(code, &lines)),
        (if is_c_plus_plus(code) { "cpp" } else { "c" }, is_c(&lines)),
        ("go", first.starts_with("package ") && lines.iter().any(|line| line.starts_with("func "))),
        ("js", is_javascript(&lines)),
    ];
    rules.into_iter().filter_map(|(name, holds)| holds.then_some(name)).collect()
}

/// Whether a line begins with a command as it is typed.
pub(super) fn is_command(line: &str) -> bool {
    let word = line.split_whitespace().next().unwrap_or_default();
    COMMANDS.contains(&word) || (word.starts_with("./") && word.len() > 2)
}

fn starts_with_any(text: &str, beginnings: &[&str]) -> bool {
    beginnings.iter().any(|beginning| text.starts_with(beginning))
}

fn interpreter_language(interpreter: &str) -> Option<&'static str> {
    let names = [("python", "python"), ("node", "js"), ("perl", "perl"), ("ruby", "ruby"), ("fish", "fish")];
    let found = names.into_iter().find(|(name, _)| interpreter.contains(name));
    found.map(|(_, language)| language).or_else(|| interpreter.trim_end().ends_with("sh").then_some("sh"))
}

/// A shell's prompt, and a command behind it.
fn is_session(lines: &[&str]) -> bool {
    lines
        .first()
        .and_then(|line| line.trim().strip_prefix("$ "))
        .is_some_and(|command| is_command(command) || lines.iter().all(|line| line.trim_start().starts_with("$ ")))
}

/// Commands alone, with their comments and the lines that go on behind a backslash.
fn is_script(lines: &[&str]) -> bool {
    let mut goes_on = false;
    let mut commands = 0;
    for line in lines.iter().map(|line| line.trim()) {
        if !goes_on && !line.starts_with('#') {
            if !is_command(line) {
                return false;
            }
            commands += 1;
        }
        goes_on = line.ends_with('\\');
    }
    commands > 0
}

fn is_json(code: &str) -> bool {
    let code = code.trim();
    // An empty array is many things.
    starts_with_any(code, &["{", "["])
        && code.contains('"')
        && serde_json::from_str::<serde::de::IgnoredAny>(code).is_ok()
}

fn is_difference(lines: &[&str]) -> bool {
    lines[0].starts_with("diff --git ")
        || (lines[0].starts_with("--- ") && lines.get(1).is_some_and(|line| line.starts_with("+++ ")))
}

/// Sections with their keys.
fn is_toml(lines: &[&str]) -> bool {
    let is_section = |line: &str| line.starts_with('[') && line.ends_with(']') && !line.contains(['"', ',', ' ', '(']);
    let is_key = |line: &str| {
        line.split_once(" = ").is_some_and(|(key, value)| {
            !key.contains([' ', '(', '$']) && value.starts_with(['"', '\'', '[', '{', 't', 'f', '0', '1', '2', '3'])
        })
    };
    let mut contents = lines.iter().map(|line| line.trim()).filter(|line| !line.starts_with('#'));
    contents.next().is_some_and(is_section)
        && lines.iter().any(|line| is_key(line.trim()))
        && contents.all(|line| is_section(line) || is_key(line))
}

fn parses(code: &str, language: Language) -> bool {
    parse(code, language).is_some_and(|tree| !tree.root_node().has_error())
}

fn is_rust(code: &str, lines: &[&str]) -> bool {
    let has = |beginnings: &[&str], end: &[char]| {
        lines.iter().any(|line| starts_with_any(line.trim_start(), beginnings) && line.trim_end().ends_with(end))
    };
    let is_marked = has(&["use ", "let ", "pub use ", "extern crate "], &[';'])
        || has(&["fn ", "pub fn ", "impl ", "impl<", "struct ", "pub struct ", "enum ", "pub enum "], &['{', '}'])
        || has(&["#[derive(", "#![", "#[tokio", "#[test"], &[']']);
    // `let` with a semicolon is JavaScript too.
    is_marked && (code.contains("::") || code.contains("fn ") || code.contains('!')) && parses(code, Language::Rust)
}

fn is_python(code: &str, lines: &[&str]) -> bool {
    let is_marked = lines.iter().any(|line| {
        let line = line.trim_end();
        (starts_with_any(line, &["def ", "class ", "async def "]) && line.ends_with(':'))
            || (line.starts_with("from ") && line.contains(" import "))
            || (line.starts_with("import ") && !line.ends_with([';', '"', '\'']))
    });
    is_marked && !lines[0].starts_with("package ") && parses(code, Language::Python)
}

fn is_c(lines: &[&str]) -> bool {
    lines.iter().any(|line| starts_with_any(line, &["#include <", "#include \""]))
}

fn is_c_plus_plus(code: &str) -> bool {
    ["std::", "template", "namespace ", "class ", "#include <iostream>"].iter().any(|mark| code.contains(mark))
}

fn is_javascript(lines: &[&str]) -> bool {
    lines.iter().any(|line| {
        let line = line.trim_end().trim_end_matches(';');
        (starts_with_any(line, &["const ", "let ", "var "]) && line.contains(" = require(") && line.ends_with(')'))
            || (line.starts_with("import ") && line.contains(" from ") && line.ends_with(['"', '\'']))
            || (line.starts_with("const ") && line.contains(" = ") && line.contains("=> "))
    })
}

#[cfg(test)]
mod tests {
    use super::languages_of;

    #[test]
    fn plain_evidence() {
        let cases: &[(&str, &[&str])] = &[
            ("#!/usr/bin/env python3\nprint(1)\n", &["python"]),
            ("#!/bin/bash\nfoo\n", &["sh"]),
            ("$ ls\n$ pwd\n", &["console"]),
            ("$ cargo run\n   Compiling\n", &["console"]),
            ("cargo build \\\n  --release\n# then\n./target/x\n", &["sh"]),
            ("{\n  \"a\": [1, 2]\n}\n", &["json"]),
            ("[dependencies]\nserde = \"1\"\n", &["toml"]),
            ("use a::b;\n\nfn main() {\n    b();\n}\n", &["rust"]),
            ("import os\n\ndef f(x):\n    return x\n", &["python"]),
            ("#include <stdio.h>\nint main(void) { return 0; }\n", &["c"]),
            ("#include <iostream>\nint main() { std::cout << 1; }\n", &["cpp"]),
            ("package main\n\nimport \"fmt\"\n\nfunc main() {}\n", &["go"]),
            ("const a = require(\"a\");\n", &["js"]),
            ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", &["diff"]),
            ("let x = 1;\n", &[]),
            ("some output\n", &[]),
            ("git is a program\n\nand more\n", &[]),
            ("[]\n", &[]),
            ("", &[]),
        ];
        for (code, expected) in cases {
            assert_eq!(languages_of(code), *expected, "{code}");
        }
    }
}
