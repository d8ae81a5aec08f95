//! The JSON Schema of the file, for editors.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::raw::File;

/// Returns the JSON Schema (draft 2020-12) of the file, shorthands and `${VARIABLES}` included.
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<File>().to_value();
    admit_variables(&mut schema);
    if let Value::Object(root) = &mut schema {
        root.insert("title".to_owned(), json!("Tidegate configuration"));
    }
    schema
}

/// Lets every value that is not a free text be a `${VARIABLE}` as well.
// As deep as the raw structs, which are not recursive: definitions are referred to, not nested.
fn admit_variables(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(admit_variables),
        Value::Object(object) if is_closed_scalar(object) => {
            let mut outer = Map::new();
            for key in ["description", "default"] {
                if let Some(value) = object.remove(key) {
                    outer.insert(key.to_owned(), value);
                }
            }
            let inner = std::mem::take(object);
            outer.insert(
                "anyOf".to_owned(),
                json!([inner, { "type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}" }]),
            );
            *object = outer;
        }
        Value::Object(object) => object.values_mut().for_each(admit_variables),
        _ => {}
    }
}

fn is_closed_scalar(schema: &Map<String, Value>) -> bool {
    let is_number = match schema.get("type") {
        Some(Value::String(name)) => matches!(name.as_str(), "integer" | "number" | "boolean"),
        Some(Value::Array(names)) => {
            names.iter().all(|name| matches!(name.as_str(), Some("integer" | "number" | "boolean" | "null")))
        }
        _ => false,
    };
    let is_word_list = ["oneOf", "enum"].iter().any(|key| schema.contains_key(*key));
    let is_patterned_text = schema.get("pattern").is_some_and(Value::is_string) && schema.get("type") == Some(&json!("string"));
    is_number || is_word_list || is_patterned_text
}
