use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::Value;

use super::Settings;

impl Settings {
    /// What an editor may send, as a JSON schema (draft 7, which every editor understands), without references.
    pub fn schema() -> Value {
        let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<Self>();
        RecursiveTransform(join_lines).transform(&mut schema);
        schema.to_value()
    }
}

/// A description's lines end where a source file's must; where it is shown, they end elsewhere.
fn join_lines(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}
