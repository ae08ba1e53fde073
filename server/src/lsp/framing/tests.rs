use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::prop_oneof;
use serde_json::{Value, json};

use super::{Frame, Framing};

const LIMIT: usize = 1 << 16;

fn framed(body: &str) -> Vec<u8> {
    format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Each frame as JSON.
fn frames(bytes: &[u8], piece_bytes: usize) -> Vec<Value> {
    let bodies = bodies(bytes, piece_bytes);
    bodies.iter().map(|body| serde_json::from_slice(body).expect("what is passed on is JSON")).collect()
}

/// Feeds the bytes in pieces of the given size, and gives each frame's body: a message's or a refusal's.
fn bodies(bytes: &[u8], piece_bytes: usize) -> Vec<Vec<u8>> {
    let mut framing = Framing::new(LIMIT);
    let mut bodies = Vec::new();
    for piece in bytes.chunks(piece_bytes.max(1)) {
        framing.push(piece);
        while let Some(frame) = framing.next_frame() {
            bodies.push(match frame {
                Frame::Message(message) => message.body,
                Frame::Refused(refusal) => refusal.to_body(),
            });
        }
    }
    bodies
}

fn is_understood_by_framework(body: &[u8]) -> bool {
    serde_json::from_slice::<tower_lsp::jsonrpc::Request>(body).is_ok()
        || serde_json::from_slice::<tower_lsp::jsonrpc::Response>(body).is_ok()
}

fn code(frame: &Value) -> Option<i64> {
    frame["error"]["code"].as_i64()
}

fn ping() -> Value {
    json!({ "jsonrpc": "2.0", "method": "ping", "id": 7 })
}

/// Whatever stands before it, a whole message is understood.
fn assert_recovers(garbage: &[u8]) {
    let mut bytes = garbage.to_vec();
    bytes.extend(framed(&ping().to_string()));
    for piece_bytes in [1, 2, 3, 7, bytes.len()] {
        let frames = frames(&bytes, piece_bytes);
        assert_eq!(frames.last(), Some(&ping()), "in pieces of {piece_bytes}");
        assert!(frames[..frames.len() - 1].iter().all(|frame| code(frame).is_some()), "{frames:?}");
        assert!(frames.len() > 1, "the garbage went unanswered");
    }
}

#[test]
fn messages_pass_one_after_the_other() {
    let bytes = [framed(&ping().to_string()), framed(r#"{"jsonrpc":"2.0","method":"exit"}"#)].concat();
    let expected = [ping(), json!({ "jsonrpc": "2.0", "method": "exit" })];
    assert_eq!(frames(&bytes, bytes.len()), expected);
    assert_eq!(frames(&bytes, 1), expected);
}

#[test]
fn a_header_is_read_leniently_where_that_is_safe() {
    let body = ping().to_string();
    for header in [
        format!("content-length:{}\r\n\r\n", body.len()),
        format!("Content-Length: {}\n\n", body.len()),
        format!("Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: {}\r\n\r\n", body.len()),
        format!("Content-Length: {}\r\nContent-Type: application/json\r\n\r\n", body.len()),
        format!("Content-Type: application/vscode-jsonrpc\r\nContent-Length: {}\r\n\r\n", body.len()),
        format!("\r\n\r\nContent-Length: {}\r\n\r\n", body.len()),
    ] {
        assert_eq!(frames(format!("{header}{body}").as_bytes(), 3), [ping()], "{header:?}");
    }
}

#[test]
fn what_is_no_message_is_answered_and_the_next_header_found() {
    assert_recovers(b"hello\r\n\r\n");
    assert_recovers(b"{\"jsonrpc\":\"2.0\",\"method\":\"exit\"}");
    assert_recovers(b"Content-Length: abc\r\n\r\n{}");
    assert_recovers(b"Content-Length: -5\r\n\r\n{}");
    assert_recovers(b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n{}");
    assert_recovers(b"Content-Type: text/plain\r\n\r\n{}");
    assert_recovers(b"Content-Type: application/json; charset=latin1\r\nContent-Length: 2\r\n\r\n{}");
    assert_recovers(b"Content-Length: 99999999999999999999999\r\n\r\n{}");
    assert_recovers(b"Content-Length: 1000\r\nX");
    assert_recovers(b"Content-Length: 3\r\n\r\n{");
    // The body is no JSON; no message; too short; too long; longer than is allowed.
    assert_recovers(&framed("{\"jsonrpc\":\"2.0\",\"method\":"));
    assert_recovers(&framed("[]"));
    assert_recovers(b"Content-Length: 10\r\n\r\n{\"jsonrpc\":\"2.0\",\"method\":\"exit\"}");
    assert_recovers(b"Content-Length: 2000\r\n\r\n{\"jsonrpc\":\"2.0\",\"method\":\"exit\"}");
    assert_recovers(format!("Content-Length: {}\r\n\r\n{}", LIMIT + 1, " ".repeat(LIMIT + 1)).as_bytes());
    assert_recovers(&framed("{\"jsonrpc\":\"2.0\",\"method\":\"\u{7f}\\uZZZZ\"}"));
    assert_recovers(b"Content-Length: 4\r\n\r\n\"\xff\xfe\"");
    assert_recovers(&framed(&"[".repeat(5000)));
    assert_recovers(&vec![b'x'; 3 * LIMIT]);
}

#[test]
fn bad_json_is_answered_with_its_own_code() {
    let frames = frames(&framed("{\"jsonrpc\":"), 4);
    assert_eq!(frames.len(), 1);
    assert_eq!((code(&frames[0]), &frames[0]["id"]), (Some(-32700), &Value::Null));
}

#[test]
fn json_that_is_no_message_is_refused_under_its_id() {
    for (body, id) in [
        (json!({ "jsonrpc": "2.0", "id": 3 }), json!(3)),
        (json!({ "jsonrpc": "1.0", "id": "a", "method": "m" }), json!("a")),
        (json!({ "id": 3, "method": "m" }), json!(3)),
        (json!({ "jsonrpc": "2.0", "id": 3, "method": 4 }), json!(3)),
        (json!({ "jsonrpc": "2.0", "id": 1.5, "method": "m" }), Value::Null),
        (json!({ "jsonrpc": "2.0", "id": u64::MAX, "method": "m" }), Value::Null),
        (json!({ "jsonrpc": "2.0", "id": [1], "method": "m" }), Value::Null),
        (json!([{ "jsonrpc": "2.0", "id": 3, "method": "m" }]), Value::Null),
        (json!("m"), Value::Null),
    ] {
        let frames = frames(&framed(&body.to_string()), 5);
        assert_eq!(frames.len(), 1, "{body}");
        assert_eq!((code(&frames[0]), &frames[0]["id"]), (Some(-32600), &id), "{body}");
    }
}

#[test]
fn an_unknown_request_of_the_protocol_itself_is_refused_and_such_a_notification_is_not() {
    let request = json!({ "jsonrpc": "2.0", "method": "$/unknown", "id": "a" });
    let notification = json!({ "jsonrpc": "2.0", "method": "$/unknown" });
    let bytes = [framed(&request.to_string()), framed(&notification.to_string())].concat();
    let frames = frames(&bytes, bytes.len());
    assert_eq!((code(&frames[0]), &frames[0]["id"]), (Some(-32601), &json!("a")));
    assert_eq!(frames[1], notification);
}

#[test]
fn responses_are_brought_into_the_form_that_the_framework_takes() {
    for (response, expected) in [
        (json!({ "jsonrpc": "2.0", "id": 1, "result": [1] }), json!({ "jsonrpc": "2.0", "id": 1, "result": [1] })),
        (
            json!({ "jsonrpc": "2.0", "id": 1, "result": null, "error": { "code": 5, "message": "m", "more": 1 } }),
            json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": 5, "message": "m" } }),
        ),
        (
            json!({ "jsonrpc": "2.0", "id": "x", "error": "no" }),
            json!({ "jsonrpc": "2.0", "id": "x", "error": { "code": -32600, "message": "" } }),
        ),
    ] {
        assert_eq!(frames(&framed(&response.to_string()), 5), [expected]);
    }
}

#[test]
fn half_a_surrogate_pair_becomes_a_replacement_character() {
    for (escaped, expected) in [
        (r"a\ud83db", "a\u{fffd}b"),
        (r"a\ude00b", "a\u{fffd}b"),
        (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
        (r"\ud83d\n\ude00", "\u{fffd}\n\u{fffd}"),
        (r"\\ud83d\ud83d", "\\ud83d\u{fffd}"),
        (r"\uD83D", "\u{fffd}"),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","method":"m","params":["{escaped}"]}}"#);
        let expected = json!({ "jsonrpc": "2.0", "method": "m", "params": [expected] });
        assert_eq!(frames(&framed(&body), 9), [expected]);
    }
}

#[test]
fn positions_are_brought_into_range() {
    let position = |line: Value, character: Value| json!({ "line": line, "character": character });
    let body = json!({ "jsonrpc": "2.0", "method": "m", "params": { "ranges": [
        { "start": position(json!(-1), json!(3)), "end": position(json!(1e10), json!(2.5)) },
    ], "line": -4 } });
    let expected = json!({ "jsonrpc": "2.0", "method": "m", "params": { "ranges": [
        { "start": position(json!(0), json!(3)), "end": position(json!(u32::MAX), json!(2)) },
    ], "line": -4 } });
    assert_eq!(frames(&framed(&body.to_string()), 11), [expected]);
}

#[test]
fn an_unfinished_oversized_message_takes_no_memory() {
    let mut framing = Framing::new(LIMIT);
    framing.push(b"Content-Length: 4000000000\r\n\r\n");
    while framing.next_frame().is_some() {}
    for _ in 0..100 {
        framing.push(&[b'x'; 4096]);
        assert_eq!(framing.next_frame(), None);
    }
    assert!(framing.buffer.capacity() < LIMIT, "{} bytes are kept", framing.buffer.capacity());
}

/// Bytes that look like the protocol more often than chance would have it.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..12),
        proptest::sample::select(vec![
            &b"Content-Length: "[..],
            b"content-length:",
            b"Content-Le",
            b"Content-Type: text/plain",
            b"X-Other: 1",
            b"5",
            b"40",
            b"999999",
            b"\r\n",
            b"\n",
            b"\r",
            b"\r\n\r\n",
            b"{\"jsonrpc\":\"2.0\"",
            b"\"",
            b"\\ud83d",
            b"null",
            b"}",
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    proptest::collection::vec(fragment, 0..12).prop_map(|fragments| fragments.concat())
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 4000, ..Default::default() })]

    #[test]
    fn a_valid_message_gets_through_any_garbage(
        before in garbage(),
        after in garbage(),
        text in ".{0,40}",
        piece_bytes in 1_usize..40,
    ) {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "valid", "params": { "text": text } });
        let bytes = [before, framed(&message.to_string()), after].concat();
        let valid: Vec<Value> =
            frames(&bytes, piece_bytes).into_iter().filter(|frame| frame["method"] == "valid").collect();
        prop_assert_eq!(valid, vec![message]);
    }

    #[test]
    fn pieces_make_no_difference(before in garbage(), after in garbage(), piece_bytes in 1_usize..40) {
        let bytes = [before, framed(&ping().to_string()), after].concat();
        let answers = |piece_bytes| {
            let frames = frames(&bytes, piece_bytes);
            frames.into_iter().filter(|frame| code(frame).is_none()).collect::<Vec<_>>()
        };
        prop_assert_eq!(answers(piece_bytes), answers(bytes.len()));
    }

    #[test]
    fn whatever_is_passed_on_the_framework_understands(params in json_value(4), method in ".{0,8}", id in json_value(1)) {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": id });
        for body in bodies(&framed(&message.to_string()), LIMIT) {
            prop_assert!(is_understood_by_framework(&body));
        }
    }
}

#[test]
fn what_is_nested_too_deeply_is_refused_and_not_passed_on() {
    for depth in [1, 60, 120, 124, 125, 126, 127, 128, 129, 1000] {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{nested}}}"#);
        let bodies = bodies(&framed(&body), LIMIT);
        assert_eq!(bodies.len(), 1);
        assert!(is_understood_by_framework(&bodies[0]), "depth {depth}");
    }
}

fn json_value(depth: u32) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        proptest::strategy::Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("line|character|[a-z]{0,3}", inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}
