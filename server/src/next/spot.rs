//! What a place in a text is, by the text's tree.

use std::ops::Range;

use tree_sitter::Tree;

/// What stands at a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spot<'tree> {
    pub(super) prose: Prose,
    /// The kinds of the smallest node there and of the one around it.
    pub(super) kind: &'tree str,
    pub(super) parent: &'tree str,
    /// What the smallest node is to the one around it.
    field: &'tree str,
    /// The function that it is in, the innermost one; its own name is outside of it, its parameters are inside.
    pub(super) function: Option<Range<usize>>,
    /// Where that function's name stands.
    pub(super) function_name: Range<usize>,
    /// Whether it is in an import.
    pub(super) import: bool,
}

/// Whether a place is within text that no compiler reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Prose {
    #[default]
    No,
    Comment,
    String,
}

/// What a name does where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It names a function, a type, a constant or the like.
    Item,
    /// It names a field of a structure where that is declared.
    Field,
    /// It names a parameter, or what a pattern or an assignment binds.
    Binding,
    /// It names an argument where a function is called.
    Keyword,
    /// It is used.
    Use,
}

impl<'tree> Spot<'tree> {
    /// What the bytes are part of. Ranges outside the tree are in nothing.
    pub(super) fn of(tree: &'tree Tree, bytes: &Range<usize>) -> Self {
        let mut spot = Self::default();
        let mut cursor = tree.walk();
        // Downwards, because each step up from a node starts at the root again.
        loop {
            let node = cursor.node();
            if node.start_byte() > bytes.start || node.end_byte() < bytes.end {
                break;
            }
            spot.parent = std::mem::replace(&mut spot.kind, node.kind());
            spot.field = cursor.field_name().unwrap_or_default();
            match node.kind() {
                "use_declaration" | "import_statement" | "import_from_statement" => spot.import = true,
                "line_comment" | "block_comment" | "comment" => spot.prose = Prose::Comment,
                "string" | "string_literal" | "raw_string_literal" | "char_literal" => spot.prose = Prose::String,
                // What stands in braces in an f-string is code again.
                "interpolation" => spot.prose = Prose::No,
                "function_item" | "function_definition" | "function_signature_item" | "lambda" => {
                    let inside = node.child_by_field_name("parameters").map_or(node.start_byte(), |at| at.start_byte());
                    if bytes.start >= inside {
                        spot.function = Some(inside..node.end_byte());
                        spot.function_name = node.child_by_field_name("name").map_or(0..0, |name| name.byte_range());
                    }
                }
                _ => {}
            }
            // The first child that ends behind the place; a node that ends just there is not it.
            if cursor.goto_first_child_for_byte(bytes.start).is_none() {
                break;
            }
            while cursor.node().end_byte() <= bytes.start && cursor.goto_next_sibling() {}
            let child = cursor.node();
            if child.start_byte() > bytes.start || child.end_byte() < bytes.end {
                break;
            }
        }
        spot
    }

    pub(super) fn role(&self) -> Role {
        match (self.parent, self.field) {
            (
                "function_item"
                | "function_signature_item"
                | "function_definition"
                | "class_definition"
                | "struct_item"
                | "enum_item"
                | "union_item"
                | "trait_item"
                | "type_item"
                | "const_item"
                | "static_item"
                | "mod_item"
                | "macro_definition"
                | "enum_variant"
                | "associated_type",
                "name",
            ) => Role::Item,
            ("field_declaration", "name") => Role::Field,
            ("keyword_argument", "name") => Role::Keyword,
            (
                "parameter"
                | "let_declaration"
                | "for_expression"
                | "let_condition"
                | "tuple_pattern"
                | "closure_parameters"
                | "const_parameter"
                | "type_parameter"
                | "captured_pattern"
                | "tuple_struct_pattern"
                | "ref_pattern"
                | "mut_pattern"
                | "reference_pattern",
                "pattern" | "name" | "",
            )
            | (
                "parameters"
                | "lambda_parameters"
                | "typed_parameter"
                | "pattern_list"
                | "list_splat_pattern"
                | "dictionary_splat_pattern"
                | "as_pattern_target",
                _,
            )
            | ("default_parameter" | "typed_default_parameter", "name")
            | ("assignment" | "for_statement" | "for_in_clause" | "named_expression", "left" | "name") => Role::Binding,
            _ => Role::Use,
        }
    }
}

#[cfg(test)]
mod tests {
    use lacuna_engine::Language;

    use super::{Prose, Role, Spot};
    use crate::syntax::parse;

    fn spot<T>(language: Language, text: &str, part: &str, of: impl Fn(&Spot<'_>) -> T) -> T {
        let start = text.find(part).expect("the part");
        let tree = parse(text, language).expect("a grammar");
        of(&Spot::of(&tree, &(start..start + part.len())))
    }

    #[test]
    fn roles() {
        let rust = |text, part| spot(Language::Rust, text, part, |spot| spot.role());
        assert_eq!(rust("fn name(a: u8) {}", "name"), Role::Item);
        assert_eq!(rust("fn f(bc: u8) {}", "bc"), Role::Binding);
        assert_eq!(rust("fn f() { let bc = 1; }", "bc"), Role::Binding);
        assert_eq!(rust("struct S { bc: u8 }", "bc"), Role::Field);
        assert_eq!(rust("fn f() { g(bc); }", "bc"), Role::Use);
        let python = |text, part| spot(Language::Python, text, part, |spot| spot.role());
        assert_eq!(python("def name(a): pass", "name"), Role::Item);
        assert_eq!(python("def f(bc, d=1): pass", "bc"), Role::Binding);
        assert_eq!(python("def f(bc: int = 1): pass", "bc"), Role::Binding);
        assert_eq!(python("bc = 1", "bc"), Role::Binding);
        assert_eq!(python("f(bc=1)", "bc"), Role::Keyword);
        assert_eq!(python("f(bc)", "bc"), Role::Use);
    }

    #[test]
    fn functions_and_prose() {
        let text = "def f(a):\n    # b\n    return g(\"c\", f\"{d}\")\n";
        let function = |part| spot(Language::Python, text, part, |spot| spot.function.clone());
        assert_eq!(function("f("), None);
        assert_eq!(function("a)"), Some(5..text.len() - 1));
        let prose = |part| spot(Language::Python, text, part, |spot| spot.prose);
        assert_eq!((prose("b"), prose("c\"")), (Prose::Comment, Prose::String));
        assert_eq!((prose("d}"), prose("g(")), (Prose::No, Prose::No));
    }
}
