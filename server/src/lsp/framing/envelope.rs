use serde_json::{Map, Value, json};

/// A message that the framework will understand.
#[derive(Debug, PartialEq)]
pub(crate) struct Message {
    /// The body, written anew.
    pub(crate) body: Vec<u8>,
    /// The method and, but for a notification, the id; `None` for a response.
    pub(crate) call: Option<Call>,
}

/// What a request or a notification asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) id: Option<Value>,
}

/// The answer to something that does not get as far as the framework.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal {
    id: Value,
    code: i64,
    message: String,
}

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;

impl Refusal {
    /// The answer to bytes that are no JSON, or not even a body.
    pub(super) fn unreadable(reason: &str) -> Self {
        Self { id: Value::Null, code: PARSE_ERROR, message: format!("Parse error: {reason}") }
    }

    fn invalid(id: Value, reason: &str) -> Self {
        Self { id, code: INVALID_REQUEST, message: format!("Invalid request: {reason}") }
    }

    fn unknown(id: Value) -> Self {
        Self { id, code: METHOD_NOT_FOUND, message: "Method not found".to_owned() }
    }

    pub(super) fn is_unreadable(&self) -> bool {
        self.code == PARSE_ERROR
    }

    /// What went wrong, without any of the client's text.
    pub(crate) fn reason(&self) -> &str {
        &self.message
    }

    /// The response's body.
    pub(crate) fn to_body(&self) -> Vec<u8> {
        let error = json!({ "code": self.code, "message": self.message });
        json!({ "jsonrpc": "2.0", "id": self.id, "error": error }).to_string().into_bytes()
    }
}

/// Reads a body, and writes it anew with nothing in it that the framework would stumble over.
pub(super) fn decode(body: &[u8]) -> Result<Message, Refusal> {
    let value = parse_json(body).map_err(|error| Refusal::unreadable(&reason_of(&error)))?;
    let Value::Object(mut fields) = value else {
        return Err(Refusal::invalid(Value::Null, "a message is an object"));
    };
    let id = match fields.remove("id") {
        None => None,
        Some(id @ (Value::Null | Value::String(_))) => Some(id),
        Some(Value::Number(number)) if number.is_i64() => Some(Value::Number(number)),
        Some(_) => {
            return Err(Refusal::invalid(Value::Null, "an id is an integer or a string"));
        }
    };
    let invalid = |reason| Err(Refusal::invalid(id.clone().unwrap_or(Value::Null), reason));
    if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return invalid("jsonrpc is not \"2.0\"");
    }
    match (fields.remove("method"), &id) {
        // The framework ignores these, as it may their notifications, where the protocol wants an error.
        (Some(Value::String(method)), Some(id)) if method.starts_with("$/") => Err(Refusal::unknown(id.clone())),
        (Some(Value::String(method)), _) => {
            let mut params = fields.remove("params");
            if let Some(params) = &mut params {
                clamp_positions(params);
            }
            Ok(call(method, id, params))
        }
        (Some(_), _) => invalid("the method is not a string"),
        (None, Some(id)) if fields.contains_key("result") || fields.contains_key("error") => Ok(response(id, fields)),
        (None, _) => invalid("no method"),
    }
}

fn call(method: String, id: Option<Value>, params: Option<Value>) -> Message {
    let mut fields = Map::new();
    fields.insert("jsonrpc".to_owned(), "2.0".into());
    fields.insert("method".to_owned(), method.as_str().into());
    if let Some(id) = &id {
        fields.insert("id".to_owned(), id.clone());
    }
    if let Some(params) = params {
        fields.insert("params".to_owned(), params);
    }
    Message { body: Value::Object(fields).to_string().into_bytes(), call: Some(Call { method, id }) }
}

fn response(id: &Value, mut fields: Map<String, Value>) -> Message {
    let body = match fields.remove("error") {
        None | Some(Value::Null) => {
            let result = fields.remove("result").unwrap_or(Value::Null);
            json!({ "jsonrpc": "2.0", "id": id, "result": result })
        }
        // The framework takes no error but one of exactly this form.
        Some(error) => {
            let code = error.get("code").and_then(Value::as_i64).unwrap_or(INVALID_REQUEST);
            let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
        }
    };
    Message { body: body.to_string().into_bytes(), call: None }
}

/// Parses JSON, taking half of a surrogate pair for U+FFFD: a JavaScript client sends one when a document has one.
fn parse_json(body: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(body).or_else(|error| match without_lone_surrogates(body) {
        Some(repaired) => serde_json::from_slice(&repaired),
        None => Err(error),
    })
}

/// What is wrong with some JSON and where, in words that repeat none of it.
fn reason_of(error: &serde_json::Error) -> String {
    let problem = if error.is_eof() { "ends too early" } else { "is not JSON" };
    format!("the message {problem}, at line {} column {}", error.line(), error.column())
}

/// The same text with `\ufffd` for every escaped surrogate without its other half; `None` if there is none.
///
/// U+FFFD counts the same in every position encoding as a lone surrogate does, so that positions stay right.
fn without_lone_surrogates(json: &[u8]) -> Option<Vec<u8>> {
    const ESCAPE_BYTES: usize = 6;
    let mut repaired = None;
    let mut offset = 0;
    while let Some(to_backslash) = json[offset..].iter().position(|&byte| byte == b'\\') {
        offset += to_backslash;
        match code_unit(&json[offset..]) {
            Some(0xd800..=0xdbff)
                if matches!(json.get(offset + ESCAPE_BYTES..).and_then(code_unit), Some(0xdc00..=0xdfff)) =>
            {
                offset += 2 * ESCAPE_BYTES;
            }
            Some(0xd800..=0xdfff) => {
                let bytes = repaired.get_or_insert_with(|| json.to_vec());
                bytes[offset..offset + ESCAPE_BYTES].copy_from_slice(b"\\ufffd");
                offset += ESCAPE_BYTES;
            }
            // The character after a backslash may be a backslash itself.
            _ => offset = (offset + 2).min(json.len()),
        }
    }
    repaired
}

/// The UTF-16 code unit whose escape the bytes begin with.
fn code_unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Brings the numbers of every position into the protocol's range: the framework would drop the whole message
/// otherwise, and with it an edit.
fn clamp_positions(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(clamp_positions),
        Value::Object(fields) => {
            if fields.contains_key("line") && fields.contains_key("character") {
                for name in ["line", "character"] {
                    if let Some(Value::Number(number)) = fields.get_mut(name)
                        && number.as_u64().is_none_or(|number| number > u32::MAX.into())
                    {
                        // A cast from a float saturates and rounds towards zero.
                        *number = (number.as_f64().unwrap_or_default() as u32).into();
                    }
                }
            }
            fields.values_mut().for_each(clamp_positions);
        }
        _ => {}
    }
}
