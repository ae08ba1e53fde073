use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::{
    ProptestConfig, Strategy, TestCaseError, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::sample::Index;
use serde_json::{Value, json};

use super::Tokenizer;
use crate::checkpoint::mutation::{change, mutate, replace, replacements};

const NANO: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/nano/tokenizer.json"));

/// The embedded tokenizer, read once.
fn nano() -> &'static Tokenizer {
    static READ: LazyLock<Tokenizer> = LazyLock::new(|| {
        Tokenizer::from_json(Path::new("tokenizer.json"), NANO, 8192).expect("the embedded tokenizer is valid")
    });
    &READ
}

fn refusal(json: &[u8], vocabulary: usize) -> String {
    let Err(error) = Tokenizer::from_json(Path::new("tokenizer.json"), json, vocabulary) else {
        panic!("there should have been an error")
    };
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line:?}");
    line.strip_prefix("tokenizer.json: ").expect("the file is named").to_owned()
}

/// A vocabulary in the other spelling: text with `▁` for a blank, and a token for each byte.
fn fallback() -> Value {
    let mut vocabulary: BTreeMap<String, u32> = BTreeMap::new();
    for (id, token) in ["<pad>", "<eos>", "▁", "a", "b", "▁a", "ab", "\n", "é"].iter().enumerate() {
        vocabulary.insert((*token).to_owned(), id as u32);
    }
    for byte in 0..=255u32 {
        vocabulary.insert(format!("<0x{byte:02X}>"), 9 + byte);
    }
    json!({
        "version": "1.0",
        "added_tokens": [
            {"id": 0, "content": "<pad>", "single_word": false, "lstrip": false, "rstrip": false,
             "normalized": false, "special": true},
            {"id": 1, "content": "<eos>", "single_word": false, "lstrip": false, "rstrip": false,
             "normalized": false, "special": true}
        ],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"}
        ]},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocabulary, "merges": [["▁", "a"], ["a", "b"]]
        }
    })
}

fn read_fallback(change: impl FnOnce(&mut Value)) -> Result<Tokenizer, crate::Error> {
    let mut json = fallback();
    change(&mut json);
    Tokenizer::from_json(Path::new("tokenizer.json"), json.to_string().as_bytes(), 300)
}

#[test]
fn reads_the_embedded_tokenizer() {
    let tokenizer = nano();
    assert_eq!(tokenizer.starts.len(), 8192 + 1);
    assert_eq!(tokenizer.special("<mask>"), Some(4));
    assert_eq!(tokenizer.special("<suffix>"), Some(7));
    assert_eq!(tokenizer.special("return"), None);
    assert!(tokenizer.is_special(15) && !tokenizer.is_special(16) && !tokenizer.is_special(99_999));
    assert_eq!(tokenizer.token_bytes(4), b"");
    assert_eq!(tokenizer.token_bytes(99_999), b"");
    assert_eq!(tokenizer.decode(&[2, 4, 5, 99_999]), "");
    assert!(tokenizer.encode("").is_empty());
}

#[test]
fn newlines_are_found() {
    let tokenizer = nano();
    let ids = tokenizer.encode("a\n        b");
    let found: Vec<bool> = ids.iter().map(|&id| tokenizer.contains_newline(id)).collect();
    assert_eq!(found, [false, true, false]);
    assert_eq!(tokenizer.token_bytes(ids[1]), b"\n        ");
}

#[test]
fn special_spellings_are_only_text() {
    let tokenizer = nano();
    for text in ["<mask>", "a <delete><eos> b", "<bos>\n<text>"] {
        let ids = tokenizer.encode(text);
        assert!(!ids.iter().any(|&id| tokenizer.is_special(id)), "{ids:?}");
        assert_eq!(tokenizer.decode(&ids), text);
    }
}

/// With `ignore_merges` a piece that is in the vocabulary as a whole becomes that token, special or not.
#[test]
fn a_vocabulary_cannot_lead_text_to_a_special_token() {
    let tokenizer = read_fallback(|json| json["model"]["ignore_merges"] = json!(true)).unwrap();
    let ids = tokenizer.encode("<eos>");
    assert!(!ids.contains(&1), "{ids:?}");
    assert_eq!(tokenizer.decode(&ids), "<eos>");
}

#[test]
fn a_character_may_be_spread_over_tokens() {
    let tokenizer = nano();
    let ids = tokenizer.encode("\u{e000}");
    assert!(ids.len() > 1, "{ids:?}");
    let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.token_bytes(id)).copied().collect();
    assert_eq!(bytes, "\u{e000}".as_bytes());
    assert_eq!(tokenizer.decode(&ids[..1]), "\u{fffd}");
}

#[test]
fn reads_the_spelling_with_byte_fallback() {
    let tokenizer = read_fallback(|_| ()).unwrap();
    assert_eq!(tokenizer.encode(" ab a"), [5, 4, 5]);
    assert_eq!(tokenizer.token_bytes(5), b" a");
    assert_eq!(tokenizer.token_bytes(9 + 0xAB), [0xab]);
    assert_eq!(tokenizer.decode(&tokenizer.encode("é 字\t<0x41>")), "é 字\t<0x41>");
    assert!(tokenizer.contains_newline(7) && tokenizer.contains_newline(9 + 10));
}

/// The tokenizer of `fixtures/golden/chat-bf16`, which was trained, read once.
fn trained() -> &'static Tokenizer {
    static READ: LazyLock<Tokenizer> = LazyLock::new(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/golden/chat-bf16/tokenizer.json");
        Tokenizer::from_json(&path, &std::fs::read(&path).unwrap(), 640).unwrap()
    });
    &READ
}

#[test]
fn texts_are_encoded_as_the_reference_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/golden/chat-bf16/encodings.json");
    let expected: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let texts = expected["texts"].as_array().unwrap();
    assert!(texts.len() >= 10, "{texts:?}");
    for text in texts {
        let ids: Vec<u64> = trained().encode(text["text"].as_str().unwrap()).into_iter().map(u64::from).collect();
        assert_eq!(json!(ids), text["ids"], "{}", text["text"]);
    }
}

#[test]
fn what_stands_for_a_blank_is_no_blank_in_a_text() {
    let tokenizer = read_fallback(|_| ()).unwrap();
    let ids = tokenizer.encode("a▁a a");
    assert_eq!(ids, [3, 9 + 0xe2, 9 + 0x96, 9 + 0x81, 3, 5]);
    assert_eq!(tokenizer.decode(&ids), "a▁a a");
}

#[test]
fn a_text_that_the_rules_would_change_is_said_in_bytes() {
    // Nothing in the sample that every tokenizer has to give back tells of this rule.
    let tokenizer = read_fallback(|json| {
        json["normalizer"] = json!({"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            {"type": "Replace", "pattern": {"String": "Q"}, "content": "a"}
        ]});
    });
    let tokenizer = tokenizer.unwrap();
    assert_eq!(tokenizer.decode(&tokenizer.encode("a Q")), "a Q");
    assert_eq!(tokenizer.encode("a a"), [3, 5]);
}

#[test]
fn a_character_is_in_the_piece_where_it_begins() {
    let tokenizer = read_fallback(|_| ()).unwrap();
    let byte = |byte: u32| 9 + byte;
    let pieces = |ids: &[u32]| tokenizer.pieces(ids);
    assert_eq!(pieces(&[3, byte(0xc3), byte(0xa9), 1, 5]), ["a", "é", "", "", " a"]);
    assert_eq!(pieces(&[byte(0xc3), 3, byte(0xa9)]), ["\u{fffd}", "a", "\u{fffd}"]);
    assert_eq!(pieces(&[byte(0xf0), byte(0x9f)]), ["\u{fffd}", ""]);
    assert!(pieces(&[]).is_empty());
}

#[test]
fn padding_and_truncation_in_the_file_do_not_count() {
    let mut json: Value = serde_json::from_slice(NANO).unwrap();
    json["truncation"] = json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    json["padding"] = json!({
        "strategy": {"Fixed": 50}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "<pad>"
    });
    let changed = Tokenizer::from_json(Path::new("t"), json.to_string().as_bytes(), 8192).unwrap();
    let text = "fn main() {}";
    assert_eq!(changed.encode(text), nano().encode(text));
}

#[test]
fn what_would_lose_text_is_refused() {
    let change = |change: fn(&mut Value)| {
        let mut json = fallback();
        change(&mut json);
        refusal(json.to_string().as_bytes(), 300)
    };
    assert_eq!(change(|json| json["decoder"] = json!(null)), "not supported: a tokenizer without a decoder");
    assert_eq!(
        change(|json| json["decoder"] = json!({"type": "WordPiece", "prefix": "##", "cleanup": true})),
        "not supported: a tokenizer with the decoder \"WordPiece\""
    );
    assert_eq!(
        change(|json| json["decoder"]["decoders"] = json!([{"type": "Fuse"}])),
        "not supported: a tokenizer whose decoder knows no bytes"
    );
    assert_eq!(change(|json| json["model"]["dropout"] = json!(0.5)), "not supported: a tokenizer with dropout 0.5");
    assert_eq!(
        change(|json| json["normalizer"] = json!({"type": "Lowercase"})),
        "not supported: a tokenizer with normalizer {\"type\":\"Lowercase\"}"
    );
    assert_eq!(
        change(|json| json["normalizer"]["pattern"] = json!({"String": "A"})),
        "not supported: a tokenizer that does not give text back unchanged"
    );
    assert_eq!(
        change(|json| json["model"]["type"] = json!("Unigram")),
        "not supported: a tokenizer with a model of type \"Unigram\""
    );
    assert_eq!(
        change(|json| json["model"]["continuing_subword_prefix"] = json!("##")),
        "not supported: a tokenizer with continuing_subword_prefix \"##\""
    );
    let greedy = change(|json| {
        json["added_tokens"] = json!([{"id": 3, "content": "a", "single_word": false, "lstrip": true,
            "rstrip": false, "normalized": false, "special": false}]);
    });
    assert!(greedy.starts_with("not supported: a tokenizer with the added token {"), "{greedy}");
    assert_eq!(
        change(|json| {
            json["model"]["vocab"].as_object_mut().unwrap().remove("<0x7F>");
        }),
        "not supported: a tokenizer without a token for the byte 0x7f"
    );
}

#[test]
fn a_broken_file_gets_one_sentence() {
    for json in [&b""[..], b"{}", b"[1]", b"\xff", &NANO[..5000]] {
        let error = refusal(json, 8192);
        assert!(error.starts_with("cannot be read as a tokenizer: "), "{error}");
    }
    let broken = |change: fn(&mut Value)| {
        let mut json = fallback();
        change(&mut json);
        let error = refusal(json.to_string().as_bytes(), 300);
        let reason = error.strip_prefix("cannot be read as a tokenizer: ");
        reason.expect("the file is damaged").to_owned()
    };
    assert_eq!(
        broken(|json| json["model"]["vocab"]["far"] = json!(300)),
        "token `far` has the id 300, but the model has 300 tokens"
    );
    assert_eq!(broken(|json| json["model"]["vocab"]["twin"] = json!(3)), "two tokens have the id 3");
    // The library would panic at these.
    assert_eq!(
        broken(|json| json["model"]["merges"] = json!([["a", "absent"]])),
        "the merge [\"a\",\"absent\"] does not make a token of two"
    );
    assert_eq!(
        broken(|json| json["model"]["merges"] = json!(["<pad> <pad>"])),
        "the merge \"<pad> <pad>\" does not make a token of two"
    );
    let added = broken(|json| {
        json["added_tokens"][0]["id"] = json!(300);
        json["added_tokens"][0]["content"] = json!("<new>");
        for id in 265..300 {
            json["model"]["vocab"][format!("filler {id}")] = json!(id);
        }
    });
    assert_eq!(added, "token `<new>` has the id 300, but the model has 300 tokens");
}

/// Text of code, of prose and of anything.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[ \\t\\na-z(){};<>|_=.0-9]{0,80}", "\\PC{0,40}", any::<String>()]
}

/// The same with what stands for a blank in some vocabularies, and the spelling of a byte.
fn any_text_with_marks() -> impl Strategy<Value = String> {
    prop_oneof![any_text(), "[ ▁a-c\\n\\r\\té漢🦀<>0xA]{0,40}"]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_comes_back(text in any_text()) {
        prop_assert_eq!(nano().decode(&nano().encode(&text)), text);
    }

    /// Wherever a text is cut, its parts encoded alone are the text again.
    #[test]
    fn a_text_may_be_cut_anywhere(text in any_text_with_marks(), at in any::<Index>()) {
        for tokenizer in [nano(), trained()] {
            let at = text.floor_char_boundary(at.index(text.len() + 1));
            let (before, after) = (tokenizer.encode(&text[..at]), tokenizer.encode(&text[at..]));
            prop_assert_eq!(tokenizer.decode(&before), &text[..at]);
            prop_assert_eq!(tokenizer.decode(&after), &text[at..]);
            prop_assert_eq!(tokenizer.pieces(&[before, after].concat()).concat(), text.as_str());
        }
    }

    /// LAYOUT.md promises that a split before a newline changes no token.
    #[test]
    fn no_token_crosses_the_beginning_of_a_newline(before in any_text(), after in any_text()) {
        let tokenizer = nano();
        let after = format!("\n{after}");
        let apart = [tokenizer.encode(&before), tokenizer.encode(&after)].concat();
        prop_assert_eq!(tokenizer.encode(&format!("{before}{after}")), apart);
    }

    #[test]
    fn a_damaged_file_gets_an_answer(changes in prop::collection::vec(change(), 1..3)) {
        let mut json = fallback().to_string().into_bytes();
        let whole = 0..json.len();
        mutate(&mut json, whole, &changes);
        check_answer(&json)?;
    }

    #[test]
    fn any_value_in_a_file_gets_an_answer(replacements in replacements()) {
        let mut json = fallback();
        // Without the vocabulary, in which the other places would drown.
        let vocabulary = json["model"]["vocab"].take();
        replace(&mut json, &replacements);
        if let Some(place @ Value::Null) = json.pointer_mut("/model/vocab") {
            *place = vocabulary;
        }
        check_answer(json.to_string().as_bytes())?;
    }
}

/// A damaged file is refused in one line, or still gives text back.
fn check_answer(json: &[u8]) -> Result<(), TestCaseError> {
    match Tokenizer::from_json(Path::new("tokenizer.json"), json, 300) {
        Ok(tokenizer) => {
            let text = "fn a(b) {\n    ab }";
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(text)), text);
        }
        Err(error) => {
            let line = error.to_string();
            prop_assert!(!line.contains(['\n', '\r']), "{line:?}");
        }
    }
    Ok(())
}
