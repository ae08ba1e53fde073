//! What an edit costs, from the client's bytes to its effect, in documents of several sizes.
//!
//! Each iteration is one `didChange`; a request after a batch of them says that all have been taken in, so that its
//! own cost and that of the threads' meeting are spread over the batch. With `and_tree`, the request after each edit
//! wants the document's tree.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use lacuna_engine::Error;
use serde_json::{Value, json};

const EDITS_A_BATCH: u64 = 64;

/// A server that never gets an engine, and its only client.
struct Editor {
    to_server: PipeWriter,
    from_server: BufReader<PipeReader>,
    version: i32,
    requests: i64,
}

impl Editor {
    fn open(language_id: &str, text: &str) -> Self {
        let (server_input, to_server) = std::io::pipe().expect("a pipe");
        let (from_server, server_output) = std::io::pipe().expect("a pipe");
        std::thread::spawn(move || {
            let none =
                |_: &lacuna_server::settings::Settings| Err(Error::Request("this server has no engine".to_owned()));
            lacuna_server::lsp::serve(server_input, server_output, none).expect("the server runs");
        });
        let mut editor = Self { to_server, from_server: BufReader::new(from_server), version: 1, requests: 0 };
        let literals = json!({ "codeActionKind": { "valueSet": ["refactor.rewrite"] } });
        let capabilities = json!({ "textDocument": { "codeAction": { "codeActionLiteralSupport": literals } } });
        editor.ask("initialize", json!({ "capabilities": capabilities }));
        let document = json!({ "uri": "file:///a", "languageId": language_id, "version": 1, "text": text });
        editor.send(json!({ "method": "textDocument/didOpen", "params": { "textDocument": document } }));
        editor.ask_for_actions("refactor.rewrite");
        editor
    }

    /// Types a letter, or takes it away again.
    fn edit(&mut self, line: usize, character: usize) {
        self.version += 1;
        let is_there = self.version % 2 == 1;
        let at = json!({ "line": line, "character": character });
        let end = json!({ "line": line, "character": character + usize::from(is_there) });
        let change = json!({ "range": { "start": at, "end": end }, "text": if is_there { "" } else { "x" } });
        let document = json!({ "uri": "file:///a", "version": self.version });
        let params = json!({ "textDocument": document, "contentChanges": [change] });
        self.send(json!({ "method": "textDocument/didChange", "params": params }));
    }

    /// Asks for code actions of a kind: one that the server has needs the tree, and one that it has not is answered
    /// at once. Either answer comes after the effects of all edits before it.
    fn ask_for_actions(&mut self, kind: &str) {
        let at = json!({ "line": 0, "character": 0 });
        self.ask(
            "textDocument/codeAction",
            json!({
                "textDocument": { "uri": "file:///a" },
                "range": { "start": at, "end": at },
                "context": { "diagnostics": [], "only": [kind] },
            }),
        );
    }

    fn ask(&mut self, method: &str, params: Value) {
        self.requests += 1;
        let id = self.requests;
        self.send(json!({ "id": id, "method": method, "params": params }));
        while self.read()["id"] != id {}
    }

    fn send(&mut self, mut message: Value) {
        message["jsonrpc"] = "2.0".into();
        let body = message.to_string();
        write!(self.to_server, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("the server reads");
    }

    fn read(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.from_server.read_line(&mut line).expect("the server writes");
            match line.trim_end().strip_prefix("Content-Length: ") {
                Some(value) => length = value.parse().expect("a length"),
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.from_server.read_exact(&mut body).expect("the server writes");
        serde_json::from_slice(&body).expect("a message is JSON")
    }
}

fn lines(count: usize) -> String {
    (0..count).map(|line| format!("const A{line}: u32 = {line};\n")).collect()
}

fn edits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("edit");
    for (name, language_id, text, line, character) in [
        ("1k_lines", "rust", lines(1_000), 500, 6),
        ("100k_lines", "rust", lines(100_000), 50_000, 6),
        ("1_mb_line", "plaintext", "漢x".repeat(250_000), 0, 250_000),
    ] {
        let mut editor = Editor::open(language_id, &text);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let start = Instant::now();
                for iteration in 0..iterations {
                    editor.edit(line, character);
                    if iteration % EDITS_A_BATCH == EDITS_A_BATCH - 1 {
                        editor.ask_for_actions("quickfix");
                    }
                }
                editor.ask_for_actions("quickfix");
                start.elapsed()
            });
        });
    }
    group.finish();
}

fn edits_and_trees(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("edit_and_tree");
    group.sample_size(10);
    for (name, count) in [("1k_lines", 1_000), ("100k_lines", 100_000)] {
        let mut editor = Editor::open("rust", &lines(count));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                editor.edit(count / 2, 6);
                editor.ask_for_actions("refactor.rewrite");
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = edits, edits_and_trees
}
criterion_main!(benches);
