//! The forms of a prompt, with a tokenizer of DiffusionGemma's kind.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::Index;
use serde_json::Value;

use super::form::NAME_MAX_CHARACTERS;
use super::{BLOCK_SET, Budget, Chat, Form, Layout, Passage, SizedHole, lay_out, normalise};
use crate::canvas::Row;
use crate::infiller::{Excerpt, Language};
use crate::tokenizer::Tokenizer;

const BUDGET: Budget = Budget { prompt_tokens: 1024, canvas_rows: 256, drop_bytes: 1024, drop_tokens: 256 };

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/golden/chat-bf16")
}

fn tokenizer() -> &'static Tokenizer {
    static READ: LazyLock<Tokenizer> = LazyLock::new(|| {
        let path = folder().join("tokenizer.json");
        Tokenizer::from_json(&path, &std::fs::read(&path).unwrap(), 640).unwrap()
    });
    &READ
}

fn chat() -> Form {
    Form::Chat(Chat::find(tokenizer(), 2).unwrap())
}

/// Tokens as text, special ones by their names.
fn spelled(ids: &[u32]) -> String {
    let tokenizer = tokenizer();
    let bytes = ids.iter().flat_map(|id| match tokenizer.special_name(*id) {
        Some(name) => name.as_bytes(),
        None => tokenizer.token_bytes(*id),
    });
    String::from_utf8(bytes.copied().collect()).unwrap()
}

/// The text of a canvas's pinned rows, perhaps beginning or ending inside a character.
fn pinned(rows: &[Row]) -> Vec<u8> {
    let bytes = |row: &Row| if let Row::Pinned(id) = row { tokenizer().token_bytes(*id) } else { panic!("a hole") };
    rows.iter().flat_map(bytes).copied().collect()
}

/// Lays out the holes at `$`, four rows each.
fn laid_out(marked: &str, language: Language, form: &Form) -> (String, Layout) {
    let mut parts = marked.split('$');
    let mut text = parts.next().unwrap().to_owned();
    let mut holes = Vec::new();
    for part in parts {
        holes.push(SizedHole { byte_range: text.len()..text.len(), rows: 4, rows_max: 4, set: BLOCK_SET });
        text.push_str(part);
    }
    let layout = lay_out(
        &Passage { text: &text, language, name: None, excerpts: &[], holes: &holes },
        tokenizer(),
        form,
        BUDGET,
    )
    .unwrap();
    (text, layout)
}

/// The canvas as text, each hole as `$`.
fn canvas(layout: &Layout) -> String {
    let mut text = String::new();
    let mut at = 0;
    for hole in &layout.holes {
        text += &String::from_utf8(pinned(&layout.canvas[at..hole.start])).unwrap();
        text.push('$');
        at = hole.end;
    }
    text + &String::from_utf8(pinned(&layout.canvas[at..])).unwrap()
}

#[test]
fn a_message_is_what_the_template_makes_of_it() {
    let expected: Value = serde_json::from_slice(&std::fs::read(folder().join("encodings.json")).unwrap()).unwrap();
    let Form::Chat(Chat { before, after }) = chat() else { panic!("a message") };
    let content = tokenizer().encode(expected["chat"]["content"].as_str().unwrap());
    let ids = [before, content, after].concat();
    let template = expected["chat"]["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32);
    let template: Vec<u32> = template.collect();
    assert_eq!(spelled(&ids), spelled(&template));
    assert_eq!(ids, template);
}

#[test]
fn a_message_shows_the_text_and_the_answer_goes_on_on_the_canvas() {
    let (_, layout) = laid_out("fn f() -> u8 {\n    re$rn 1 + $;\n}\n", Language::Rust, &chat());
    let prompt = spelled(&layout.prompt);
    assert!(prompt.starts_with("<bos><|turn>user\nSomething is missing in this Rust file"), "{prompt}");
    let end = "```rust\nfn f() -> u8 {\n    re[[missing]]rn 1 + [[missing]];\n}\n\n```<turn|>\n<|turn>model\n\
               <|channel>thought\n<channel|>```rust\n";
    assert!(prompt.ends_with(end), "{prompt}");
    assert_eq!(canvas(&layout), "fn f() -> u8 {\n    re$rn 1 + $;\n}\n");
}

#[test]
fn a_message_names_the_file_in_one_line() {
    let holes = [SizedHole { byte_range: 0..0, rows: 4, rows_max: 4, set: BLOCK_SET }];
    let asked = |name| {
        let passage = Passage { text: "", language: Language::Rust, name, excerpts: &[], holes: &holes };
        spelled(&lay_out(&passage, tokenizer(), &chat(), BUDGET).unwrap().prompt)
    };
    let beginning = "<bos><|turn>user\nSomething is missing in this Rust file";
    assert!(
        asked(Some("main.rs")).starts_with(&format!("{beginning} main.rs, wherever")),
        "{}",
        asked(Some("main.rs"))
    );
    assert!(asked(Some("a\nb\u{7f}.rs")).starts_with(&format!("{beginning} ab.rs, wherever")));
    let long = "é".repeat(NAME_MAX_CHARACTERS + 1);
    assert!(asked(Some(&long)).contains(&format!("file {}, wherever", &long[2..])));
    assert!(asked(None).starts_with(&format!("{beginning}, wherever")));
}

#[test]
fn an_answer_begins_where_its_first_line_does() {
    let long = "let first = 1;\n".repeat(20) + "let second = $;\n";
    let (text, layout) = laid_out(&long, Language::Rust, &chat());
    let (prompt, canvas) = (spelled(&layout.prompt), canvas(&layout));
    assert!(canvas.starts_with("\nlet first = 1;") && prompt.ends_with("<channel|>```rust"), "{prompt}{canvas}");
    assert!(prompt.contains(&text.replace("= ;", "= [[missing]];")), "{prompt}");
}

#[test]
fn a_fence_is_longer_than_those_of_the_text() {
    let (_, layout) = laid_out("# A\n\n```sh\nls\n````\n\nmore $", Language::Markdown, &chat());
    assert!(spelled(&layout.prompt).ends_with("`````markdown\n"), "{}", spelled(&layout.prompt));
}

/// A prompt with excerpts for a text that ends in a hole.
fn beside(text: &str, excerpts: &[Excerpt], form: &Form) -> Layout {
    let holes = [SizedHole { byte_range: text.len()..text.len(), rows: 4, rows_max: 4, set: BLOCK_SET }];
    let passage = Passage { text, language: Language::Rust, name: None, excerpts, holes: &holes };
    lay_out(&passage, tokenizer(), form, BUDGET).unwrap()
}

fn excerpt(name: &str, text: &str) -> Excerpt {
    Excerpt { name: name.to_owned(), text: text.to_owned() }
}

#[test]
fn a_message_shows_other_files_first_and_the_most_relevant_one_last() {
    let excerpts = [excerpt("shapes.rs", "\nfn area() {}\r\n"), excerpt("a\nb.rs", "/// ```\n/// ````\nfn b() {}\n")];
    let prompt = spelled(&beside("fn c() {\n", &excerpts, &chat()).prompt);
    let beginning = "<bos><|turn>user\nHere is what other files have that this one may use.\n\nab.rs:\n\n`````rust\n/// ```\n\
                     /// ````\nfn b() {}\n`````\n\nshapes.rs:\n\n```rust\nfn area() {}\n```\n\nSomething is missing in this \
                     Rust file, wherever";
    assert!(prompt.starts_with(beginning), "{prompt}");
    // What is typed changes nothing of that, and no other form has a place for it.
    let typed = spelled(&beside("fn c() {\n    area", &excerpts, &chat()).prompt);
    assert!(typed.starts_with(beginning), "{typed}");
    let plain = Form::Plain { bos: 2 };
    assert_eq!(beside("fn c() {\n", &excerpts, &plain), beside("fn c() {\n", &[], &plain));
}

#[test]
fn excerpts_have_a_share_of_the_prompt() {
    let excerpts: Vec<Excerpt> = (0..100).map(|at| excerpt("a.rs", &format!("fn number_{at}() {{}}\n"))).collect();
    let text = "let first = 1;\n".repeat(400);
    let layout = beside(&text, &excerpts, &chat());
    let prompt = spelled(&layout.prompt);
    assert!(
        prompt.contains("number_0()") && prompt.contains("number_1()") && !prompt.contains("number_50()"),
        "{prompt}"
    );
    assert!(layout.prompt.len() <= BUDGET.prompt_tokens);
    assert!(prompt.matches("let first").count() > 20, "{prompt}");
    // One that is too long for all of it is left out, as are those behind it.
    let long = [excerpt("a.rs", &text), excerpt("b.rs", "fn b() {}\n")];
    assert_eq!(beside("", &long, &chat()), beside("", &[], &chat()));
}

#[test]
fn a_plain_prompt_is_the_far_prefix() {
    let long = "let first = 1;\n".repeat(20) + "let second = $;\nlet third = 3;\n";
    let (text, layout) = laid_out(&long, Language::Rust, &Form::Plain { bos: 2 });
    let prompt = spelled(&layout.prompt);
    let all = prompt.strip_prefix("<bos>").unwrap().to_owned() + &canvas(&layout);
    assert_eq!(all, text.replace("= ;", "= $;"));
    assert!(!prompt.contains("second"), "{prompt}");
    // An empty document has a prompt all the same.
    assert_eq!(laid_out("$", Language::Text, &Form::Plain { bos: 2 }).1.prompt, [2]);
}

/// Text of code, of characters that need several tokens, and with what stands for a blank in the vocabulary.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[ \\t\\na-z(){}▁<>0x]{0,60}", "[ a▁é漢🦀\\r\\n]{0,40}", "\\PC{0,30}"]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the text and wherever the hole, nothing is lost or added at its edges.
    #[test]
    fn a_hole_may_begin_and_end_anywhere(
        text in any_text(),
        at in any::<Index>(),
        width in 0_usize..20,
        others in vec((any_text(), "[`\0\r\n]{0,9}|\\PC{0,200}|(a{900}\n){0,9}"), 0..4),
    ) {
        let excerpts: Vec<Excerpt> = others.into_iter().map(|(name, text)| Excerpt { name, text }).collect();
        let start = text.floor_char_boundary(at.index(text.len() + 1));
        let end = text.floor_char_boundary((start + width).min(text.len())).max(start);
        let hole = SizedHole { byte_range: start..end, rows: 4, rows_max: 4, set: BLOCK_SET };
        let holes = std::slice::from_ref(&hole);
        let passage = Passage { text: &text, language: Language::Rust, name: None, excerpts: &excerpts, holes };
        let alone = Passage { excerpts: &[], ..passage };
        for form in [chat(), Form::Plain { bos: 2 }] {
            let layout = lay_out(&passage, tokenizer(), &form, BUDGET).unwrap();
            prop_assert!(layout.prompt.len() <= BUDGET.prompt_tokens);
            let without = lay_out(&alone, tokenizer(), &form, BUDGET).unwrap();
            prop_assert_eq!((&layout.canvas, &layout.holes), (&without.canvas, &without.holes));
            let rows = &layout.holes[0];
            let (before, after) = (pinned(&layout.canvas[..rows.start]), pinned(&layout.canvas[rows.end..]));
            let (prefix, suffix) = (normalise(&text[..start]).into_owned(), normalise(&text[end..]).into_owned());
            prop_assert!(prefix.as_bytes().ends_with(&before), "{:?} is not the end of {:?}", before, prefix);
            prop_assert!(suffix.as_bytes().starts_with(&after), "{:?} does not begin {:?}", after, suffix);
            if let Form::Plain { .. } = form {
                let far = layout.prompt.iter().flat_map(|id| tokenizer().token_bytes(*id)).copied();
                prop_assert_eq!(far.chain(before).collect::<Vec<u8>>(), prefix.into_bytes());
            }
        }
    }
}
