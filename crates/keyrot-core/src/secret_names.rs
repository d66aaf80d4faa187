//! The names that keys go by in a secret store: ones that it can hold, and one for each key.

use std::collections::BTreeMap;

use crate::error::ConfigError;
use crate::key::KeyMetadata;
use crate::keyset::KeySet;

/// What a store's [`check`](crate::SecretStore::check) does: `names` gives the names under which the store would look
/// for the secret of a key, as the store tells them apart, or says why it cannot hold it. Two keys may go by one name
/// only if the field `secret` of both says so in the same words.
///
/// ```
/// use keyrot_core::{KeyMetadata, KeySet, check_secret_names};
///
/// let keys = KeySet::parse(
///     r#"{"keys": [{"key_id": "a", "model_name": "m"}, {"key_id": "A", "model_name": "m"}]}"#,
/// )?;
/// let lower_case = |key: &KeyMetadata| Ok(vec![key.key_id.as_str().to_lowercase()]);
/// let error = check_secret_names(&keys, lower_case).unwrap_err();
/// assert!(error.to_string().contains("a and A both take their secret from a"));
/// # Ok::<(), keyrot_core::ConfigError>(())
/// ```
///
/// # Errors
/// Each key that has no name, and each pair of keys with one name.
pub fn check_secret_names(
    keys: &KeySet,
    names: impl Fn(&KeyMetadata) -> Result<Vec<String>, String>,
) -> Result<(), ConfigError> {
    let mut owners: BTreeMap<String, &KeyMetadata> = BTreeMap::new();
    let mut problems = Vec::new();
    for key in keys {
        let names = names(key).unwrap_or_else(|problem| {
            problems.push(format!("{}: {problem}", key.key_id));
            Vec::new()
        });
        for name in names {
            let Some(first) = owners.get(&name) else {
                owners.insert(name, key);
                continue;
            };
            let shared = first.secret.is_some() && first.secret == key.secret;
            if first.key_id != key.key_id && !shared {
                problems.push(format!(
                    "{} and {} both take their secret from {name}; rename one, or give both the same \"secret\" if they \
                     are one key",
                    first.key_id, key.key_id
                ));
            }
        }
    }
    ConfigError::of(problems).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(entries: &str) -> Result<(), String> {
        let keys = KeySet::parse(&format!(r#"{{"keys": [{entries}]}}"#)).unwrap();
        let names = |key: &KeyMetadata| match key.secret.as_deref() {
            Some("no name") => Err("it has no name".to_owned()),
            Some(name) => Ok(vec![name.to_lowercase()]),
            None => Ok(vec![format!("x/{}", key.key_id), "x/any".to_owned()]),
        };
        check_secret_names(&keys, names).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_is_for_one_key_unless_both_entries_say_so_in_the_same_words() {
        let a = r#"{"key_id": "a", "model_name": "m", "secret": "One"}"#;
        let same = r#"{"key_id": "b", "model_name": "m", "secret": "One"}"#;
        let other = r#"{"key_id": "c", "model_name": "m", "secret": "one"}"#;
        checked(&format!("{a}, {same}")).unwrap();
        let error = checked(&format!("{a}, {other}")).unwrap_err();
        assert!(error.contains("a and c both take their secret from one; rename one"), "{error}");
        let derived = [r#"{"key_id": "d", "model_name": "m"}"#, r#"{"key_id": "e", "model_name": "m"}"#];
        let error = checked(&derived.join(", ")).unwrap_err();
        assert!(error.contains("d and e both take their secret from x/any"), "{error}");
        checked(derived[0]).unwrap();
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let flawed = r#"{"key_id": "a", "model_name": "m", "secret": "no name"}"#;
        let pair = r#"{"key_id": "d", "model_name": "m"}, {"key_id": "e", "model_name": "m"}"#;
        let error = checked(&format!("{flawed}, {pair}")).unwrap_err();
        assert!(error.contains("a: it has no name") && error.contains("d and e both"), "{error}");
    }
}
