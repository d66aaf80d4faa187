//! What a stored value says: plain text, or JSON with the key in one of its fields.

use keyrot_core::SecretErrorKind;
use keyrot_core::secrecy::SecretString;
use serde_json::{Map, Value};

/// Where the key is looked for when no field is configured.
const FIELDS: [&str; 3] = ["value", "api_key", "key"];

/// Names of fields are shown in errors up to this length: an API key in their place is longer.
const SHOWN: usize = 32;

/// Why a value holds no key, in words that hold nothing of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) kind: SecretErrorKind,
    pub(crate) found: String,
}

impl Flaw {
    fn empty(found: impl Into<String>) -> Self {
        Self { kind: SecretErrorKind::Empty, found: found.into() }
    }

    fn wrong_shape(found: impl Into<String>) -> Self {
        Self { kind: SecretErrorKind::WrongShape, found: found.into() }
    }
}

/// The key in a value that is text or bytes; `field` is the configured one.
pub(crate) fn key_in(
    text: Option<&str>,
    bytes: Option<&[u8]>,
    field: Option<&str>,
) -> Result<SecretString, Flaw> {
    let text = match (text, bytes) {
        (Some(text), _) => text,
        (None, Some(bytes)) => {
            std::str::from_utf8(bytes).map_err(|_| Flaw::wrong_shape("its binary value is not UTF-8 text"))?
        }
        (None, None) => "",
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(Flaw::empty("it holds nothing"));
    }
    if !text.starts_with(['{', '[']) {
        return Ok(SecretString::from(text));
    }
    // serde's own words would show the value
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => key_in_fields(&fields, field),
        Ok(_) => Err(Flaw::wrong_shape("it is a list in JSON, neither one text nor fields")),
        Err(_) => Err(Flaw::wrong_shape("it begins like JSON and is none")),
    }
}

fn key_in_fields(fields: &Map<String, Value>, field: Option<&str>) -> Result<SecretString, Flaw> {
    let Some(name) = field_of(fields, field) else {
        let wanted = field.map_or_else(|| FIELDS.join(", "), str::to_owned);
        return Err(Flaw::wrong_shape(format!(
            "its JSON has no field {wanted}; its fields: {}; AWS_SECRET_FIELD names another one",
            names(fields)
        )));
    };
    match &fields[name] {
        Value::String(text) if text.trim().is_empty() => {
            Err(Flaw::empty(format!("its field {name} holds nothing")))
        }
        Value::String(text) => Ok(SecretString::from(text.trim())),
        _ => Err(Flaw::wrong_shape(format!("its field {name} is no text"))),
    }
}

fn field_of<'a>(fields: &Map<String, Value>, field: Option<&'a str>) -> Option<&'a str> {
    match field {
        Some(name) => fields.contains_key(name).then_some(name),
        None => FIELDS.into_iter().find(|name| fields.contains_key(*name)),
    }
}

fn names(fields: &Map<String, Value>) -> String {
    let shown: Vec<&str> = fields.keys().map(String::as_str).filter(|name| name.len() <= SHOWN).collect();
    match (shown.is_empty(), fields.is_empty()) {
        (_, true) => "none".to_owned(),
        (true, _) => "names too long to show".to_owned(),
        _ => shown.join(", "),
    }
}

/// What is to be stored so that [`key_in`] finds `key`: the fields beside it stay as they are.
pub(crate) fn with_key(current: Option<&str>, field: Option<&str>, key: &str) -> String {
    let fields = current.map(str::trim).filter(|text| text.starts_with('{'));
    let mut fields: Map<String, Value> = match fields.and_then(|text| serde_json::from_str(text).ok()) {
        Some(fields) => fields,
        None if field.is_some() => Map::new(),
        None => return key.to_owned(),
    };
    let name = field_of(&fields, field).or(field).unwrap_or(FIELDS[0]).to_owned();
    fields.insert(name, Value::from(key));
    Value::Object(fields).to_string()
}

#[cfg(test)]
mod tests {
    use keyrot_core::secrecy::ExposeSecret;

    use super::*;

    fn key(text: &str, field: Option<&str>) -> Result<String, Flaw> {
        key_in(Some(text), None, field).map(|key| key.expose_secret().to_owned())
    }

    #[test]
    fn text_and_json_and_bytes_hold_a_key() {
        for (text, field) in [
            ("sk-1", None),
            (" sk-1\r\n", None),
            ("sk-1", Some("gemini")),
            (r#"{"value": "sk-1"}"#, None),
            (r#"{"api_key": " sk-1 "}"#, None),
            (r#"{"key": "sk-1", "owner": {"name": "x"}}"#, None),
            (r#"{"value": "sk-1", "key": "other"}"#, None),
            (r#"{"value": "other", "gemini": "sk-1"}"#, Some("gemini")),
        ] {
            assert_eq!(key(text, field).unwrap(), "sk-1", "{text}");
        }
        let bytes = key_in(None, Some(b"{\"value\": \"sk-1\"}"), None).unwrap();
        assert_eq!(bytes.expose_secret(), "sk-1");
    }

    #[test]
    fn what_holds_nothing_is_empty() {
        for text in ["", " \n", r#"{"value": ""}"#, r#"{"value": " ", "key": "sk-1"}"#] {
            assert_eq!(key(text, None).unwrap_err().kind, SecretErrorKind::Empty, "{text:?}");
        }
        assert_eq!(key_in(None, None, None).unwrap_err().kind, SecretErrorKind::Empty);
        assert_eq!(key_in(None, Some(b""), None).unwrap_err().kind, SecretErrorKind::Empty);
    }

    #[test]
    fn other_shapes_are_told_without_the_value() {
        for (text, field, found) in [
            (r#"["sk-1"]"#, None, "it is a list in JSON"),
            (r#"{"value": "sk-1""#, None, "it begins like JSON and is none"),
            (r#"{"value": 7001}"#, None, "its field value is no text"),
            (
                r#"{"token": "sk-1", "user": "x"}"#,
                None,
                "no field value, api_key, key; its fields: token, user;",
            ),
            (r#"{"value": "sk-1"}"#, Some("gemini"), "no field gemini; its fields: value;"),
            (r#"{}"#, None, "its fields: none;"),
            (r#"{"AIzaSyA0123456789-0123456789-0123456789": "sk-1"}"#, None, "names too long to show"),
        ] {
            let flaw = key(text, field).unwrap_err();
            assert_eq!(flaw.kind, SecretErrorKind::WrongShape);
            assert!(flaw.found.contains(found), "{flaw:?}");
            assert!(!["sk-1", "7001", "AIza"].iter().any(|secret| flaw.found.contains(secret)), "{flaw:?}");
        }
        let flaw = key_in(None, Some(&[0xff, 0xfe]), None).unwrap_err();
        assert_eq!(flaw.kind, SecretErrorKind::WrongShape);
    }

    #[test]
    fn a_new_key_is_found_again_and_leaves_the_other_fields_alone() {
        for (current, field, stored) in [
            (None, None, "new"),
            (Some("old"), None, "new"),
            (None, Some("gemini"), r#"{"gemini":"new"}"#),
            (Some("old"), Some("gemini"), r#"{"gemini":"new"}"#),
            (Some(r#"{"key": "old", "owner": "x"}"#), None, r#"{"key":"new","owner":"x"}"#),
            (Some(r#"{"owner": "x"}"#), None, r#"{"owner":"x","value":"new"}"#),
            (Some(r#"{"value": "v"}"#), Some("gemini"), r#"{"gemini":"new","value":"v"}"#),
            (Some("{broken"), None, "new"),
        ] {
            let text = with_key(current, field, "new");
            assert_eq!(text, stored);
            assert_eq!(key(&text, field).unwrap(), "new");
        }
    }
}
