use std::collections::HashMap;
use std::io::{BufReader, PipeWriter, Write};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use lacuna_engine::Infiller;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::random::Random;
use crate::wire::{framed, read_message};

/// Far longer than anything here takes: past this a test has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ids from here on are those of requests that must be answered; no broken message has such a one.
const FIRST_ID: i64 = 7_000_000;

/// A server and the account of what it owes.
pub(crate) struct Server {
    seed: u64,
    input: PipeWriter,
    output: mpsc::Receiver<Value>,
    thread: JoinHandle<()>,
    reader: JoinHandle<()>,
    /// For each id the methods that have been asked for and not been answered.
    owed: HashMap<String, Vec<String>>,
    responses: Vec<Value>,
    asked: Vec<Value>,
    is_ready: bool,
    encoding: String,
}

impl Server {
    pub(crate) fn start(seed: u64) -> Self {
        let (server_input, input) = std::io::pipe().expect("a pipe");
        let (from_server, server_output) = std::io::pipe().expect("a pipe");
        let thread = std::thread::spawn(move || {
            let load = |_: &lacuna_server::settings::Settings| Ok(Box::new(Engine::new()) as Box<dyn Infiller>);
            lacuna_server::lsp::serve(server_input, server_output, load).expect("the server runs");
        });
        let (sender, output) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut from_server = BufReader::new(from_server);
            while let Some(message) = read_message(&mut from_server) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self {
            seed,
            input,
            output,
            thread,
            reader,
            owed: HashMap::new(),
            responses: Vec::new(),
            asked: Vec::new(),
            is_ready: false,
            encoding: "utf-16".to_owned(),
        }
    }

    /// Units of the agreed encoding in an emoji.
    pub(crate) fn emoji_units(&self) -> usize {
        match self.encoding.as_str() {
            "utf-8" => '😀'.len_utf8(),
            "utf-16" => '😀'.len_utf16(),
            _ => 1,
        }
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.input.write_all(bytes).expect("the server reads");
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.send_bytes(&framed(&message.to_string()));
    }

    pub(crate) fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Sends a request under a new id, which it gives.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        let number = FIRST_ID + self.asked.len() as i64;
        let id = if number % 3 == 0 { json!(format!("request {number}")) } else { json!(number) };
        self.asked.push(id.clone());
        self.ask_as(id.clone(), method, params);
        id
    }

    /// Sends a request under an id that has been used before.
    pub(crate) fn ask_again(&mut self, random: &mut Random, method: &str, params: Value) {
        let id = self.some_id(random);
        self.ask_as(id, method, params);
    }

    /// An id that has been used, as soon as there is one.
    pub(crate) fn some_id(&self, random: &mut Random) -> Value {
        if self.asked.is_empty() { json!("request of nobody") } else { random.pick(&self.asked) }
    }

    fn ask_as(&mut self, id: Value, method: &str, params: Value) {
        self.owed.entry(id.to_string()).or_default().push(method.to_owned());
        let mut message = json!({ "jsonrpc": "2.0", "id": id, "method": method });
        if !params.is_null() {
            message["params"] = params;
        }
        self.send(&message);
    }

    /// Waits for a response to an id and takes it out of the account.
    pub(crate) fn response(&mut self, id: &Value) -> Value {
        loop {
            if let Some(index) = self.responses.iter().position(|response| response["id"] == *id) {
                return self.responses.swap_remove(index);
            }
            self.receive();
        }
    }

    pub(crate) fn wait_until_ready(&mut self) {
        while !self.is_ready {
            self.receive();
        }
    }

    /// Waits until nothing is owed.
    pub(crate) fn wait_for_all(&mut self) {
        while self.owed.values().any(|methods| !methods.is_empty()) {
            self.receive();
        }
    }

    /// Says goodbye; what still comes may be nothing that is owed to nobody.
    pub(crate) fn finish(mut self) {
        self.notify("exit", Value::Null);
        let Self { seed, input, output, thread, reader, mut owed, .. } = self;
        for message in output {
            settle(seed, &mut owed, &message);
        }
        thread.join().expect("the server does not panic");
        reader.join().expect("the output is the protocol alone");
        drop(input);
    }

    fn receive(&mut self) {
        let Ok(message) = self.output.recv_timeout(PATIENCE) else {
            self.owed.retain(|_, methods| !methods.is_empty());
            panic!("seed {}: the server does not answer {:?}", self.seed, self.owed);
        };
        settle(self.seed, &mut self.owed, &message);
        if message["method"] == "lacuna/status" && message["params"]["health"] == "ok" {
            self.is_ready = true;
        }
        if let Some(encoding) = message["result"]["capabilities"]["positionEncoding"].as_str() {
            self.encoding = encoding.to_owned();
        }
        if message.get("method").is_some() {
            if let Some(id) = message.get("id") {
                self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": null }));
            }
        } else {
            self.responses.push(message);
        }
    }
}

/// Takes a response out of the account of those that are owed.
fn settle(seed: u64, owed: &mut HashMap<String, Vec<String>>, message: &Value) {
    assert_eq!(message["jsonrpc"], "2.0", "seed {seed}: {message}");
    if message.get("method").is_some() {
        return;
    }
    assert!(message.get("result").is_some() != message.get("error").is_some(), "seed {seed}: {message}");
    // What is no message has no id that could be told; and broken messages may have any but those that are counted.
    let id = &message["id"];
    let is_counted = match id {
        Value::String(id) => id.starts_with("request "),
        id => id.as_i64().is_some_and(|id| id >= FIRST_ID),
    };
    if !is_counted {
        assert!(!id.is_null() || message["error"]["code"].is_i64(), "seed {seed}: {message}");
        return;
    }
    let answered = owed.get_mut(&id.to_string()).and_then(Vec::pop);
    assert!(answered.is_some(), "seed {seed}: nobody asked for {message}");
}
