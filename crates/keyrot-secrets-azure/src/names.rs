//! What the secret of a key is called in a vault.

use keyrot_core::{ConfigError, KeyMetadata, KeySet, check_secret_names};

/// Longest name that Key Vault takes.
const LONGEST: usize = 127;

/// The field `secret` as it stands, else the id with every character that Key Vault does not know as `-`.
///
/// Source: "Vault-name and Object-name", Azure Key Vault keys, secrets and certificates overview.
pub(crate) fn name(key: &KeyMetadata) -> String {
    let mapped = || key.key_id.as_str().replace(|c: char| !allowed(c), "-");
    key.secret.clone().unwrap_or_else(mapped)
}

fn allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '-'
}

/// What is wrong with the name in the field `secret`. The client would send it as it is: `a/b` asks for the version
/// `b` of the secret `a`.
pub(crate) fn problem(key: &KeyMetadata) -> Option<String> {
    let name = key.secret.as_deref()?;
    (name.is_empty() || name.len() > LONGEST || !name.chars().all(allowed)).then(|| {
        format!(
            "\"secret\" is {name:?}, which Key Vault cannot hold; allowed: 1 to {LONGEST} characters of A-Z a-z 0-9 -"
        )
    })
}

/// Refuses names that Key Vault cannot hold or cannot tell apart: to it, `A` and `a` are one.
pub(crate) fn check(keys: &KeySet) -> Result<(), ConfigError> {
    check_secret_names(keys, |key| match problem(key) {
        Some(problem) => Err(problem),
        None => Ok(vec![name(key).to_ascii_lowercase()]),
    })
}

#[cfg(test)]
mod tests {
    use keyrot_core::KeyId;

    use super::*;

    fn key(id: &str, secret: Option<&str>) -> KeyMetadata {
        let mut key = KeyMetadata::new(KeyId::parse(id).unwrap(), "m");
        key.secret = secret.map(str::to_owned);
        key
    }

    fn checked(keys: impl IntoIterator<Item = KeyMetadata>) -> Result<(), String> {
        let mut set = KeySet::default();
        for key in keys {
            set.upsert(key).unwrap();
        }
        check(&set).map_err(|error| error.to_string())
    }

    #[test]
    fn an_id_becomes_a_name_that_key_vault_knows() {
        for (id, expected) in [("flash_01", "flash-01"), ("a.b-c", "a-b-c"), ("Pro_X", "Pro-X")] {
            assert_eq!(name(&key(id, None)), expected);
        }
        assert_eq!(name(&key("flash_01", Some("team-key"))), "team-key");
    }

    #[test]
    fn explicit_names_are_taken_or_refused_but_never_changed() {
        let longest = "x".repeat(LONGEST);
        for good in ["a", "A-1", &longest] {
            assert_eq!(problem(&key("k", Some(good))), None, "{good}");
        }
        let too_long = "x".repeat(LONGEST + 1);
        for bad in ["", "a_b", "a/b", "..", "a b", "ü", "a?b", &too_long] {
            assert!(problem(&key("k", Some(bad))).unwrap().contains(&format!("{bad:?}")), "{bad}");
        }
    }

    #[test]
    fn ids_that_key_vault_cannot_tell_apart_are_refused() {
        for second in ["flash-01", "Flash_01", "FLASH.01"] {
            let error = checked([key("flash_01", None), key(second, None)]).unwrap_err();
            assert!(error.contains("flash_01 and ") && error.contains(second), "{error}");
        }
        let error = checked([key("flash_01", None), key("b", Some("FLASH-01"))]).unwrap_err();
        assert!(error.starts_with("flash_01 and b both"), "{error}");
        checked([key("a", Some("one")), key("b", Some("One"))]).unwrap_err();
        checked([key("a", Some("one")), key("b", Some("one")), key("c", None)]).unwrap();
    }
}
