use serde_json::{Value, json};

use crate::random::Random;
use crate::wire::framed;

const REQUESTS: [&str; 14] = [
    "textDocument/inlineCompletion",
    "textDocument/inlineCompletion",
    "textDocument/inlineCompletion",
    "textDocument/codeAction",
    "textDocument/codeAction",
    "codeAction/resolve",
    "textDocument/formatting",
    "textDocument/rangeFormatting",
    "workspace/executeCommand",
    "textDocument/hover",
    "lacuna/nothing",
    "initialize",
    "$/unknown",
    "",
];

const NOTIFICATIONS: [&str; 12] = [
    "textDocument/didOpen",
    "textDocument/didChange",
    "textDocument/didChange",
    "textDocument/didChange",
    "textDocument/didClose",
    "textDocument/didSave",
    "workspace/didChangeConfiguration",
    "workspace/didChangeWatchedFiles",
    "$/setTrace",
    "$/cancelRequest",
    "initialized",
    "textDocument/inlineCompletion",
];

/// Makes messages up: some of them right, most of them not.
pub(crate) struct Messages {
    pub(crate) random: Random,
}

impl Messages {
    pub(crate) fn new(random: Random) -> Self {
        Self { random }
    }

    pub(crate) fn capabilities(&mut self) -> Value {
        let encodings = self.random.pick(&[json!(["utf-8"]), json!(["utf-16"]), json!(["utf-32"]), json!([])]);
        json!({ "general": { "positionEncodings": encodings } })
    }

    /// A request that is well formed, whatever it asks for.
    pub(crate) fn request(&mut self) -> (&'static str, Value) {
        let method = self.random.pick(&REQUESTS);
        let params = match method {
            "textDocument/inlineCompletion" => self.completion(),
            "textDocument/codeAction" => {
                json!({ "textDocument": { "uri": self.uri() }, "range": self.range(), "context": { "diagnostics": [] } })
            }
            "codeAction/resolve" => {
                let data = json!({ "uri": self.uri(), "version": self.random.below(4), "position": self.position() });
                json!({ "title": "Fill", "kind": "refactor.rewrite", "data": data })
            }
            "textDocument/formatting" | "textDocument/rangeFormatting" => {
                json!({ "textDocument": { "uri": self.uri() }, "range": self.range(), "options": { "tabSize": 4, "insertSpaces": true } })
            }
            "workspace/executeCommand" => {
                let command = self.random.pick(&["lacuna.formatMarkdown", "lacuna.fillAll", "lacuna.status", "rm"]);
                json!({ "command": command, "arguments": [self.uri()] })
            }
            _ => self.nonsense(3),
        };
        (method, if self.random.chance(0.2) { self.spoilt(params) } else { params })
    }

    pub(crate) fn completion(&mut self) -> Value {
        json!({
            "textDocument": { "uri": self.uri() },
            "position": self.position(),
            "context": { "triggerKind": self.random.below(4) },
        })
    }

    pub(crate) fn notification(&mut self) -> (&'static str, Value) {
        let method = self.random.pick(&NOTIFICATIONS);
        let params = match method {
            "textDocument/didOpen" => {
                let language = self.random.pick(&["rust", "python", "markdown", "", "klingon"]);
                let (uri, version, text) = (self.uri(), self.version(), self.text());
                json!({ "textDocument": { "uri": uri, "languageId": language, "version": version, "text": text } })
            }
            "textDocument/didChange" => {
                let changes: Vec<Value> = (0..self.random.below(4))
                    .map(|_| match self.random.below(6) {
                        0 => json!({ "text": self.text() }),
                        1 => json!({ "range": self.range(), "rangeLength": self.coordinate(), "text": self.text() }),
                        _ => json!({ "range": self.range(), "text": self.text() }),
                    })
                    .collect();
                json!({ "textDocument": { "uri": self.uri(), "version": self.version() }, "contentChanges": changes })
            }
            "textDocument/didClose" | "textDocument/didSave" => json!({ "textDocument": { "uri": self.uri() } }),
            "textDocument/inlineCompletion" => self.completion(),
            "$/cancelRequest" => json!({ "id": self.nonsense(1) }),
            "initialized" => json!({}),
            _ => self.nonsense(3),
        };
        (method, if self.random.chance(0.2) { self.spoilt(params) } else { params })
    }

    pub(crate) fn unasked_response(&mut self, id: Value) -> Value {
        let id = if self.random.chance(0.5) { id } else { self.nonsense(1) };
        match self.random.below(3) {
            0 => json!({ "jsonrpc": "2.0", "id": id, "result": self.nonsense(3) }),
            1 => json!({ "jsonrpc": "2.0", "id": id, "error": self.nonsense(3) }),
            _ => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -1, "message": "no" }, "result": null }),
        }
    }

    /// Bytes that are no message, or one that has suffered.
    pub(crate) fn broken_bytes(&mut self) -> Vec<u8> {
        match self.random.below(10) {
            0 => (0..self.random.below(200)).map(|_| self.random.byte()).collect(),
            1 => {
                let length =
                    self.random.pick(&["-1", "+7", "1e3", "", "99999999999999999999999", "60000000", "70000000"]);
                format!("Content-Length: {length}\r\n\r\n").into_bytes()
            }
            2 => {
                let header = self.random.pick(&[
                    "Content-Length: 5",
                    "Content-Length: 5\r\n",
                    "Content-Length: 5\r\n\r",
                    "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
                    "Content-Type: text/plain; charset=latin-1\r\nContent-Length: 2\r\n\r\n{}",
                    "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                    "\n\n\n\r\n",
                ]);
                header.as_bytes().to_vec()
            }
            3 => {
                let depth = self.random.pick(&[90, 128, 5_000, 100_000]);
                let (open, close) = self.random.pick(&[("[", "]"), ("{\"a\":", "}")]);
                let nested = format!("{}0{}", open.repeat(depth), close.repeat(depth));
                framed(&format!(r#"{{"jsonrpc":"2.0","method":"lacuna/deep","params":{nested}}}"#))
            }
            4 => {
                let escape = self.random.pick(&[
                    "\\ud800",
                    "\\udc00\\ud800",
                    "\\ud83d\\ude00\\ud83d",
                    "\\u12",
                    "\\ud800\\u0041",
                ]);
                let uri = self.uri();
                framed(&format!(
                    r#"{{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{{"textDocument":{{"uri":{uri},"languageId":"python","version":1,"text":"a = '{escape}'"}}}}}}"#
                ))
            }
            5 => framed(&self.nonsense(3).to_string()),
            6 => {
                framed(&json!({ "jsonrpc": self.nonsense(1), "id": "mutant", "method": self.nonsense(1) }).to_string())
            }
            _ => {
                let mut bytes = self.mutable_frame();
                for _ in 0..=self.random.below(3) {
                    self.damage(&mut bytes);
                }
                bytes
            }
        }
    }

    fn mutable_frame(&mut self) -> Vec<u8> {
        let mut message = json!({ "jsonrpc": "2.0" });
        if self.random.chance(0.5) {
            message["id"] = json!("mutant");
            (message["method"], message["params"]) = {
                let (method, params) = self.request();
                (json!(method), params)
            };
        } else {
            (message["method"], message["params"]) = {
                let (method, params) = self.notification();
                (json!(method), params)
            };
        }
        framed(&message.to_string())
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let at = self.random.below(bytes.len() + 1);
        let until = (at + self.random.below(20)).min(bytes.len());
        match self.random.below(5) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..until)),
            2 => {
                let copy = bytes[at..until].to_vec();
                bytes.splice(at..at, copy);
            }
            3 => bytes.insert(at, self.random.byte()),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.random.below(8);
                }
            }
        }
    }

    /// The same value with something of it taken away or made something else.
    fn spoilt(&mut self, value: Value) -> Value {
        match value {
            Value::Object(mut fields) if !fields.is_empty() && self.random.chance(0.9) => {
                let names: Vec<String> = fields.keys().cloned().collect();
                let name = self.random.pick(&names);
                let field = fields.remove(&name).unwrap_or_default();
                if self.random.chance(0.8) {
                    fields.insert(name, self.spoilt(field));
                }
                Value::Object(fields)
            }
            _ => self.nonsense(2),
        }
    }

    fn nonsense(&mut self, depth: usize) -> Value {
        match self.random.below(if depth == 0 { 6 } else { 8 }) {
            0 => Value::Null,
            1 => json!(self.random.chance(0.5)),
            2 => json!(self.random.pick(&[-1_i64, 0, 1, 400, i64::MAX, i64::MIN])),
            3 => json!(self.random.pick(&[0.5, -1e300, 1e18])),
            4 => self.text(),
            5 => json!(self.random.pick(&["", "mutant", "uri", "😀", "\u{0}"])),
            6 => (0..self.random.below(4)).map(|_| self.nonsense(depth - 1)).collect(),
            _ => {
                let names = ["textDocument", "position", "uri", "line", "character", "range", "context", "", "id"];
                let fields =
                    (0..self.random.below(4)).map(|_| (self.random.pick(&names).to_owned(), self.nonsense(depth - 1)));
                Value::Object(fields.collect())
            }
        }
    }

    fn uri(&mut self) -> Value {
        json!(self.random.pick(&[
            "file:///a.rs",
            "file:///a.rs",
            "file:///b.py",
            "file:///c.md",
            "file:///%F0%9F%98%80.rs",
            "untitled:Untitled-1",
            "file:///.env",
            "file:///nowhere.rs",
            "http://[broken",
            "",
        ]))
    }

    fn version(&mut self) -> Value {
        json!(self.random.pick(&[0_i64, 1, 2, 3, -1, i32::MAX.into(), i64::MAX]))
    }

    fn range(&mut self) -> Value {
        json!({ "start": self.position(), "end": self.position() })
    }

    fn position(&mut self) -> Value {
        json!({ "line": self.coordinate(), "character": self.coordinate() })
    }

    fn coordinate(&mut self) -> Value {
        match self.random.below(12) {
            0 => json!(u32::MAX),
            1 => json!(u64::MAX),
            2 => json!(-1),
            3 => json!(1.5),
            _ => json!(self.random.below(8)),
        }
    }

    fn text(&mut self) -> Value {
        let pieces = [
            "fn f() {\n    todo!()\n}\n",
            "def f():\n    pass\n",
            "x",
            "😀",
            "漢\r\n",
            "\r",
            "\u{2028}",
            "e\u{301}",
            "(",
            "# a\n",
        ];
        json!((0..self.random.below(6)).map(|_| self.random.pick(&pieces)).collect::<String>())
    }
}
