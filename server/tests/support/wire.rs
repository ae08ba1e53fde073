//! The base protocol, read as strictly as it is written: anything else on the server's output fails the test.

use std::io::BufRead;

use serde_json::Value;

/// A body with its header.
pub(crate) fn framed(body: &str) -> Vec<u8> {
    format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The next message, or `None` at the output's end.
pub(crate) fn read_message(from_server: &mut impl BufRead) -> Option<Value> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if from_server.read_line(&mut line).expect("the server's output is text") == 0 {
            assert_eq!(length, None, "the output ends inside a header");
            return None;
        }
        let line = line.strip_suffix("\r\n").unwrap_or_else(|| panic!("no line of a header: {line:?}"));
        match line.split_once(": ") {
            Some(("Content-Length", value)) => length = Some(value.parse().expect("a length")),
            Some(("Content-Type", _)) => {}
            _ if line.is_empty() => break,
            _ => panic!("no header: {line:?}"),
        }
    }
    let mut body = vec![0; length.expect("a Content-Length")];
    from_server.read_exact(&mut body).expect("a whole message");
    Some(serde_json::from_slice(&body).expect("a message is JSON"))
}
