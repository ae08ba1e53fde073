//! An editor as the tests need it: it sends what it is told to, and keeps account of every answer.

#[path = "wire.rs"]
mod wire;

use std::collections::HashSet;
use std::io::{BufReader, Read, Write};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) use wire::framed;
use wire::read_message;

/// Far longer than anything here takes: past this a test has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// One connection to a server.
pub(crate) struct Client {
    to_server: Option<Box<dyn Write + Send>>,
    from_server: mpsc::Receiver<Value>,
    /// What has come and has not been asked for yet.
    unread: Vec<Value>,
    asked: HashSet<i64>,
    answered: HashSet<i64>,
}

impl Client {
    /// Speaks with a server that reads from one stream and writes to the other.
    pub(crate) fn new(to_server: impl Write + Send + 'static, from_server: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut from_server = BufReader::new(from_server);
            while let Some(message) = read_message(&mut from_server) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self {
            to_server: Some(Box::new(to_server)),
            from_server: receiver,
            unread: Vec::new(),
            asked: HashSet::new(),
            answered: HashSet::new(),
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let to_server = self.to_server.as_mut().expect("the input is still open");
        to_server.write_all(bytes).and_then(|()| to_server.flush()).expect("the server reads");
    }

    /// Sends a message as it is.
    pub(crate) fn send(&mut self, message: &Value) {
        self.send_bytes(&framed(&message.to_string()));
    }

    pub(crate) fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Sends a request and gives its id.
    pub(crate) fn request(&mut self, method: &str, params: Value) -> i64 {
        let id = i64::try_from(self.asked.len()).expect("few requests") + 1;
        self.asked.insert(id);
        let mut message = json!({ "jsonrpc": "2.0", "id": id, "method": method });
        // Some methods have no parameters, not even null ones.
        if !params.is_null() {
            message["params"] = params;
        }
        self.send(&message);
        id
    }

    /// Waits for the response to a request.
    pub(crate) fn response(&mut self, id: i64) -> Value {
        self.wait_for(|message| message.get("method").is_none() && message["id"] == id)
    }

    /// Sends a request and waits for its result, which must not be an error.
    pub(crate) fn result(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params);
        self.result_of(id)
    }

    /// Waits for a request's result, which must not be an error.
    pub(crate) fn result_of(&mut self, id: i64) -> Value {
        let response = self.response(id);
        response.get("result").cloned().unwrap_or_else(|| panic!("an error: {response}"))
    }

    /// Waits for a request's error code.
    pub(crate) fn error_of(&mut self, id: i64) -> i64 {
        let response = self.response(id);
        response["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {response}"))
    }

    /// Waits for a notification or a request from the server and gives the whole message.
    pub(crate) fn message(&mut self, method: &str) -> Value {
        self.wait_for(|message| message["method"] == method)
    }

    /// Waits for a message that is like this.
    pub(crate) fn wait_for(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(index) = self.unread.iter().position(&is_it) {
                return self.unread.remove(index);
            }
            let message = self.from_server.recv_timeout(PATIENCE).expect("the server answers");
            self.note(message);
        }
    }

    /// The usual beginning: gives the server's capabilities. No request waits for typing to rest.
    pub(crate) fn initialize(&mut self, capabilities: Value) -> Value {
        self.initialize_with(capabilities, json!({ "inlineCompletion": { "debounceMs": 0 } }))
    }

    /// A beginning with settings.
    pub(crate) fn initialize_with(&mut self, capabilities: Value, settings: Value) -> Value {
        let params = json!({
            "processId": null,
            "rootUri": null,
            "capabilities": capabilities,
            "initializationOptions": settings,
        });
        let result = self.result("initialize", params);
        self.notify("initialized", json!({}));
        result["capabilities"].clone()
    }

    pub(crate) fn open(&mut self, uri: &str, language_id: &str, text: &str) {
        let document = json!({ "uri": uri, "languageId": language_id, "version": 1, "text": text });
        self.notify("textDocument/didOpen", json!({ "textDocument": document }));
    }

    /// Replaces one range of a document; positions are a line and a character each.
    pub(crate) fn change(&mut self, uri: &str, version: i32, start: (u32, u32), end: (u32, u32), text: &str) {
        let range = json!({ "start": position(start), "end": position(end) });
        let params = json!({
            "textDocument": { "uri": uri, "version": version },
            "contentChanges": [{ "range": range, "text": text }],
        });
        self.notify("textDocument/didChange", params);
    }

    /// Asks for inline completions as an editor does on its own, and gives the request's id.
    pub(crate) fn ask(&mut self, uri: &str, at: (u32, u32)) -> i64 {
        self.request("textDocument/inlineCompletion", inline_completion(uri, at, 2))
    }

    /// Ends the server's input, waits for the end of its output, and gives the unread messages. Every request must
    /// have been answered, and once only.
    pub(crate) fn finish(mut self) -> Vec<Value> {
        self.to_server = None;
        self.wait_for_end()
    }

    /// The same, but the server's input stays open until it has ended.
    pub(crate) fn wait_for_end(mut self) -> Vec<Value> {
        loop {
            match self.from_server.recv_timeout(PATIENCE) {
                Ok(message) => self.note(message),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the server does not end"),
            }
        }
        assert_eq!(self.answered, self.asked, "not every request was answered");
        self.unread
    }

    fn note(&mut self, message: Value) {
        if message.get("method").is_none()
            && let Some(id) = message["id"].as_i64()
        {
            assert!(self.answered.insert(id), "answered twice: {message}");
        }
        self.unread.push(message);
    }
}

/// The parameters of an inline completion request.
pub(crate) fn inline_completion(uri: &str, at: (u32, u32), trigger_kind: u32) -> Value {
    json!({
        "textDocument": { "uri": uri },
        "position": position(at),
        "context": { "triggerKind": trigger_kind },
    })
}

pub(crate) fn position((line, character): (u32, u32)) -> Value {
    json!({ "line": line, "character": character })
}
