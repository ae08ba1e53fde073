use lacuna_engine::Device;
use serde_json::Value;

/// The value as `schema` wants it, or what it must be, as the end of a sentence that begins with "must be".
///
/// A whole number may be written with a fraction of zero, and an empty string may stand for null: some editors know no
/// other way.
pub(super) fn conformed(value: &Value, schema: &Value) -> Result<Value, String> {
    let conforms = match value {
        Value::String(text) if text.is_empty() && has_type(schema, "null") => return Ok(Value::Null),
        Value::Null => has_type(schema, "null"),
        Value::Bool(_) => has_type(schema, "boolean"),
        Value::String(text) => match choices(schema) {
            Some(choices) => choices.contains(&text.as_str()),
            None => has_type(schema, "string") && has_format(text, schema),
        },
        Value::Number(number) => {
            let whole = number.as_u64().or_else(|| number.as_f64().and_then(whole_number));
            match (whole, number.as_f64()) {
                (Some(whole), _) if has_type(schema, "integer") => {
                    // Bounds on whole numbers are far below what a float tells apart.
                    return if is_within(whole as f64, schema) { Ok(whole.into()) } else { Err(expected(schema)) };
                }
                (_, Some(number)) => has_type(schema, "number") && is_within(number, schema),
                _ => false,
            }
        }
        Value::Array(elements) => {
            has_type(schema, "array") && elements.iter().all(|element| conformed(element, &schema["items"]).is_ok())
        }
        Value::Object(_) => false,
    };
    if conforms { Ok(value.clone()) } else { Err(expected(schema)) }
}

fn whole_number(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..1e15).contains(&number)).then_some(number as u64)
}

fn has_type(schema: &Value, name: &str) -> bool {
    match &schema["type"] {
        Value::String(only) => only == name,
        Value::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    }
}

fn is_within(number: f64, schema: &Value) -> bool {
    let [least, most] = ["minimum", "maximum"].map(|bound| schema[bound].as_f64());
    least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most)
}

/// Only devices have a pattern, and the engine knows best which there are.
fn has_format(text: &str, schema: &Value) -> bool {
    schema.get("pattern").is_none() || text.parse::<Device>().is_ok()
}

/// The strings that there are to choose from, if there are only so many.
fn choices(schema: &Value) -> Option<Vec<&str>> {
    let alternatives = schema["oneOf"].as_array()?;
    Some(alternatives.iter().filter_map(|alternative| alternative["const"].as_str()).collect())
}

fn expected(schema: &Value) -> String {
    if let Some(choices) = choices(schema) {
        return one_of(&choices.iter().map(|choice| format!("\"{choice}\"")).collect::<Vec<_>>());
    }
    let bounds = ["minimum", "maximum"].map(|bound| schema[bound].as_f64());
    let bounds =
        if let [Some(least), Some(most)] = bounds { format!(" from {least} to {most}") } else { String::new() };
    let kinds = [
        ("boolean", "true or false".to_owned()),
        ("integer", format!("a whole number{bounds}")),
        ("number", format!("a number{bounds}")),
        ("string", if schema.get("pattern").is_some() { "auto, cpu, cuda or cuda:N" } else { "a string" }.to_owned()),
        ("array", "a list of strings".to_owned()),
        ("null", "null".to_owned()),
    ];
    let kinds: Vec<String> =
        kinds.into_iter().filter(|(name, _)| has_type(schema, name)).map(|(_, words)| words).collect();
    one_of(&kinds)
}

fn one_of(alternatives: &[String]) -> String {
    match alternatives {
        [several @ .., last] if !several.is_empty() => format!("{} or {last}", several.join(", ")),
        _ => alternatives.concat(),
    }
}
