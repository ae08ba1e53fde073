use lacuna_engine::Language;
use tree_sitter::{Node, Tree};

use super::lines::floor_caret;

/// What a caret stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaretPlace {
    /// Code, or text in a language without comments and strings.
    Code,
    /// A comment, at whose end one may go on typing it.
    Comment,
    /// A string or a character.
    String,
}

/// What the caret stands in. An offset where no caret can stand counts as the nearest one before it.
pub fn caret_place(text: &str, tree: Option<&Tree>, language: Language, byte_offset: usize) -> CaretPlace {
    let caret = floor_caret(text, byte_offset);
    // The node that a caret stands in also contains the character before it.
    let (Some(tree), Some(previous)) = (tree, text[..caret].chars().next_back()) else {
        return CaretPlace::Code;
    };
    if !matches!(language, Language::Rust | Language::Python) {
        return CaretPlace::Code;
    }
    let at = caret - previous.len_utf8();
    let mut place = CaretPlace::Code;
    // Downwards, because each step up from a node starts at the root again.
    let mut cursor = tree.walk();
    while cursor.node().start_byte() <= at {
        let node = cursor.node();
        let is_inside = caret < node.end_byte();
        // A line comment goes on for as long as somebody types; its node may contain the line's end.
        let goes_on = caret <= node.end_byte() && is_line_comment(node, text) && previous != '\n';
        match node.kind() {
            "line_comment" | "block_comment" | "comment" if is_inside || goes_on => return CaretPlace::Comment,
            "string_literal" | "raw_string_literal" | "char_literal" | "string" if is_inside => {
                place = CaretPlace::String;
            }
            // What stands in braces in an f-string is code again.
            "interpolation" if is_inside => place = CaretPlace::Code,
            _ => {}
        }
        if cursor.goto_first_child_for_byte(at).is_none() {
            break;
        }
    }
    place
}

fn is_line_comment(node: Node<'_>, text: &str) -> bool {
    !text.get(node.byte_range()).is_some_and(|comment| comment.starts_with("/*"))
}

#[cfg(test)]
mod tests {
    use lacuna_engine::Language;
    use proptest::prelude::*;

    use super::{CaretPlace, caret_place};
    use crate::syntax::{marks, parse};

    fn place(language: Language, marked: &str) -> CaretPlace {
        let (text, caret) = marks::caret(marked);
        caret_place(&text, parse(&text, language).as_ref(), language, caret)
    }

    #[test]
    fn in_rust() {
        let of = |marked| place(Language::Rust, marked);
        for comment in ["// a$0", "/// a $0\nfn f() {}", "//! a$0b\n", "/* a $0 */ f();", "fn f() {\n    // a$0\n}"] {
            assert_eq!(of(comment), CaretPlace::Comment, "{comment}");
        }
        for string in ["f(\"a$0\");", "f(r#\"a$0b\"#);", "f('$0a');", "f(b\"$0a\");", "f(\"a\n$0b\");"] {
            assert_eq!(of(string), CaretPlace::String, "{string}");
        }
        for code in ["$0// a", "// a\n$0f();", "f(\"a\"$0);", "f($0\"a\");", "/* a */$0 f();", "$0", "fn f<'a$0>() {}"]
        {
            assert_eq!(of(code), CaretPlace::Code, "{code}");
        }
    }

    #[test]
    fn in_python() {
        let of = |marked| place(Language::Python, marked);
        assert_eq!(of("x = 1  # a$0\n"), CaretPlace::Comment);
        assert_eq!(of("def f():\n    \"\"\"a$0\n    b\"\"\"\n"), CaretPlace::String);
        assert_eq!(of("x = f'a$0 {b}'\n"), CaretPlace::String);
        assert_eq!(of("x = f'a {b$0 + 1}'\n"), CaretPlace::Code);
        assert_eq!(of("x = f'a {g(\"c$0\")}'\n"), CaretPlace::String);
        assert_eq!(of("x = 1$0\n"), CaretPlace::Code);
    }

    #[test]
    fn elsewhere_all_is_code() {
        assert_eq!(place(Language::Markdown, "# a$0"), CaretPlace::Code);
        assert_eq!(place(Language::Text, "\"a$0\""), CaretPlace::Code);
    }

    proptest! {
        #[test]
        fn any_offset_of_any_text(text in any::<String>(), other in any::<String>(), offset in 0..64_usize) {
            // Also with a tree of another text.
            for of in [&text, &other] {
                let tree = parse(of, Language::Rust);
                caret_place(&text, tree.as_ref(), Language::Rust, offset);
            }
        }
    }
}
