use lacuna_engine::{Extent, Language};
use proptest::prelude::*;

use super::super::{marks, parse};
use super::find_placeholders;

/// Asserts which placeholders the text has, all with this extent.
fn check(language: Language, with_holes: &str, extent: Extent) {
    let (text, ranges) = marks::holes(with_holes);
    let tree = parse(&text, language).expect("the language has a grammar");
    let found = find_placeholders(&text, &tree, language);
    let found_ranges: Vec<_> = found.iter().map(|placeholder| placeholder.byte_range.clone()).collect();
    assert_eq!(marks::mark(&text, &found_ranges), marks::mark(&text, &ranges));
    assert!(found.iter().all(|placeholder| placeholder.extent == extent), "{found:?}");
}

#[test]
fn rust_macros_as_statements() {
    check(Language::Rust, "fn f() {\n    «todo!()»\n}", Extent::Block);
    check(Language::Rust, "fn f() {\n    g();\n    «todo!(\"later: {}\", x);»\n}", Extent::Block);
    check(Language::Rust, "fn f() {\n    if x {\n        «unimplemented!();»\n    }\n}", Extent::Block);
    check(Language::Rust, "fn f() {\n    «std::todo!(\n        \"a\"\n    )»\n}", Extent::Block);
}

#[test]
fn rust_macros_inside_lines() {
    check(Language::Rust, "fn f() {\n    let x = «todo!()»;\n}", Extent::Line);
    check(Language::Rust, "fn f() {\n    match x {\n        A => «todo!()»,\n    }\n}", Extent::Line);
    check(Language::Rust, "fn f() {\n    g(«todo!()», «unimplemented!()»);\n}", Extent::Line);
    check(Language::Rust, "fn f() {\n    a(); «todo!();» b();\n}", Extent::Line);
}

#[test]
fn rust_bodies_in_one_line() {
    check(Language::Rust, "fn f() -> u8 {« todo!() »}", Extent::Block);
    check(Language::Rust, "impl A {\n    fn f(&self) {« unimplemented!(); »}\n}", Extent::Block);
    check(Language::Rust, "fn f() {«»}\nfn g() {« »}\nfn h() {«\n»}", Extent::Block);
}

#[test]
fn rust_functions_of_every_sort() {
    for head in ["async fn f()", "unsafe fn f()", "const fn f()", "pub(crate) const unsafe fn f<T>() -> T"] {
        check(Language::Rust, &format!("{head} {{\n    «todo!()»\n}}"), Extent::Block);
        check(Language::Rust, &format!("{head} {{«»}}"), Extent::Block);
    }
    check(Language::Rust, "trait A {\n    fn f();\n    fn g() {\n        «todo!(\"x\")»\n    }\n}", Extent::Block);
    check(Language::Rust, "fn f() {\n    fn g() {\n        «todo!()»\n    }\n    «todo!()»\n}", Extent::Block);
    check(Language::Rust, "fn f() {\n    let g = || «todo!()»;\n    h(|x| «todo!(\"x\")»);\n}", Extent::Line);
    check(Language::Rust, "fn f() {\n    let g = async {\n        «todo!()»\n    };\n}", Extent::Block);
}

#[test]
fn rust_code_that_only_looks_like_it() {
    check(Language::Rust, "// todo!()\nconst S: &str = \"todo!()\";\nfn f() { my_todo!() }", Extent::Block);
    check(Language::Rust, "struct S {}\nimpl S {}\nfn f() { /* done */ }", Extent::Block);
    check(Language::Rust, "fn f() { let g = || {}; g() }", Extent::Block);
}

#[test]
fn python_bodies() {
    check(Language::Python, "def f():\n    «pass»\n", Extent::Block);
    check(Language::Python, "def f():\n    «...»\n\ndef g():\n    «raise NotImplementedError»\n", Extent::Block);
    check(
        Language::Python,
        "def f():\n    \"\"\"Says so.\"\"\"\n    «raise NotImplementedError(\"f\")»\n",
        Extent::Block,
    );
    check(Language::Python, "if x:\n    «pass»\nelse:\n    «...»\n", Extent::Block);
    check(Language::Python, "class C:\n    def f(self):\n        # Soon.\n        «pass»\n", Extent::Block);
}

#[test]
fn python_bodies_behind_their_heads() {
    check(Language::Python, "def f():« pass»\nwhile x:«...»\n", Extent::Block);
    check(Language::Python, "def f(): «pass»  # Soon.\n", Extent::Line);
}

#[test]
fn python_bodies_that_are_finished() {
    check(Language::Python, "class E(Exception):\n    pass\n\nclass F: ...\n", Extent::Block);
    check(Language::Python, "try:\n    f()\nexcept E:\n    pass\n", Extent::Block);
    check(Language::Python, "def f():\n    g()\n    pass\n", Extent::Block);
    check(Language::Python, "def f():\n    return x[...]\n\ndef g():\n    raise ValueError\n", Extent::Block);
    check(Language::Python, "def f():\n    \"\"\"Does nothing: pass.\"\"\"\n", Extent::Block);
    check(Language::Python, "...\n", Extent::Block);
}

#[test]
fn python_bodies_in_bodies() {
    check(
        Language::Python,
        "class A: pass\nclass B:\n    def f(self):« pass»\n    async def g(self):\n        «...»\n",
        Extent::Block,
    );
    check(
        Language::Python,
        "def f():\n    if x:\n        «pass»\n    def g():\n        «...»\n    return g\n",
        Extent::Block,
    );
}

#[test]
fn the_line_says_the_indentation() {
    let text = "impl A {\n\t  fn f() {}\n}";
    let tree = parse(text, Language::Rust).expect("Rust has a grammar");
    let found = find_placeholders(text, &tree, Language::Rust);
    assert_eq!(found.iter().map(|placeholder| placeholder.indentation.as_str()).collect::<Vec<_>>(), ["\t  "]);
}

#[test]
fn plain_text_has_none() {
    let tree = parse("fn f() { todo!() }", Language::Rust).expect("Rust has a grammar");
    assert!(find_placeholders("fn f() { todo!() }", &tree, Language::Text).is_empty());
}

fn code() -> impl Strategy<Value = String> {
    let parts =
        "fn f() |{|}|\n|\r\n|\r|    |\t|def g(x):|pass|...|todo!()|;|\"|unimplemented!(é)|é|🦀|\"\"\"|class C:|if x:| ";
    let part = prop::sample::select(parts.split('|').chain(["raise NotImplementedError"]).collect::<Vec<_>>());
    prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_tree_gives_ascending_disjoint_ranges_in_the_text(text in code(), other in code(), fresh in any::<bool>()) {
        for language in [Language::Rust, Language::Python] {
            let tree = parse(if fresh { &text } else { &other }, language).expect("the language has a grammar");
            let mut end = 0;
            for placeholder in find_placeholders(&text, &tree, language) {
                prop_assert!(text.get(placeholder.byte_range.clone()).is_some());
                prop_assert!(placeholder.byte_range.start >= end);
                end = placeholder.byte_range.end;
            }
        }
    }
}

#[test]
fn comments_that_say_what_is_to_be_written() {
    let of = |language, text: &str| {
        let found = find_placeholders(text, &parse(text, language).expect("a grammar"), language);
        let lead = |hole: &super::Placeholder| (text[hole.shown_at.clone()].to_owned(), hole.lead.clone());
        found.iter().filter(|hole| !hole.lead.is_empty()).map(lead).collect::<Vec<_>>()
    };
    let rust = "fn f() {\n    a();\n    // TODO: b\n\n    c();\n    //FIXME(me) d\n}\n";
    let lead = "\n    ".to_owned();
    let expected = [("// TODO: b".to_owned(), lead.clone()), ("//FIXME(me) d".to_owned(), lead)];
    assert_eq!(of(Language::Rust, rust), expected);
    let python = "def f():\r\n    a()\r\n    # TODO\r\nx = 1\r\n";
    assert_eq!(of(Language::Python, python), [("# TODO".to_owned(), "\r\n    ".to_owned())]);
    assert_eq!(of(Language::Rust, "// TODO a"), [("// TODO a".to_owned(), "\n".to_owned())]);
    for text in
        ["// TODO\nfn f() { a() }", "/// TODO\n\n", "a(); // TODO\n", "// TODOS\n", "// a TODO\n", "\"// TODO\""]
    {
        assert_eq!(of(Language::Rust, text), [], "{text}");
    }
}
