use std::path::Path;

use lacuna_engine::Language;
use tree_sitter::{Parser, Tree};

/// What a file is written in: by its extension, and failing that by its first line's `#!`.
pub fn language_of(path: &Path, first_line: &str) -> Language {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "rs" => Language::Rust,
        "py" | "pyi" | "pyw" => Language::Python,
        "md" | "markdown" | "mdown" | "mkd" => Language::Markdown,
        "" => language_of_interpreter(first_line),
        _ => Language::Text,
    }
}

/// What a document is written in by its language identifier in the Language Server Protocol.
pub fn language_of_id(language_id: &str) -> Language {
    match language_id {
        "rust" => Language::Rust,
        "python" => Language::Python,
        "markdown" => Language::Markdown,
        _ => Language::Text,
    }
}

/// The text's tree, or `None` where there is no grammar for the language.
pub fn parse(text: &str, language: Language) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(&grammar(language)?).ok()?;
    parser.parse(text, None)
}

/// The grammar that [`parse`] uses, if there is one.
pub(crate) fn grammar(language: Language) -> Option<tree_sitter::Language> {
    match language {
        Language::Rust => Some(tree_sitter_rust::LANGUAGE.into()),
        Language::Python => Some(tree_sitter_python::LANGUAGE.into()),
        _ => None,
    }
}

fn language_of_interpreter(first_line: &str) -> Language {
    let Some(command) = first_line.trim_start_matches('\u{feff}').strip_prefix("#!") else {
        return Language::Text;
    };
    // `#!/usr/bin/env -S python3 -u` names its interpreter as a later word.
    let names_python = |word: &str| {
        let name = word.rsplit('/').next().unwrap_or_default();
        name.strip_prefix("python").is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
    };
    let names_rust = |word: &str| matches!(word.rsplit('/').next(), Some("rust-script" | "cargo-script"));
    let mut words = command.split_ascii_whitespace();
    if words.clone().any(names_python) {
        Language::Python
    } else if words.any(names_rust) {
        Language::Rust
    } else {
        Language::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_extension() {
        let of = |path: &str| language_of(Path::new(path), "");
        assert_eq!(of("src/main.rs"), Language::Rust);
        assert_eq!(of("A.PY"), Language::Python);
        assert_eq!(of("stubs.pyi"), Language::Python);
        assert_eq!(of("README.md"), Language::Markdown);
        assert_eq!(of("notes.txt"), Language::Text);
        assert_eq!(of("Makefile"), Language::Text);
        assert_eq!(of(".rs"), Language::Text);
    }

    #[test]
    fn by_interpreter_where_there_is_no_extension() {
        let of = |first_line: &str| language_of(Path::new("tool"), first_line);
        assert_eq!(of("#!/usr/bin/python3.12"), Language::Python);
        assert_eq!(of("#!/usr/bin/env -S python3 -u"), Language::Python);
        assert_eq!(of("#!/usr/bin/env rust-script"), Language::Rust);
        assert_eq!(of("#!/bin/sh"), Language::Text);
        assert_eq!(of("#!"), Language::Text);
        assert_eq!(of("import python"), Language::Text);
        assert_eq!(language_of(Path::new("tool.txt"), "#!/usr/bin/python"), Language::Text);
    }

    #[test]
    fn every_grammar_fits_the_parser() {
        for language in [Language::Rust, Language::Python] {
            assert!(parse("x", language).is_some());
        }
        assert!(parse("x", Language::Text).is_none());
    }
}
