//! Reads and writes of a secret in a KV engine of either version.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use keyrot_core::SecretErrorKind;
use keyrot_core::secrecy::SecretString;
use serde_json::{Map, Value};
use vaultrs::api;
use vaultrs::api::kv2::requests::{ReadSecretRequest, SetSecretRequestOptions};
use vaultrs::client::VaultClient;
use vaultrs::{kv1, kv2};

use crate::config::KvVersion;
use crate::failure::Failure;
use crate::place::Mount;

/// A secret as the engine keeps it. It holds a value: no `Debug`.
pub(crate) struct Kept {
    /// Its fields.
    pub(crate) fields: Map<String, Value>,
    /// KV 2: which version it is; 0 for one that is still to be written.
    version: u64,
    created: Option<String>,
}

impl Kept {
    /// The API key in a field, without white space around it.
    pub(crate) fn secret(&self, field: &str) -> Result<SecretString, (SecretErrorKind, String)> {
        let wrong = |found: String| Err((SecretErrorKind::WrongShape, found));
        match self.fields.get(field) {
            Some(Value::String(text)) if text.trim().is_empty() => {
                Err((SecretErrorKind::Empty, format!("its field {field:?} is empty")))
            }
            Some(Value::String(text)) => Ok(SecretString::from(text.trim())),
            Some(other) => wrong(format!("its field {field:?} is {}, not a text", shape(other))),
            None => wrong(format!("it has no field {field:?}{}", self.other_fields())),
        }
    }

    /// When this version was written; KV 1 does not note it.
    pub(crate) fn written_at(&self) -> Option<SystemTime> {
        let millis = self.created.as_deref()?.parse::<Timestamp>().ok()?.as_millisecond();
        Some(SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).ok()?))
    }

    /// What is there instead. Only what looks like a name is repeated: somebody may have swapped name and value.
    fn other_fields(&self) -> String {
        let is_name = |name: &&str| {
            name.len() <= 24 && name.chars().all(|c| c.is_ascii_lowercase() || "0123456789_-".contains(c))
        };
        let names: Vec<&str> = self.fields.keys().map(String::as_str).filter(is_name).take(8).collect();
        if names.is_empty() { String::new() } else { format!(", but {}", names.join(", ")) }
    }
}

fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The secret at a path below the mount.
pub(crate) async fn read(client: &VaultClient, mount: &Mount, path: &str) -> Result<Kept, Failure> {
    let (data, version, created) = match mount.version {
        KvVersion::V1 => (kv1::get_raw(client, &mount.path, path).await?.data, 0, None),
        KvVersion::V2 => {
            let question =
                ReadSecretRequest { mount: mount.path.clone(), path: path.to_owned(), version: None };
            let read = api::exec_with_result(client, question).await?;
            (read.data, read.metadata.version, Some(read.metadata.created_time))
        }
    };
    match data {
        Value::Object(fields) => Ok(Kept { fields, version, created }),
        _ => Err(Failure::NotVault(200)),
    }
}

/// What to write a field into: the secret that is there, with its other fields, or a new one.
pub(crate) async fn read_to_change(client: &VaultClient, mount: &Mount, path: &str) -> Result<Kept, Failure> {
    match read(client, mount, path).await {
        Err(Failure::Refused(refusal)) if refusal.status == 404 && !refusal.wants_version_2() => {
            let version = refusal.version().map_or(0, |version| version.number);
            Ok(Kept { fields: Map::new(), version, created: None })
        }
        read => read,
    }
}

/// Writes a changed secret; KV 2 takes it only if nobody wrote another since it was read.
pub(crate) async fn write(
    client: &VaultClient,
    mount: &Mount,
    path: &str,
    kept: &Kept,
) -> Result<(), Failure> {
    match mount.version {
        KvVersion::V1 => {
            let fields: HashMap<&str, &Value> =
                kept.fields.iter().map(|(name, value)| (name.as_str(), value)).collect();
            kv1::set(client, &mount.path, path, &fields).await?;
        }
        KvVersion::V2 => {
            let cas = u32::try_from(kept.version).unwrap_or(u32::MAX);
            let options = SetSecretRequestOptions { cas };
            kv2::set_with_options(client, &mount.path, path, &kept.fields, options).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(fields: Value) -> Kept {
        let Value::Object(fields) = fields else { panic!("fields") };
        Kept { fields, version: 1, created: Some("2026-11-05T14:03:22.123456789Z".to_owned()) }
    }

    #[test]
    fn what_is_no_text_is_named_by_its_shape_and_not_shown() {
        for (value, shape) in [
            (json!(4711), "a number"),
            (json!(["AIza-1"]), "a list"),
            (json!({"key": "AIza-1"}), "an object"),
        ] {
            let (kind, text) = kept(json!({"value": value})).secret("value").unwrap_err();
            assert_eq!(kind, SecretErrorKind::WrongShape);
            assert_eq!(text, format!("its field \"value\" is {shape}, not a text"));
        }
    }

    #[test]
    fn other_fields_are_named_unless_one_might_be_a_key() {
        let (_, text) =
            kept(json!({"api_key": "x", "note": "y", "AIzaSyFAKE": "value"})).secret("value").unwrap_err();
        assert_eq!(text, "it has no field \"value\", but api_key, note");
        let (_, text) = kept(json!({"AIzaSyFAKE": "value"})).secret("value").unwrap_err();
        assert_eq!(text, "it has no field \"value\"");
    }

    #[test]
    fn the_time_of_writing_is_read_to_the_second() {
        let written = kept(json!({})).written_at().unwrap();
        let seconds = written.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(seconds, 1_793_887_402);
    }
}
