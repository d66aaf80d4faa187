//! Answers in JSON of a given form: reading the schema as strictly as Gemini does, and filling it.

use serde_json::{Map, Value, json};

use crate::bodies::{Refusal, bad_request};
use crate::request::{camel_case, member};

const PLACE: &str = "generation_config.response_schema";

const KNOWN: &[&str] = &[
    "anyOf",
    "default",
    "description",
    "enum",
    "example",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "nullable",
    "pattern",
    "properties",
    "propertyOrdering",
    "required",
    "title",
    "type",
];

/// What the generation's configuration says about the form of the answer: `None` for text.
pub(crate) fn of_config(
    mime_type: Option<&Value>,
    schema: Option<&Value>,
    json_schema: Option<&Value>,
) -> Result<Option<Value>, Refusal> {
    let wants_json = match mime_type.map(|mime| mime.as_str().unwrap_or_default()) {
        None | Some("text/plain") => false,
        Some("application/json") => true,
        Some("application/xml" | "application/yaml" | "text/x.enum") => return Ok(None), // not simulated: text
        Some(_) => {
            let allowed =
                "`text/plain`, `application/json`, `application/xml`, `application/yaml` and `text/x.enum`";
            let message = format!(
                "* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes are {allowed}.\n"
            );
            return Err(bad_request("generation_config.response_mime_type", &message));
        }
    };
    if let Some(schema) = schema {
        check(PLACE, schema)?;
    }
    match schema.or(json_schema) {
        Some(_) if !wants_json => {
            let message = "* GenerateContentRequest.generation_config.response_schema: only allowed with \
                           response_mime_type application/json.\n";
            Err(bad_request(PLACE, message))
        }
        Some(schema) => Ok(Some(schema.clone())),
        None if wants_json => Ok(Some(json!({"type": "OBJECT", "properties": {"code": {"type": "STRING"}}}))),
        None => Ok(None),
    }
}

/// Refuses unknown names and types, lists without items and objects without properties.
fn check(place: &str, schema: &Value) -> Result<(), Refusal> {
    let wrong = |what: &str| Err(bad_request(place, &format!("* GenerateContentRequest.{place}{what}\n")));
    let Some(schema) = schema.as_object() else {
        return wrong(": expected an object.");
    };
    if let Some(name) = schema.keys().find(|name| !KNOWN.contains(&camel_case(name).as_str())) {
        let message = format!(
            "Invalid JSON payload received. Unknown name \"{name}\" at '{place}': Cannot find field."
        );
        return Err(bad_request(place, &message));
    }
    match kind(schema).as_str() {
        "STRING" | "NUMBER" | "INTEGER" | "BOOLEAN" => Ok(()),
        "ARRAY" => match member(schema, "items") {
            Some(items) => check(&format!("{place}.items"), items),
            None => wrong(".items: missing field."),
        },
        "OBJECT" => {
            let properties = member(schema, "properties").and_then(Value::as_object);
            let Some(properties) = properties.filter(|properties| !properties.is_empty()) else {
                return wrong(".properties: should be non-empty for OBJECT type");
            };
            let named = ["required", "propertyOrdering"].into_iter().filter_map(|name| member(schema, name));
            let unknown = named
                .filter_map(Value::as_array)
                .flatten()
                .find(|name| name.as_str().is_none_or(|name| !properties.contains_key(name)));
            if let Some(name) = unknown {
                return wrong(&format!(".required: {name} is not defined in properties"));
            }
            properties
                .iter()
                .try_for_each(|(name, schema)| check(&format!("{place}.properties[{name}]"), schema))
        }
        _ => wrong(".type: must be specified"),
    }
}

/// The JSON text that this schema asks for; what is said is taken from `said` by the names of properties.
pub(crate) fn fill(schema: &Value, said: Option<&Value>) -> String {
    let empty = Map::new();
    let schema = schema.as_object().unwrap_or(&empty);
    match kind(schema).as_str() {
        "OBJECT" => {
            let members: Vec<String> = members(schema)
                .map(|(name, inner)| {
                    format!("{}: {}", json!(name), fill(inner, said.and_then(|said| said.get(name))))
                })
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        "ARRAY" => {
            let items = member(schema, "items").unwrap_or(&Value::Null);
            let elements: Vec<String> = match said.and_then(Value::as_array) {
                Some(said) => said.iter().map(|said| fill(items, Some(said))).collect(),
                None => vec![fill(items, None)],
            };
            format!("[{}]", elements.join(", "))
        }
        "NUMBER" | "INTEGER" => said.filter(|said| said.is_number()).unwrap_or(&json!(1)).to_string(),
        "BOOLEAN" => "true".to_owned(),
        _ => {
            let first = member(schema, "enum").and_then(|values| values.get(0));
            first.or(said.filter(|said| said.is_string())).unwrap_or(&json!("simulated")).to_string()
        }
    }
}

/// The properties, in the order that the schema asks for.
fn members(schema: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    let properties = member(schema, "properties").and_then(Value::as_object);
    let ordering = member(schema, "propertyOrdering").and_then(Value::as_array);
    let first: Vec<&str> = ordering.into_iter().flatten().filter_map(Value::as_str).collect();
    let all = properties.into_iter().flatten();
    let mut members: Vec<(&str, &Value)> = all.map(|(name, schema)| (name.as_str(), schema)).collect();
    members.sort_by_key(|(name, _)| first.iter().position(|known| known == name).unwrap_or(first.len()));
    members.into_iter()
}

fn kind(schema: &Map<String, Value>) -> String {
    member(schema, "type").and_then(Value::as_str).unwrap_or_default().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(schema: &Value) -> String {
        let refusal = of_config(Some(&json!("application/json")), Some(schema), None).unwrap_err();
        assert_eq!(refusal.status, 400);
        refusal.body
    }

    #[test]
    fn a_schema_that_gemini_would_not_take_is_refused_with_its_place() {
        for (schema, told) in [
            (json!({"type": "OBJECT"}), "should be non-empty for OBJECT type"),
            (json!({"type": "ARRAY"}), "response_schema.items: missing field"),
            (json!({"properties": {}}), "response_schema.type: must be specified"),
            (
                json!({"type": "OBJECT", "properties": {"a": {"type": "MAP"}}}),
                "properties[a].type: must be specified",
            ),
            (
                json!({"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "additionalProperties": false}),
                "Unknown name \\\"additionalProperties\\\"",
            ),
            (
                json!({"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "required": ["b"]}),
                "is not defined in properties",
            ),
        ] {
            assert!(refused(&schema).contains(told), "{told}: {}", refused(&schema));
        }
        let schema = json!({"type": "STRING"});
        assert!(of_config(None, Some(&schema), None).is_err(), "a schema needs its MIME type");
        assert!(of_config(Some(&json!("text/html")), None, None).is_err());
        assert_eq!(of_config(Some(&json!("text/plain")), None, None).unwrap(), None);
    }

    #[test]
    fn what_is_said_fills_the_properties_in_their_order() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a": {"type": "ARRAY", "items": {"type": "OBJECT", "properties": {"n": {"type": "STRING"}}}},
                "b": {"type": "STRING"},
                "c": {"type": "INTEGER"},
                "d": {"type": "STRING", "enum": ["x", "y"]},
            },
            "propertyOrdering": ["b", "a"],
        });
        let said = json!({"a": [{"n": "1"}, {"n": "2"}], "b": "two\nlines", "z": 0});
        assert_eq!(
            fill(&schema, Some(&said)),
            r#"{"b": "two\nlines", "a": [{"n": "1"}, {"n": "2"}], "c": 1, "d": "x"}"#
        );
    }
}
