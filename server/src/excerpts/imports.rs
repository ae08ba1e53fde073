//! What a document says that it takes from other files.

use lacuna_engine::Language;
use tree_sitter::{Node, Tree};

use super::names::{Names, names_in};

/// Rust's own crates, which no other file of the user's is.
const RUST_CRATES: [&str; 3] = ["std", "core", "alloc"];

/// All names in the imports at the top of a document's outline: of modules and of what is taken from them.
///
/// A tree of an earlier text may miss some, or take others for them.
pub(super) fn imported_names(text: &str, tree: Option<&Tree>, language: Language) -> Names {
    let Some(tree) = tree else { return Names::default() };
    let mut cursor = tree.walk();
    let items = tree.root_node().named_children(&mut cursor);
    let imports = items.filter(|item| is_import(*item, language)).filter_map(|item| text.get(item.byte_range()));
    Names::new(imports.filter(|import| !is_of_the_language(import, language)).flat_map(names_in))
}

fn is_import(item: Node<'_>, language: Language) -> bool {
    match language {
        Language::Rust => {
            item.kind() == "use_declaration"
                || (item.kind() == "mod_item" && item.child_by_field_name("body").is_none())
        }
        Language::Python => matches!(item.kind(), "import_statement" | "import_from_statement"),
        _ => false,
    }
}

fn is_of_the_language(import: &str, language: Language) -> bool {
    let path = import.split_once("use ").map_or(import, |(_, path)| path);
    language == Language::Rust && names_in(path).next().is_some_and(|first| RUST_CRATES.contains(&first))
}
